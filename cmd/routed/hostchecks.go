package main

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"routed/admin"
	"routed/doctor"
	"routed/kernel"
	"routed/metrics"
)

// How often a running daemon looks at its host, and how long it may take.
const (
	hostEvery  = 30 * time.Second
	hostWithin = 20 * time.Second
)

// hostChecks is what the last look at the host found. Readers get values.
type hostChecks struct {
	mu    sync.Mutex
	at    time.Time
	found []doctor.Check
}

func (h *hostChecks) last() ([]doctor.Check, time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.found, h.at
}

func (h *hostChecks) set(found []doctor.Check, at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.found, h.at = found, at
}

// watchHost looks at the host until ctx ends. It has sockets of its own: nothing that repairs routes waits for it.
func (d *daemon) watchHost(ctx context.Context) error {
	select {
	case <-d.begun:
	case <-ctx.Done():
		return nil
	}
	fib, err := kernel.NewNetlink()
	if err != nil {
		return err
	}
	defer fib.Close()
	tick := time.NewTicker(hostEvery)
	defer tick.Stop()
	for {
		d.lookAtHost(ctx, fib)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (d *daemon) lookAtHost(ctx context.Context, fib *kernel.Netlink) {
	ctx, cancel := context.WithTimeout(ctx, hostWithin)
	defer cancel()
	host := doctor.LookRunning(ctx, doctorSources(d.settings.config(), fib))
	if ctx.Err() != nil {
		return // half a look
	}
	before, _ := d.host.last()
	now := doctor.ExamineRunning(host).Checks
	d.host.set(now, time.Now())
	logHostChecks(ctx, d.log, before, now)
}

// logHostChecks tells what has begun to fail and what no longer does.
func logHostChecks(ctx context.Context, log *slog.Logger, before, now []doctor.Check) {
	failing := func(checks []doctor.Check, c doctor.Check) bool {
		return c.Result == doctor.Failed && !slices.Contains(checks, c)
	}
	for _, c := range now {
		if failing(before, c) {
			log.WarnContext(ctx, "a check of the host fails", "event", "host-check", "check", c.Name, "why", c.Why, "fix", c.Fix)
		}
	}
	for _, c := range before {
		if failing(now, c) {
			log.InfoContext(ctx, "a check of the host no longer finds this", "event", "host-check", "check", c.Name, "why", c.Why)
		}
	}
}

// status is the last look as `routed status` shows it.
func (h *hostChecks) status() []admin.HostCheck {
	found, at := h.last()
	out := make([]admin.HostCheck, 0, len(found))
	for _, c := range found {
		out = append(out, admin.HostCheck{Name: c.Name, Result: admin.CheckResult(c.Result), Why: c.Why, Fix: c.Fix, At: at})
	}
	return out
}

// numbers is the last look as it is counted.
func (h *hostChecks) numbers() []metrics.HostCheck {
	found, _ := h.last()
	var out []metrics.HostCheck
	for _, c := range found {
		i := slices.IndexFunc(out, func(m metrics.HostCheck) bool { return m.Check == c.Name })
		if i < 0 {
			i = len(out)
			out = append(out, metrics.HostCheck{Check: c.Name})
		}
		switch c.Result {
		case doctor.Failed:
			out[i].Failed++
		case doctor.Warning:
			out[i].Warning++
		case doctor.Unknown:
			out[i].Unknown++
		case doctor.Good:
			out[i].Good++
		}
	}
	return out
}

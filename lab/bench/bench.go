package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"routed/lab"
)

// bench is one run.
type bench struct {
	options
	dir         string
	competitors []competitor
	machine     machine
	sink        time.Duration // for the large table's messages
	results     *results
	looks       int           // of all counters
	looking     time.Duration // what they took
	began       time.Time
}

// newBench prepares the sandbox. A competitor whose tool is missing is left out and named.
func newBench(ctx context.Context, o options) (*bench, error) {
	b := &bench{options: o, dir: o.keepLogs, results: newResults(), began: time.Now()}
	if b.dir == "" {
		b.dir = "/run/bench" // the sandbox's own; short, because socket paths end at 108 bytes
	}
	if err := os.MkdirAll(b.dir, 0o755); err != nil {
		return nil, err
	}
	var err error
	if b.machine, err = readMachine(); err != nil {
		return nil, err
	}
	for _, c := range o.chosen() {
		version, err := c.inform(ctx, o)
		if errors.Is(err, lab.ErrNoTool) {
			b.machine.missing = append(b.machine.missing, fmt.Sprintf("%s (%v)", c.name, err))
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
		c.name += " " + version
		if c.id == "routed" {
			c.name = "routed"
			b.machine.routed = version
		}
		b.competitors = append(b.competitors, c)
		if c.id == "frr" {
			if err := lab.PrepareFRR(b.dir); err != nil {
				return nil, fmt.Errorf("preparing for FRR: %w", err)
			}
		}
	}
	b.sink, err = sinkTime(ctx, updateMessages(blocks(o.routes), senderAddr()))
	return b, err
}

// run measures all that was asked for. What fails for one competitor does not keep the others from being measured.
func (b *bench) run(ctx context.Context) error {
	var errs []error
	try := func(what string, f func() error) {
		if ctx.Err() != nil {
			return
		}
		if err := f(); err != nil {
			b.say("%s: FAILED: %v", what, err)
			errs = append(errs, fmt.Errorf("%s: %w", what, err))
		}
	}
	if b.has(partInstall) {
		for i := range b.runs {
			for _, c := range b.competitors {
				try(fmt.Sprintf("%s, install, run %d", c.name, i+1), func() error { return b.freshInstall(ctx, c) })
			}
		}
	}
	if b.has(partRepair) || b.has(partBlock) || b.has(partLink) || b.has(partIdle) {
		for _, size := range []int{b.few, b.routes} {
			for _, c := range b.competitors {
				try(fmt.Sprintf("%s, %s routes", c.name, thousands(size)), func() error { return b.standing(ctx, c, size) })
			}
		}
	}
	for i := range b.runs {
		if b.has(partSessions) {
			for _, n := range b.sessions {
				for _, c := range b.competitors {
					try(fmt.Sprintf("%s, %s sessions, run %d", c.name, thousands(n), i+1), func() error { return b.manySessions(ctx, c, n) })
				}
			}
		}
		if b.has(partReflectors) {
			for _, c := range b.competitors {
				try(fmt.Sprintf("%s, two reflectors, run %d", c.name, i+1), func() error { return b.reflectors(ctx, c, b.routes) })
			}
		}
	}
	if b.has(partScrape) {
		try("routed, scrapes", func() error { return b.scrapes(ctx) })
	}
	if b.has(partFlush) {
		for i := range b.runs {
			try(fmt.Sprintf("flush, run %d", i+1), func() error { return b.flushes(ctx) })
		}
	}
	return errors.Join(append(errs, ctx.Err())...)
}

// say tells of progress; the report is what counts.
func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "bench: %6.1f s  %s\n", time.Since(b.began).Seconds(), fmt.Sprintf(format, args...))
}

// withRig runs f on a fresh rig and adds up what its counter cost.
func (b *bench) withRig(ctx context.Context, c competitor, s site, f func(r *rig) error) error {
	r, err := newRig(ctx, c, s, b.dir)
	if err != nil {
		return err
	}
	err = f(r)
	if r.counter != nil {
		b.looks += r.counter.looks
		b.looking += r.counter.cost
	}
	return errors.Join(err, r.close()) //nolint:contextcheck // its context may have ended
}

package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// quietFor without a route event means that a daemon has done all it does about a link that is down.
const quietFor = 300 * time.Millisecond

// linkFlaps sets the link down and up again and measures from up to the last route that leads somewhere again. The
// session outlives it.
func (b *bench) linkFlaps(ctx context.Context, r *rig, size int) error {
	m, err := startListener(r.ns)
	if err != nil {
		return err
	}
	return errors.Join(b.flap(ctx, r, m, size), m.close())
}

func (b *bench) flap(ctx context.Context, r *rig, m *monitor, size int) error {
	what := metricLink(size)
	for range b.runs {
		if err := r.shell.do("link set eth0 down"); err != nil {
			return err
		}
		if err := m.quiet(ctx); err != nil {
			return err
		}
		began := time.Now()
		if err := r.shell.do("link set eth0 up"); err != nil {
			return err
		}
		last, err := m.awaitAll(ctx, size)
		if err := errors.Join(err, r.alive()); err != nil {
			return err
		}
		b.results.add(what, r.id, inMs(last.Sub(began)))
		if err := m.quiet(ctx); err != nil {
			return err
		}
	}
	b.say("%s: %s: %.1f ms", r.name, what, b.results.of(what, r.id).median())
	return nil
}

// awaitAll waits until every one of the first n blocks leads somewhere again, and returns when the last came.
func (m *monitor) awaitAll(ctx context.Context, n int) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, installLimit)
	defer cancel()
	there := make(map[netip.Prefix]bool, n)
	for {
		e, err := m.next(ctx)
		if err != nil {
			return time.Time{}, fmt.Errorf("waiting for routes after the link is up: %w, %d of %d are there", err, len(there), n)
		}
		if e.deleted || !e.leads {
			delete(there, e.prefix)
			continue
		}
		if there[e.prefix] = true; len(there) == n {
			return e.at, nil
		}
	}
}

// quiet waits until there has been no event for a while, and forgets those that were.
func (m *monitor) quiet(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, installLimit)
	defer cancel()
	timer := time.NewTimer(quietFor)
	defer timer.Stop()
	for {
		select {
		case _, open := <-m.events:
			if !open {
				return m.err
			}
			timer.Reset(quietFor)
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("route events do not end: %w", ctx.Err())
		}
	}
}

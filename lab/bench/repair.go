package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"
)

const (
	hundred = 100
	rarer   = 4 // a hundred are deleted so many times less often than one
	// scanTime is BIRD's, as Calico sets it. Deletions must meet it at any phase, not just after a scan.
	scanTime = 2 * time.Second
)

// repetitions is how often a repair is measured.
func (b *bench) repetitions(r *rig) int {
	if r.scans {
		return b.scans
	}
	return b.events
}

// restBefore waits before a deletion.
func restBefore(ctx context.Context, r *rig) error {
	if r.scans {
		return pause(ctx, rand.N(scanTime)) //nolint:gosec // a phase
	}
	return pause(ctx, between)
}

// deletion is the line of `ip` that deletes a route of the competitor.
func (r *rig) deletion(p netip.Prefix) string {
	return fmt.Sprintf("route del %s table %d proto %d", p, r.table, r.proto)
}

// repairOne deletes one route and measures from the kernel's delete event to its add event.
func (b *bench) repairOne(ctx context.Context, r *rig, m *monitor, size int) error {
	return b.repairSome(ctx, r, m, metricRepairOne(size), size, b.repetitions(r))
}

// repairSome does so several times.
func (b *bench) repairSome(ctx context.Context, r *rig, m *monitor, what metric, size, times int) error {
	for range times {
		if err := restBefore(ctx, r); err != nil {
			return err
		}
		p := block(rand.IntN(size)) //nolint:gosec // any one
		m.drain()
		if err := r.shell.do(r.deletion(p)); err != nil {
			return err
		}
		gone, err := m.await(ctx, p, true)
		if err != nil {
			return err
		}
		back, err := m.await(ctx, p, false)
		if err != nil {
			return err
		}
		b.results.add(what, r.id, inMs(back.at.Sub(gone.at)))
	}
	of := b.results.of(what, r.id)
	b.say("%s: %s: %.2f ms, 99th percentile %.2f ms", r.name, what, of.median(), of.quantile(0.99))
	return nil
}

// repairHundred deletes a hundred routes in a row.
func (b *bench) repairHundred(ctx context.Context, r *rig, m *monitor, size int) error {
	each, whole := metricRepairEach(size), metricRepairHundred(size)
	for range max(b.repetitions(r)/rarer, 1) {
		if err := restBefore(ctx, r); err != nil {
			return err
		}
		m.drain()
		var lines []string
		missing := map[netip.Prefix]time.Time{}
		for _, i := range rand.Perm(size)[:hundred] { //nolint:gosec // any hundred
			missing[block(i)] = time.Time{}
			lines = append(lines, r.deletion(block(i)))
		}
		if err := r.shell.do(lines...); err != nil {
			return err
		}
		took, total, err := m.awaitBack(ctx, missing)
		if err != nil {
			return err
		}
		b.results.add(each, r.id, took...)
		b.results.add(whole, r.id, inMs(total))
	}
	b.say("%s: %s: %.2f ms", r.name, whole, b.results.of(whole, r.id).median())
	return nil
}

// awaitBack waits until each of the routes has been deleted and added. It returns the milliseconds that each was away,
// and the time from the first deletion to the last addition.
func (m *monitor) awaitBack(ctx context.Context, missing map[netip.Prefix]time.Time) (each []float64, all time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, eventLimit)
	defer cancel()
	var first time.Time
	for len(missing) > 0 {
		e, err := m.next(ctx)
		if err != nil {
			return nil, 0, fmt.Errorf("waiting for %d routes: %w", len(missing), err)
		}
		gone, ours := missing[e.prefix]
		switch {
		case !ours:
		case e.deleted:
			missing[e.prefix] = e.at
			if first.IsZero() {
				first = e.at
			}
		case !gone.IsZero():
			each = append(each, inMs(e.at.Sub(gone)))
			all = e.at.Sub(first)
			delete(missing, e.prefix)
		}
	}
	return each, all, nil
}

// repairAll deletes the whole table in one pass and waits until all of it is back. No monitor listens, since it would
// take as long as the repair.
func (b *bench) repairAll(ctx context.Context, r *rig, size int) error {
	gone, err := newRemover(r.ns)
	if err != nil {
		return err
	}
	defer gone.close()
	for range b.runs {
		if err := restBefore(ctx, r); err != nil {
			return err
		}
		began := time.Now()
		if err := gone.remove(blocks(size), r.table, r.proto); err != nil {
			return err
		}
		deleted := time.Now()
		limit, cancel := context.WithTimeout(ctx, installLimit)
		seen, err := r.counter.until(limit, "deleted routes to be back", func(count int) bool { return count >= size })
		cancel()
		if err := errors.Join(err, r.alive()); err != nil {
			return err
		}
		back := seen[len(seen)-1].at
		b.results.add(metricRepairAll(size), r.id, back.Sub(began).Seconds())
		b.results.add(metricRepairAllAfter(size), r.id, back.Sub(deleted).Seconds())
	}
	b.say("%s: %s: %.2f s", r.name, metricRepairAll(size), b.results.of(metricRepairAll(size), r.id).median())
	return nil
}

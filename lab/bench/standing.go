package main

import (
	"context"
	"errors"
	"time"
)

// standing measures what happens to a table that stands: idleness, one more block, repairs, the link.
func (b *bench) standing(ctx context.Context, c competitor, size int) error {
	return b.withRig(ctx, c, oneSender(), func(r *rig) error {
		in, err := r.install(ctx, size)
		if err != nil {
			return err
		}
		b.say("%s holds %s routes", c.name, thousands(size))
		if b.has(partIdle) && size == b.routes {
			if err := b.idleness(ctx, r, metricIdleCPU(size), metricIdleRSS(size)); err != nil {
				return err
			}
		}
		if err := b.watched(ctx, r, size); err != nil {
			return err
		}
		if b.has(partLink) {
			if err := b.linkFlaps(ctx, r, size); err != nil {
				return err
			}
		}
		if !b.has(partRepair) {
			return nil
		}
		b.results.add(metricBefore(size), c.id, in.total.Seconds())
		return b.repairAll(ctx, r, size)
	})
}

// watched measures what is read off `ip monitor`.
func (b *bench) watched(ctx context.Context, r *rig, size int) error {
	m, err := startMonitor(ctx, r.ns)
	if err != nil {
		return err
	}
	for _, step := range []struct {
		part part
		do   func(context.Context, *rig, *monitor, int) error
	}{{partBlock, b.moreBlocks}, {partRepair, b.repairOne}, {partRepair, b.repairHundred}} {
		if b.has(step.part) {
			if err = step.do(ctx, r, m, size); err != nil {
				break
			}
			if err = r.alive(); err != nil {
				break
			}
		}
	}
	return errors.Join(err, m.close())
}

// idleness measures a daemon that has nothing to do.
func (b *bench) idleness(ctx context.Context, r *rig, cpu, rss metric) error {
	if err := pause(ctx, 3*settle); err != nil {
		return err
	}
	before, err := r.usage()
	if err != nil {
		return err
	}
	began := time.Now()
	if err := pause(ctx, b.idle); err != nil {
		return err
	}
	after, err := r.usage()
	if err := errors.Join(err, r.alive()); err != nil {
		return err
	}
	share := float64(after.cpu-before.cpu) / float64(time.Since(began))
	b.results.add(cpu, r.id, 100*share)
	b.results.add(rss, r.id, rss.unit.of(after.rss))
	b.say("%s idle: %.2f %% of a core, %.0f MiB", r.name, 100*share, inMiB(after.rss))
	return nil
}

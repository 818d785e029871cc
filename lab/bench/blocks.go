package main

import (
	"context"
	"fmt"
	"net/netip"
	"time"
)

const (
	eventLimit  = 15 * time.Second // for one route to come or go
	eventBudget = 15 * time.Second // for all repetitions that are quick for most: FRR takes a tenth of a second each
)

// await takes events until one says that the prefix came or went.
func (m *monitor) await(ctx context.Context, p netip.Prefix, deleted bool) (event, error) {
	ctx, cancel := context.WithTimeout(ctx, eventLimit)
	defer cancel()
	for {
		e, err := m.next(ctx)
		if err != nil {
			return event{}, fmt.Errorf("waiting for %s (deleted: %t): %w", p, deleted, err)
		}
		if e.prefix == p && e.deleted == deleted {
			return e, nil
		}
	}
}

// moreBlocks measures the way of a single block from the sender's UPDATE to the kernel. Each is withdrawn again.
func (b *bench) moreBlocks(ctx context.Context, r *rig, m *monitor, size int) error {
	what := metricBlock(size)
	enough := time.Now().Add(eventBudget)
	for i := 0; i < b.events && time.Now().Before(enough); i++ {
		one := []netip.Prefix{block(size + i%spareBlocks)}
		m.drain()
		began := time.Now()
		if err := r.speaker.send(updateMessages(one, senderAddr())); err != nil {
			return err
		}
		e, err := m.await(ctx, one[0], false)
		if err != nil {
			return err
		}
		b.results.add(what, r.id, inMs(e.at.Sub(began)))
		if err := r.speaker.send(withdrawMessages(one)); err != nil {
			return err
		}
		if _, err := m.await(ctx, one[0], true); err != nil {
			return err
		}
		if err := pause(ctx, between); err != nil {
			return err
		}
	}
	b.say("%s: %s: %.2f ms", r.name, what, b.results.of(what, r.id).median())
	return nil
}

// between is a rest between two measurements of single routes, so that one does not run into the next.
const between = 2 * time.Millisecond

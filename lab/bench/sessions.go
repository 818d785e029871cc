package main

import (
	"context"
	"errors"
	"time"
)

const (
	blocksPerNode = 5
	manyLimit     = 3 * time.Minute // for all sessions to come up
)

// nodeFeed is what the node with a number says of its blocks.
func nodeFeed(i int) []byte {
	return append(updateMessages(nodeBlocks(i, blocksPerNode), nodeAddr(i)), endOfRIB()...)
}

// manySessions measures a daemon with a session to each of n nodes: its start, its rest, and the loss of all at once.
func (b *bench) manySessions(ctx context.Context, c competitor, n int) error {
	return b.withRig(ctx, c, manyNodes(n), func(r *rig) error {
		if err := r.count(); err != nil {
			return err
		}
		ns, err := startNodes(ctx, r, nodeFeed)
		if err != nil {
			return err
		}
		if err := b.coldStart(ctx, r, ns); err != nil {
			return errors.Join(err, r.alive(), ns.close())
		}
		if err := b.idleness(ctx, r, metricSessionsIdle(n), metricSessionsRSS(n)); err != nil {
			return errors.Join(err, ns.close())
		}
		return errors.Join(b.loseAll(ctx, r, ns), ns.close())
	})
}

// coldStart starts the daemon and waits for every session and every route.
func (b *bench) coldStart(ctx context.Context, r *rig, ns *nodes) error {
	ctx, cancel := context.WithTimeout(ctx, manyLimit)
	defer cancel()
	n := len(ns.all)
	began := time.Now()
	if err := r.launch(ctx); err != nil {
		return err
	}
	seen, err := r.counter.until(ctx, "all routes", func(count int) bool { return count >= n*blocksPerNode })
	if err != nil {
		_, sessionsErr := ns.allUp(ctx)
		return errors.Join(err, sessionsErr)
	}
	up, err := ns.allUp(ctx)
	if err != nil {
		return err
	}
	after, err := r.usage()
	if err := errors.Join(err, r.alive()); err != nil {
		return err
	}
	routes, _ := seen.reached(n * blocksPerNode) // until returned
	b.results.add(metricSessionsUp(n), r.id, up.Sub(began).Seconds())
	b.results.add(metricSessionsRoutes(n), r.id, later(up, routes).Sub(began).Seconds())
	b.results.add(metricSessionsCPU(n), r.id, after.cpu.Seconds())
	if err := pause(ctx, settle); err != nil {
		return err
	}
	u, err := r.usage()
	if err != nil {
		return err
	}
	b.results.add(metricSessionsPeak(n), r.id, inMB(u.peak))
	b.say("%s: %s sessions up after %.2f s, their routes after %.2f s; %.0f MB", r.name, thousands(n),
		up.Sub(began).Seconds(), routes.Sub(began).Seconds(), inMB(u.peak))
	return nil
}

// loseAll ends every session at once, and waits until all are back.
func (b *bench) loseAll(ctx context.Context, r *rig, ns *nodes) error {
	ctx, cancel := context.WithTimeout(ctx, manyLimit)
	defer cancel()
	m, err := startListener(r.ns)
	if err != nil {
		return err
	}
	n := len(ns.all)
	err = func() error {
		began := time.Now()
		ns.drop(false)
		up, err := ns.allUp(ctx)
		if err != nil {
			return err
		}
		if err := pause(ctx, backWatch); err != nil {
			return err
		}
		lost, err := m.losses()
		if err := errors.Join(err, r.alive()); err != nil {
			return err
		}
		u, err := r.usage()
		if err != nil {
			return err
		}
		b.results.add(metricSessionsBack(n), r.id, up.Sub(began).Seconds())
		b.results.add(metricSessionsLost(n), r.id, float64(lost))
		b.results.add(metricSessionsPeakAfter(n), r.id, inMB(u.peak))
		b.say("%s: %s sessions lost and back after %.2f s, %s routes lost meanwhile; %.0f MB", r.name, thousands(n),
			up.Sub(began).Seconds(), thousands(lost), inMB(u.peak))
		return nil
	}()
	return errors.Join(err, m.close())
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// inMB is in the unit of the promises about memory.
func inMB(bytes int64) float64 { return float64(bytes) / 1e6 }

package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// reflectedFeed is what a reflector says of the first n blocks.
func reflectedFeed(reflector netip.Addr, n int) []byte {
	var out []byte
	for i := range n / blocksPerNode {
		out = append(out, reflectedMessages(nodeBlocks(i, blocksPerNode), nodeAddr(i), reflector)...)
	}
	return append(out, endOfRIB()...)
}

// nodeBlocks are the blocks of the node with a number, when each has so many.
func nodeBlocks(i, each int) (all []netip.Prefix) {
	for j := range each {
		all = append(all, block(i*each+j))
	}
	return all
}

// reflectors measures a daemon that learns n routes from two reflectors, each of which has all of them, and loses both.
func (b *bench) reflectors(ctx context.Context, c competitor, n int) error {
	return b.withRig(ctx, c, twoReflectors(), func(r *rig) error {
		if err := r.count(); err != nil {
			return err
		}
		ns, err := startNodes(ctx, r, func(int) []byte { return nil })
		if err != nil {
			return err
		}
		if err := b.reflected(ctx, r, ns, n); err != nil {
			return errors.Join(err, r.alive(), ns.close())
		}
		return errors.Join(b.loseReflectors(ctx, r, ns, n), ns.close())
	})
}

// reflected has both reflectors begin at the same moment, when their sessions are up.
func (b *bench) reflected(ctx context.Context, r *rig, ns *nodes, n int) error {
	ctx, cancel := context.WithTimeout(ctx, installLimit)
	defer cancel()
	if err := r.launch(ctx); err != nil {
		return err
	}
	if _, err := ns.allUp(ctx); err != nil {
		return err
	}
	feeds := make([][]byte, len(ns.all))
	for i, nd := range ns.all {
		feeds[i] = reflectedFeed(nd.Addr, n)
	}
	before, err := r.usage()
	if err != nil {
		return err
	}
	sent := make(chan error, len(feeds))
	began := time.Now()
	for i, nd := range ns.all {
		go func() { sent <- nd.say(feeds[i]) }()
	}
	seen, err := r.counter.until(ctx, "all routes", func(count int) bool { return count >= n })
	for range feeds {
		err = errors.Join(err, <-sent)
	}
	if err != nil {
		return err
	}
	after, err := r.restful(ctx)
	if err := errors.Join(err, r.alive()); err != nil {
		return err
	}
	all, _ := seen.reached(n) // until returned
	b.results.add(metricReflected(n), r.id, all.Sub(began).Seconds())
	b.results.add(metricReflectedCPU(n), r.id, (after.cpu - before.cpu).Seconds())
	b.results.add(metricReflectedPeak(n), r.id, inMB(after.peak))
	b.results.add(metricReflectedRSS(n), r.id, inMB(after.rss))
	b.say("%s: %s routes of two reflectors after %.2f s; %.0f MB", r.name, thousands(n), all.Sub(began).Seconds(), inMB(after.peak))
	return nil
}

// restful waits until the daemon has nothing to do any more: the second feed changes no route.
func (r *rig) restful(ctx context.Context) (usage, error) {
	last, err := r.usage()
	for err == nil {
		if err = pause(ctx, settle); err != nil {
			break
		}
		var u usage
		if u, err = r.usage(); err == nil && u.cpu-last.cpu <= 2*clockTick {
			return u, nil
		}
		last = u
	}
	return last, fmt.Errorf("%s finds no rest: %w", r.name, err)
}

// loseReflectors takes one reflector away and then the other.
func (b *bench) loseReflectors(ctx context.Context, r *rig, ns *nodes, n int) error {
	m, err := startListener(r.ns)
	if err != nil {
		return err
	}
	for i, nd := range ns.all {
		nd.drop(true)
		if err = pause(ctx, lossWatch); err != nil {
			break
		}
		var lost int
		lost, err = m.losses()
		if err = errors.Join(err, r.alive()); err != nil {
			break
		}
		b.results.add(metricReflectedLost(n, i+1), r.id, float64(lost))
		b.say("%s: %d of two reflectors lost, %s routes with them", r.name, i+1, thousands(lost))
	}
	return errors.Join(err, m.close())
}

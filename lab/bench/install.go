package main

import (
	"context"
	"errors"
	"time"
)

// installation is how a first install went.
type installation struct {
	middle, total, sent time.Duration
	cpu                 time.Duration // of the competitor, from before the session to the last route
}

// install has the competitor learn the first n blocks and waits until all are in the kernel.
func (r *rig) install(ctx context.Context, n int) (installation, error) {
	messages := append(updateMessages(blocks(n), senderAddr()), endOfRIB()...)
	if err := r.begin(ctx); err != nil {
		return installation{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, installLimit)
	defer cancel()
	before, err := r.usage()
	if err != nil {
		return installation{}, err
	}
	type sending struct {
		err  error
		took time.Duration
	}
	sent := make(chan sending, 1)
	go func() {
		err := r.speaker.send(messages)
		sent <- sending{err, time.Since(r.speaker.began)}
	}()
	seen, err := r.counter.until(ctx, "all routes", func(count int) bool { return count >= n })
	s := <-sent
	after, usageErr := r.usage()
	if err := errors.Join(err, s.err, usageErr, r.alive()); err != nil {
		return installation{}, err
	}
	middle, ok := seen.middle(n)
	if !ok {
		return installation{}, errors.New("the counter saw no install")
	}
	all, _ := seen.reached(n) // until returned
	return installation{middle: middle, total: all.Sub(r.speaker.began), sent: s.took, cpu: after.cpu - before.cpu}, nil
}

// settle is how long a daemon gets to finish after the last route before its memory is read.
const settle = time.Second

// freshInstall measures one install of the large table by a daemon that has just started.
func (b *bench) freshInstall(ctx context.Context, c competitor) error {
	return b.withRig(ctx, c, oneSender(), func(r *rig) error {
		in, err := r.install(ctx, b.routes)
		if err != nil {
			return err
		}
		if err := pause(ctx, settle); err != nil {
			return err
		}
		u, err := r.usage()
		if err != nil {
			return err
		}
		b.results.add(metricMiddle(b.routes), c.id, in.middle.Seconds())
		b.results.add(metricTotal(b.routes), c.id, in.total.Seconds())
		b.results.add(metricPeak(b.routes), c.id, inMiB(u.peak))
		b.results.add(metricCPU(b.routes), c.id, in.cpu.Seconds())
		b.results.add(metricSent(b.routes), c.id, in.sent.Seconds())
		b.say("%s installed %s routes in %.2f s (1 %% to 99 %%: %.2f s), %.0f MiB", c.name, thousands(b.routes),
			in.total.Seconds(), in.middle.Seconds(), inMiB(u.peak))
		return nil
	})
}

func inMiB(bytes int64) float64 { return float64(bytes) / (1 << 20) }

func inMs(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

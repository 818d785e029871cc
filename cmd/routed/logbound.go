package main

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Of one event there are so many lines in a window at most, from info upwards: a thousand sessions that flap, or whoever
// provokes us, fill no disk. What was left out is told at the window's end.
const (
	boundLines  = 200
	boundWindow = 10 * time.Second
)

// eventBound is a handler that bounds the lines of each event. Its copies by WithAttrs and WithGroup count together.
type eventBound struct {
	next  slog.Handler
	debug slog.Handler // of the lines below info
	event string       // of the attributes that were given before; empty: the line tells
	count *eventCount
}

// eventCount counts the lines of this window.
type eventCount struct {
	mu   sync.Mutex
	from time.Time
	of   map[string]int
}

func newEventBound(next, debug slog.Handler) *eventBound {
	return &eventBound{next: next, debug: debug, count: &eventCount{of: map[string]int{}}}
}

// Enabled implements [slog.Handler].
func (b *eventBound) Enabled(ctx context.Context, l slog.Level) bool { return b.next.Enabled(ctx, l) }

// WithAttrs implements [slog.Handler].
func (b *eventBound) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *b
	for _, a := range attrs {
		c.see(a)
	}
	c.next, c.debug = b.next.WithAttrs(attrs), b.debug.WithAttrs(attrs)
	return &c
}

// WithGroup implements [slog.Handler].
func (b *eventBound) WithGroup(name string) slog.Handler {
	c := *b
	c.next, c.debug = b.next.WithGroup(name), b.debug.WithGroup(name)
	return &c
}

func (b *eventBound) see(a slog.Attr) {
	if a.Key == "event" {
		b.event = a.Value.String()
	}
}

// Handle implements [slog.Handler].
func (b *eventBound) Handle(ctx context.Context, r slog.Record) error {
	if r.Level < slog.LevelInfo {
		return b.debug.Handle(ctx, r)
	}
	line := *b
	r.Attrs(func(a slog.Attr) bool {
		line.see(a)
		return true
	})
	if !b.count.admit(line.event, r.Time) {
		return nil
	}
	return b.next.Handle(ctx, r)
}

// admit tells whether one more line of the event may pass.
func (c *eventCount) admit(event string, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.from.IsZero() {
		c.from = now
	}
	c.of[event]++
	return c.of[event] <= boundLines
}

// turn ends the window when its time has come, and returns what was left out in it.
func (c *eventCount) turn(now time.Time) map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.from.IsZero() || now.Sub(c.from) < boundWindow {
		return nil
	}
	out := map[string]int{}
	for event, n := range c.of {
		if n > boundLines {
			out[event] = n - boundLines
		}
	}
	c.from, c.of = time.Time{}, map[string]int{}
	return out
}

// run tells what is left out until ctx ends.
func (b *eventBound) run(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			for event, n := range b.count.turn(now) {
				slog.New(b.next).Warn("lines of the log were left out", "event", "log-bounded", "of", event, "count", n)
			}
		}
	}
}

package kernel

import (
	"context"
	"fmt"
	"slices"
	"time"
)

const walkStep = 2000 // entries copied before the loop sees to its other work

// walk copies wanted routes for a caller, a piece at each turn of the loop.
type walk struct {
	take func(*entry) bool // which; nil: all
	next int
	out  []RouteStatus
	done chan struct{}
}

// Routes lists all wanted routes, sorted by prefix, and how each stands. It waits for the loop, which copies them
// in pieces: each is true, though not all at one instant. It is nil when Run has not begun or has returned, or when ctx
// ends before that.
func (r *Reconciler) Routes(ctx context.Context) []RouteStatus { return r.walk(ctx, nil) }

// Astray lists some of the routes that are not installed, sorted by prefix: of each group and state as many as told. It is
// as [Reconciler.Routes], but copies no more than it lists.
func (r *Reconciler) Astray(ctx context.Context, each int) []RouteStatus {
	type kind struct {
		group *group
		state State
	}
	seen := map[kind]int{}
	return r.walk(ctx, func(e *entry) bool {
		k := kind{e.group, e.state}
		if e.state == StateInstalled || seen[k] == each {
			return false
		}
		seen[k]++
		return true
	})
}

func (r *Reconciler) walk(ctx context.Context, take func(*entry) bool) []RouteStatus {
	if !r.started.Load() {
		return nil
	}
	w := &walk{take: take, done: make(chan struct{})}
	select {
	case r.walks <- w:
	case <-r.done:
		return nil
	case <-ctx.Done():
		return nil
	}
	select {
	case <-w.done:
	case <-r.done:
		return nil
	case <-ctx.Done():
		return nil
	}
	slices.SortFunc(w.out, func(a, b RouteStatus) int { return a.Route.Prefix.Compare(b.Route.Prefix) })
	return w.out
}

// stepWalks does a piece of each walk and says whether any goes on.
func (l *loop) stepWalks() bool {
	if len(l.walking) == 0 {
		return false
	}
	l.walking = slices.DeleteFunc(l.walking, func(w *walk) bool {
		end := min(w.next+walkStep, len(l.all))
		if w.out == nil && w.take == nil {
			w.out = make([]RouteStatus, 0, len(l.all))
		}
		for _, e := range l.all[w.next:end] {
			if e != nil && e.wanted() && (w.take == nil || w.take(e)) {
				w.out = append(w.out, l.routeStatus(e))
			}
		}
		if w.next = end; end < len(l.all) {
			return false
		}
		close(w.done)
		return true
	})
	if len(l.walking) == 0 && l.holes {
		l.compact()
	}
	return len(l.walking) > 0
}

func (l *loop) routeStatus(e *entry) RouteStatus {
	s := RouteStatus{
		Route:  Route{Prefix: e.prefix, NextHop: e.hop.addr, Group: e.group.name},
		State:  e.state,
		Device: l.topology.DeviceName(e.hop.way.device),
		Since:  time.Unix(0, e.since),
	}
	if e.state != StateInstalled {
		s.Err = l.reason(e)
	}
	return s
}

// reason says why a route is not installed.
func (l *loop) reason(e *entry) string {
	switch {
	case e.state == StateShadowed:
		return l.shadowed[e].answer
	case familyOf(e.prefix) != familyOfAddr(e.hop.addr):
		return fmt.Sprintf("next hop %s is of another address family", e.hop.addr)
	case e.hop.way.reason != "":
		return e.hop.way.reason
	case e.state == StateConflict:
		target := l.r.own.target(e.prefix, e.hop.addr, e.hop.way)
		for _, r := range l.routes(e) {
			if sameKey(r, target) {
				return holderText(r, l.topology)
			}
		}
	case e.fail != nil:
		return "the kernel refused it: " + e.fail.err.Error()
	}
	return ""
}

// holderText says who holds the place of a wanted route. Of an IPv6 bundle of next hops the kernel tells one protocol,
// which can be ours: only a part of it is foreign.
func holderText(r FIBRoute, t Topology) string {
	text := routeText(r, t.DeviceName(r.Device))
	if isIPv6(r.Prefix) && r.Flags&FlagMultipath != 0 {
		return "held by a bundle of next hops, some of them foreign: " + text + " and others"
	}
	return "held by a foreign route: " + text
}

package kernel

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

const walkStep = 2000 // entries copied before the loop sees to its other work

// walk copies wanted routes for a caller of Routes, a piece at each turn of the loop, or of Route.
type walk struct {
	only netip.Prefix // the one that is asked for; zero: all are
	next int
	out  []RouteStatus
	done chan struct{}
}

// Routes lists all wanted routes, sorted by prefix, and how each stands. It waits for the loop, which copies them
// in pieces: each is true, though not all at one instant. It is nil when Run has not begun or has returned.
func (r *Reconciler) Routes() []RouteStatus {
	wanted := 0
	for _, g := range r.Status().Routes {
		wanted += g.Wanted
	}
	// The room is made here, and the loop not kept from its work by it.
	out := r.walk(&walk{out: make([]RouteStatus, 0, wanted), done: make(chan struct{})})
	slices.SortFunc(out, func(a, b RouteStatus) int { return a.Route.Prefix.Compare(b.Route.Prefix) })
	return out
}

// Route tells how one wanted route stands; false: none is wanted to that prefix, or Run has not begun or has returned.
func (r *Reconciler) Route(prefix netip.Prefix) (RouteStatus, bool) {
	out := r.walk(&walk{only: normal(prefix), done: make(chan struct{})})
	if len(out) == 0 {
		return RouteStatus{}, false
	}
	return out[0], true
}

// walk hands a walk to the loop and waits for its end.
func (r *Reconciler) walk(w *walk) []RouteStatus {
	if !r.started.Load() {
		return nil
	}
	select {
	case r.walks <- w:
	case <-r.done:
		return nil
	}
	select {
	case <-w.done:
		return w.out
	case <-r.done:
		return nil
	}
}

// stepWalks does a piece of each walk and says whether any goes on.
func (l *loop) stepWalks() bool {
	if len(l.walking) == 0 {
		return false
	}
	l.walking = slices.DeleteFunc(l.walking, func(w *walk) bool {
		if !l.stepWalk(w) {
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

// stepWalk does a piece of one walk and says whether it has come to its end.
func (l *loop) stepWalk(w *walk) bool {
	if w.only.IsValid() {
		if e := l.entries[w.only]; e != nil && e.wanted() {
			w.out = append(w.out, l.routeStatus(e))
		}
		return true
	}
	end := min(w.next+walkStep, len(l.all))
	for _, e := range l.all[w.next:end] {
		if e != nil && e.wanted() {
			w.out = append(w.out, l.routeStatus(e))
		}
	}
	w.next = end
	return end == len(l.all)
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

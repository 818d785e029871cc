package kernel

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// onEvents handles one batch of events; ok is false when the subscription is lost.
func (l *loop) onEvents(ctx context.Context, batch []Event, ok bool) {
	l.now = time.Now()
	if !ok {
		l.events = nil
		l.overrun("the subscription to kernel events ended")
		l.rewatchAt = time.Now()
		return
	}
	var moved, rules, lost bool
	for i := range batch {
		e := &batch[i]
		switch e.Kind {
		case EventRoute:
			l.onRoute(e)
		case EventLink:
			moved = l.onLink(e) || moved
		case EventAddress:
			moved = l.onAddress(e) || moved
		case EventRule:
			rules = rules || l.concernsUs(e.Rule)
		case EventOverrun:
			lost = true
		}
	}
	if lost {
		l.overrun("kernel events were lost")
		l.refresh(ctx)
		return
	}
	if moved {
		l.resolveAll(time.Now())
	}
	if rules {
		l.reconcileRules(ctx, causeRule)
	}
}

func (l *loop) overrun(what string) {
	l.tally.status.Overruns++
	l.tally.dirty = true
	l.r.log.Warn(what, "event", "netlink-overrun")
}

// rewatch subscribes again and, once that stands, looks at everything.
func (l *loop) rewatch(ctx context.Context) {
	events, err := l.r.fib.Watch(ctx, l.r.own.table)
	if err != nil {
		l.tally.failed("watch", err)
		l.rewatchAt = time.Now().Add(rewatchWait)
		return
	}
	l.events, l.rewatchAt = events, time.Time{}
	l.refresh(ctx)
}

// refresh looks at everything, now.
func (l *loop) refresh(ctx context.Context) {
	if err := l.readTopology(ctx); err != nil {
		l.tally.failed("dump", err)
	}
	l.resolveAll(time.Now())
	l.reconcileRules(ctx, causeRule)
	if l.dump != nil {
		l.dump.again = true // what it read may be older than what was lost
		return
	}
	l.startDump(ctx)
}

// onRoute follows a route event in the mirror and has the prefix looked at.
func (l *loop) onRoute(ev *Event) {
	e := l.entries[ev.Route.Prefix]
	if e == nil {
		if ev.Gone {
			return
		}
		e = l.entryFor(ev.Route.Prefix)
	}
	why, unsure := causeChanged, ambiguous(ev, l.routes(e))
	if ev.Gone {
		why = causeDeleted
		exact := false
		l.edit(e, func(have []FIBRoute) []FIBRoute {
			have, exact = take(have, ev.Route)
			return have
		})
		// Not known, and yet something is in its place: the mirror and the kernel disagree about what was there.
		unsure = unsure || !exact && holders(l.routes(e), ev.Route) > 0
	} else {
		l.edit(e, func(have []FIBRoute) []FIBRoute { return put(have, ev.Route, ev.Mode) })
	}
	if unsure {
		l.resyncSoon(ev.At)
	}
	l.enqueue(e, why, ev.At)
}

// ambiguous says whether an event leaves open what became of its place. Two routes that differ only in what a FIBRoute
// does not tell are one to us. And IPv6 makes one route with several next hops of those that can be bundled, tells of
// a part as though it were the whole, and replaces the bundle or what stands beside it (fib6_add_rt2node in
// net/ipv6/ip6_fib.c).
func ambiguous(ev *Event, have []FIBRoute) bool {
	if !ev.Gone && ev.Route.Flags&(FlagMultipath|FlagOther) != 0 && slices.Contains(have, ev.Route) {
		return true
	}
	if !isIPv6(ev.Route.Prefix) {
		return false
	}
	if ev.Route.Flags&FlagMultipath != 0 {
		return true
	}
	replaced := func(h FIBRoute) bool {
		return sameKey(h, ev.Route) && (h.Flags&FlagMultipath != 0 || holders(have, h) > 1)
	}
	return !ev.Gone && ev.Mode == putReplace && slices.ContainsFunc(have, replaced)
}

// onLink follows a link event and says whether next hops have to be resolved anew.
func (l *loop) onLink(ev *Event) bool {
	before := l.topology.Links[ev.Link.Index]
	var moved bool
	if ev.Gone {
		moved = l.topology.dropLink(ev.Link.Index)
	} else {
		moved = l.topology.setLink(ev.Link)
	}
	if before.Up && (ev.Gone || !ev.Link.Up) {
		l.ranDown(ev.Link.Index, ev.At)
	}
	return moved
}

// ranDown forgets the routes of a device that went down: the kernel dropped them, those of IPv4 without a word.
func (l *loop) ranDown(device int32, at time.Time) {
	if l.riding[device] == 0 {
		return
	}
	for i := len(l.all) - 1; i >= 0; i-- { // downwards: enqueue may drop
		e := l.all[i]
		if e == nil || !e.have.ridesOn(device) {
			continue
		}
		l.edit(e, func(have []FIBRoute) []FIBRoute {
			return slices.DeleteFunc(have, func(r FIBRoute) bool { return r.Device == device })
		})
		l.enqueue(e, causeLink, at)
	}
	l.resyncSoon(at)
}

// onAddress follows an address event and says whether next hops have to be resolved anew.
func (l *loop) onAddress(ev *Event) bool {
	if ev.Address.Local.IsLinkLocalUnicast() {
		return false // no next hop of ours lies there, and every pod's interface has one
	}
	if !ev.Gone {
		return l.topology.setAddress(ev.Address)
	}
	if l.riding[ev.Address.Device] > 0 {
		// With a device's last IPv4 address go all its routes, and with a preferred source its own: in silence.
		l.resyncSoon(ev.At)
	}
	return l.topology.dropAddress(ev.Address)
}

// resolveAll finds the way to each next hop anew after links or addresses changed, and has the routes through those
// that moved looked at, as well as all that failed.
func (l *loop) resolveAll(now time.Time) {
	moved := false
	for _, h := range l.hops {
		by := l.topology.resolve(h.addr)
		h.moved = by != h.way
		h.way = by
		moved = moved || h.moved
	}
	if moved {
		for _, e := range l.all {
			if e != nil && e.wanted() && e.hop.moved {
				l.enqueue(e, causeLink, now)
			}
		}
	}
	for e := range l.failing {
		e.fail.times = 0
		l.enqueue(e, causeLink, now)
	}
}

func (l *loop) readTopology(ctx context.Context) error {
	var err error
	for range startTries {
		var t Topology
		if t, err = l.r.fib.Topology(ctx); err == nil {
			l.replaceTopology(t)
			return nil
		}
	}
	return fmt.Errorf("read links and addresses: %w", err)
}

// replaceTopology takes a fresh dump, and forgets the routes of devices that went down unheard.
func (l *loop) replaceTopology(t Topology) {
	before := l.topology
	l.topology = t
	for device := range l.riding {
		if before.Links[device].Up && !t.Links[device].Up {
			l.ranDown(device, time.Now())
		}
	}
}

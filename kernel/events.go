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
	var stirred []int32 // devices that something was told of
	for i := range batch {
		e := &batch[i]
		switch e.Kind {
		case EventRoute:
			l.onRoute(e)
		case EventLink:
			moved = l.onLink(e) || moved
			stirred = append(stirred, e.Link.Index)
		case EventAddress:
			moved = l.onAddress(e) || moved
			stirred = append(stirred, e.Address.Device)
		case EventRule:
			rules = l.onRule(e) || rules
		case EventNextHop:
			if e.Gone && l.conflicts() > 0 {
				l.resyncSoon(e.At) // a foreign route may have gone with it, that of IPv4 without a word
			}
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
	} else if len(stirred) > 0 && len(l.failing) > 0 {
		l.tryAgain(stirred)
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
	l.refreshTopology(ctx)
	l.reconcileRules(ctx, causeRule)
	if l.dump != nil {
		l.dump.again = true // what it read may be older than what was lost
		return
	}
	l.startDump(ctx)
}

// refreshTopology reads links and addresses again, until it succeeds: whatever is wrong with them would stay wrong.
func (l *loop) refreshTopology(ctx context.Context) {
	l.topologyAt = time.Time{}
	if err := l.readTopology(ctx); err != nil {
		l.tally.failed("dump", err)
		l.topologyAt = time.Now().Add(rewatchWait)
		return
	}
	l.resolveAll(time.Now())
}

// onRule says whether a rule event can mean that one of our rules is gone or has company.
func (l *loop) onRule(ev *Event) bool {
	if l.outranks(ev.Rule) {
		l.hasten()
	}
	return l.concernsUs(ev.Rule)
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
	l.overlaid(ev.Route)
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
	carries := l.riding[ev.Link.Index] > 0 || l.topology.hasIPv4(ev.Link.Index) // pods' links, which come and go, do not
	var moved bool
	if ev.Gone {
		moved = l.topology.dropLink(ev.Link.Index)
	} else {
		moved = l.topology.setLink(ev.Link)
	}
	switch up := ev.Link.Up && !ev.Gone; {
	case !carries:
	case before.Up && !up:
		l.lost(ev.Link.Index, ev.At, func(FIBRoute) bool { return true })
	case !before.Up && up:
		// The kernel tells of a link first, and drops its routes then (__dev_notify_flags in net/core/dev.c), so that a dump in
		// between still had some. Now they are gone for sure, and no new one is there yet.
		l.lost(ev.Link.Index, ev.At, isIPv4)
	}
	return moved
}

func isIPv4(r FIBRoute) bool { return !isIPv6(r.Prefix) }

// lost forgets routes of a device that the kernel drops, those of IPv4 without a word. What a dump says of them that runs, or
// begins before the kernel is through, may be of the past.
func (l *loop) lost(device int32, at time.Time, of func(FIBRoute) bool) {
	if l.dump != nil {
		l.dump.void = true
	}
	if l.riding[device] == 0 {
		return
	}
	l.twice = true
	gone := func(r FIBRoute) bool { return r.Device == device && of(r) }
	for i := len(l.all) - 1; i >= 0; i-- { // downwards: enqueue may drop
		e := l.all[i]
		if e == nil || !e.have.ridesOn(device) || !slices.ContainsFunc(l.routes(e), gone) {
			continue
		}
		l.edit(e, func(have []FIBRoute) []FIBRoute { return slices.DeleteFunc(have, gone) })
		l.enqueue(e, causeLink, at)
	}
	l.resyncSoon(at)
}

// onAddress follows an address event and says whether next hops have to be resolved anew.
func (l *loop) onAddress(ev *Event) bool {
	a := ev.Address
	if a.Local.IsLinkLocalUnicast() {
		return false // no next hop of ours lies there, and every pod's interface has one
	}
	if !ev.Gone {
		return l.topology.setAddress(a)
	}
	moved := l.topology.dropAddress(a)
	switch {
	case a.Local.Is4() && !l.topology.hasIPv4(a.Device): // with a device's last IPv4 address go all its routes
		l.lost(a.Device, ev.At, isIPv4)
	case l.riding[a.Device] > 0 || l.conflicts() > 0:
		// With a preferred source go the routes that have it, over whatever device. They are foreign, but the place of
		// one of them may be wanted.
		l.resyncSoon(ev.At)
	}
	return moved
}

// conflicts counts the wanted routes whose place somebody else holds.
func (l *loop) conflicts() int {
	n := 0
	for _, g := range l.groups {
		for family := range g.states {
			n += g.states[family][StateConflict]
		}
	}
	return n
}

// tryAgain has what the kernel refused looked at again where the device has stirred: it may have become ready without a
// change that we know of, as at the end of duplicate address detection.
func (l *loop) tryAgain(devices []int32) {
	for e := range l.failing {
		if e.wanted() && slices.Contains(devices, e.hop.way.device) {
			l.enqueue(e, causeLink, time.Time{})
		}
	}
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
			l.lost(device, time.Now(), func(FIBRoute) bool { return true })
		}
	}
}

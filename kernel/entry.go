package kernel

import (
	"net/netip"
	"time"
)

// entry is all that is known of one prefix: what is wanted and what our table has. There is one for each prefix
// that is wanted or in the table, so it is kept small.
type entry struct {
	prefix netip.Prefix
	have   []FIBRoute // in the kernel's order
	hop    *hop       // nil: not wanted
	group  *group     // nil: not wanted
	fail   *failure   // nil: the last operation did not fail
	shadow string     // what a FIB lookup answered instead, when StateShadowed
	since  int64      // of state, Unix nanoseconds
	place  int        // in loop.all
	after  *entry     // that followed it in the last dump: the next one most likely has the same order

	seenIn  uint32 // the dump that it was last seen in
	touched uint32 // the dump during which something newer was learned or done
	seen    int32  // how many routes that dump had for it
	state   State
	queued  bool
	dropped bool // it is in the loop's map no more
	placed  bool // it has been in the kernel as wanted, so that putting it there again is a repair
}

func (e *entry) wanted() bool { return e.hop != nil }

// hop is a next hop and how it is reached. All routes through it share one.
type hop struct {
	addr  netip.Addr
	way   way
	users int
	moved bool // its way changed just now
}

// group counts the wanted routes of one Route.Group, by family and state.
type group struct {
	name   string
	used   [2]bool
	states [2][stateCount]int
}

// failure is an operation that failed, and when it is tried again.
type failure struct {
	err   error
	times int
	next  time.Time
}

const (
	backoffFirst = time.Second
	backoffMost  = time.Minute
)

// backoff is how long to wait after a number of failures in a row.
func backoff(times int) time.Duration {
	if times > 7 {
		return backoffMost
	}
	return min(backoffFirst<<max(times-1, 0), backoffMost)
}

func familyIndex(p netip.Prefix) int {
	if isIPv6(p) {
		return 1
	}
	return 0
}

// entryFor finds or makes the entry of a prefix.
func (l *loop) entryFor(p netip.Prefix) *entry {
	e := l.entries[p]
	if e == nil {
		e = &entry{prefix: p, place: len(l.all)}
		l.entries[p] = e
		l.all = append(l.all, e)
	}
	return e
}

// drop forgets an entry that says nothing any more.
func (l *loop) drop(e *entry) {
	if e.wanted() || len(e.have) > 0 || e.queued {
		return
	}
	delete(l.entries, e.prefix)
	e.dropped, e.after = true, nil
	delete(l.failing, e)
	if len(l.walking) > 0 {
		l.all[e.place] = nil // nothing may move while somebody walks
		l.holes = true
		return
	}
	last := l.all[len(l.all)-1]
	l.all[e.place], last.place = last, e.place
	l.all[len(l.all)-1] = nil
	l.all = l.all[:len(l.all)-1]
}

// compact closes the holes that drop left while somebody walked.
func (l *loop) compact() {
	kept := l.all[:0]
	for _, e := range l.all {
		if e != nil {
			e.place = len(kept)
			kept = append(kept, e)
		}
	}
	clear(l.all[len(kept):])
	l.all, l.holes = kept, false
}

// setHave notes what the table has for a prefix, and which devices routes ride on.
func (l *loop) setHave(e *entry, have []FIBRoute) {
	for _, r := range e.have {
		l.ride(r.Device, -1)
	}
	for _, r := range have {
		l.ride(r.Device, +1)
	}
	e.have = have
	e.touched = l.dumpCount
}

// edit changes e.have by a function that may reuse its array.
func (l *loop) edit(e *entry, change func(have []FIBRoute) []FIBRoute) {
	for _, r := range e.have {
		l.ride(r.Device, -1)
	}
	e.have = nil2(change(e.have))
	for _, r := range e.have {
		l.ride(r.Device, +1)
	}
	e.touched = l.dumpCount
}

// nil2 lets go of the array of an empty slice.
func nil2(have []FIBRoute) []FIBRoute {
	if len(have) == 0 {
		return nil
	}
	return have
}

func (l *loop) ride(device int32, n int) {
	if device == 0 {
		return
	}
	if l.riding[device] += n; l.riding[device] == 0 {
		delete(l.riding, device)
	}
}

// setState notes how a wanted route stands and keeps the counts.
func (l *loop) setState(e *entry, s State) {
	if !e.wanted() || e.state == s {
		return
	}
	counts := &e.group.states[familyIndex(e.prefix)]
	counts[e.state]--
	counts[s]++
	if e.state == StateShadowed {
		e.shadow = ""
		delete(l.shadowed, e)
	}
	e.state, e.since = s, time.Now().UnixNano()
	l.tally.dirty = true
}

// want makes an entry wanted through a next hop, in a group.
func (l *loop) want(e *entry, next netip.Addr, name string) {
	if e.wanted() && e.hop.addr == next && e.group.name == name {
		return
	}
	l.unwant(e)
	e.hop, e.group = l.hopFor(next), l.groupFor(name)
	e.hop.users++
	family := familyIndex(e.prefix)
	e.group.used[family] = true
	e.state, e.since = StateMissing, time.Now().UnixNano()
	e.group.states[family][e.state]++
	l.tally.dirty = true
}

// unwant takes an entry out of what is wanted.
func (l *loop) unwant(e *entry) {
	if !e.wanted() {
		return
	}
	e.group.states[familyIndex(e.prefix)][e.state]--
	delete(l.shadowed, e)
	delete(l.failing, e)
	if e.hop.users--; e.hop.users == 0 {
		delete(l.hops, e.hop.addr)
	}
	e.hop, e.group, e.fail, e.shadow, e.placed = nil, nil, nil, "", false
	l.tally.dirty = true
}

func (l *loop) hopFor(a netip.Addr) *hop {
	h := l.hops[a]
	if h == nil {
		h = &hop{addr: a, way: l.topology.resolve(a)}
		l.hops[a] = h
	}
	return h
}

func (l *loop) groupFor(name string) *group {
	g := l.groups[name]
	if g == nil {
		g = &group{name: name}
		l.groups[name] = g
	}
	return g
}

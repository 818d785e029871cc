package kernel

import (
	"net/netip"
	"time"
)

// entry is all that is known of one prefix: what is wanted and what our table has. There is one for each prefix
// that is wanted or in the table, so it is kept small.
type entry struct {
	prefix netip.Prefix
	have   held     // what our table has
	hop    *hop     // nil: not wanted
	group  *group   // nil: not wanted
	fail   *failure // nil: the last operation did not fail
	since  int64    // of state, Unix nanoseconds
	after  *entry   // that followed it in the last dump: the next one most likely has the same order

	place   int32  // in loop.all
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
		e = &entry{prefix: p, place: int32(len(l.all))}
		l.entries[p] = e
		l.all = append(l.all, e)
	}
	return e
}

// drop forgets an entry that says nothing any more.
func (l *loop) drop(e *entry) {
	if e.wanted() || e.have.len() > 0 || e.queued {
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
			e.place = int32(len(kept))
			kept = append(kept, e)
		}
	}
	clear(l.all[len(kept):])
	l.all, l.holes = kept, false
}

// setHave notes what the table has for a prefix, and which devices routes ride on.
func (l *loop) setHave(e *entry, have []FIBRoute) {
	for i := range e.have.len() {
		l.ride(e.have.at(i).device, -1)
	}
	e.have.set(have)
	for _, r := range have {
		l.ride(r.Device, +1)
	}
	e.touched = l.dumpCount
	l.edits++
}

// routes lists what the table has for a prefix. The list is valid until the next call.
func (l *loop) routes(e *entry) []FIBRoute {
	l.listed = l.listed[:0]
	for i := range e.have.len() {
		l.listed = append(l.listed, e.have.at(i).route(e.prefix))
	}
	return l.listed
}

// edit changes what the table is known to have for a prefix by a function, which may reuse the array.
func (l *loop) edit(e *entry, change func(have []FIBRoute) []FIBRoute) {
	l.setHave(e, change(l.routes(e)))
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
	delete(l.shadowed, e)
	e.state, e.since = s, l.now.UnixNano()
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
	e.state, e.since = StateMissing, l.now.UnixNano()
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
	e.hop, e.group, e.fail, e.placed = nil, nil, nil, false
	l.tally.dirty = true
}

func (l *loop) hopFor(a netip.Addr) *hop {
	if l.lastHop != nil && l.lastHop.addr == a && l.lastHop.users > 0 {
		return l.lastHop // a feed is of one next hop, mostly
	}
	h := l.hops[a]
	if h == nil {
		h = &hop{addr: a, way: l.topology.resolve(a)}
		l.hops[a] = h
	}
	l.lastHop = h
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

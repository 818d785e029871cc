package kernel

import (
	"fmt"
	"math/bits"
	"net/netip"
	"time"
)

// A route in our table is not yet a route that packets take: a rule of higher priority or a more specific route may win.
// So the kernel itself is asked, a few routes at a time: all of them within verifyRound or, when there are few,
// verifyLeast a turn, and another address of each block every time round.
//
// What can shadow a route is mostly heard of. A foreign route in our table has the wanted ones that it overlays looked
// up in the next turn, and so has a route that was just installed. A rule that may win has all of them looked up in
// haste; and as long as there is one the rotation is quicker, since then routes of tables that we do not listen to count.
const (
	verifyInterval = 10 * time.Second
	verifyRound    = 30 * time.Minute
	verifyLeast    = 320
	verifyShadowed = 128  // of the routes known to be shadowed, in each turn besides
	suspectsMost   = 1024 // that wait for their turn; the others wait for the rotation's

	verifyMany  = 200                   // a turn in haste: about a millisecond
	verifyHaste = 50 * time.Millisecond // between those
	verifyNew   = time.Second           // until what was just installed is looked up
	verifyQuick = time.Second           // while a rule may win
)

// verifier is what the loop knows of its lookups.
type verifier struct {
	next     int       // where in loop.all the rotation stands
	lap      uint32    // how often it went round
	haste    int       // how many entries the rotation still takes in haste
	rivals   bool      // there is a rule that may win over ours
	suspects []suspect // looked up in the next turn
	asking   []suspect // of this turn
	lengths  [2][129]bool
	at       time.Time // of the next turn; zero: nothing is looked up, since no lookup leads to the table
}

// suspect is a route that something may have come before, and an address that would show it.
type suspect struct {
	entry *entry
	addr  netip.Addr
}

// shadow is what a lookup answered instead of the wanted route.
type shadow struct {
	addr   netip.Addr // that was looked up
	answer string
}

// suspect has a route looked up in the next turn.
func (l *loop) suspect(e *entry, addr netip.Addr) {
	l.verifyWithin(verifyNew)
	if len(l.verifier.suspects) < suspectsMost {
		l.verifier.suspects = append(l.verifier.suspects, suspect{e, addr})
	}
}

// overlaid has the wanted routes looked up, at once, that a foreign route takes packets from or took: those to the same
// prefix or a shorter one.
func (l *loop) overlaid(r FIBRoute) {
	if l.r.own.owns(r) {
		return
	}
	lengths := &l.verifier.lengths[familyIndex(r.Prefix)]
	for length := r.Prefix.Bits(); length >= 0; length-- {
		if !lengths[length] {
			continue
		}
		e := l.entries[netip.PrefixFrom(r.Prefix.Addr(), length).Masked()]
		if e == nil || !e.wanted() {
			continue
		}
		if e.state != StateShadowed { // those are looked up in each turn
			l.suspect(e, probe(r.Prefix, 0))
		}
		l.verifySoon()
	}
}

// hasten has all routes looked up soon.
func (l *loop) hasten() {
	l.verifier.haste = len(l.all)
	l.verifySoon()
}

// verifySoon has the next turn come soon.
func (l *loop) verifySoon() { l.verifyWithin(verifyHaste) }

func (l *loop) verifyWithin(d time.Duration) {
	if soon := l.now.Add(d); soon.Before(l.verifier.at) {
		l.verifier.at = soon
	}
}

// verifySome looks up some routes: those under suspicion, those known to be shadowed, and the next in rotation.
func (l *loop) verifySome(now time.Time) {
	v := &l.verifier
	least, pause := verifyLeast, verifyInterval
	switch {
	case v.haste > 0:
		least, pause = verifyMany, verifyHaste
	case v.rivals:
		least, pause = verifyMany, verifyQuick
	}
	v.at = now.Add(pause)
	v.asking = v.asking[:0]
	l.verifySuspects()
	again := 0
	for e, s := range l.shadowed {
		if again++; again > verifyShadowed {
			break
		}
		v.asking = append(v.asking, suspect{e, s.addr})
	}
	n := min(len(l.all), max(least, len(l.all)/int(verifyRound/pause)+1))
	v.haste = max(v.haste-n, 0)
	for range n {
		l.verifyNext()
	}
	l.verify(v.asking)
}

func (l *loop) verifySuspects() {
	v := &l.verifier
	n := min(len(v.suspects), verifyMany)
	for _, s := range v.suspects[:n] {
		if s.entry.provable() {
			v.asking = append(v.asking, s)
		}
	}
	if v.suspects = v.suspects[n:]; len(v.suspects) == 0 {
		v.suspects = nil
	}
}

// verifyNext looks up the next route in rotation. One of somebody else has those looked up that it overlays.
func (l *loop) verifyNext() {
	v := &l.verifier
	if v.next >= len(l.all) {
		v.next = 0
		v.lap++
	}
	e := l.all[v.next]
	v.next++
	switch {
	case e == nil:
	case e.provable():
		v.asking = append(v.asking, suspect{e, probe(e.prefix, v.lap)})
	case !e.wanted():
		for _, r := range l.routes(e) {
			l.overlaid(r)
		}
	}
}

// provable says whether a lookup must answer with the wanted route.
func (e *entry) provable() bool { return e.wanted() && e.state == StateInstalled && !e.queued }

// verify asks the kernel where it would send packets for addresses of prefixes.
func (l *loop) verify(asking []suspect) {
	if len(asking) == 0 {
		return
	}
	addrs := make([]netip.Addr, len(asking))
	for i, s := range asking {
		addrs[i] = s.addr
	}
	for i, a := range l.r.fib.Lookup(addrs) {
		l.judge(asking[i].entry, addrs[i], a)
	}
}

// judge takes in where the kernel would send a packet for an address of a prefix.
func (l *loop) judge(e *entry, addr netip.Addr, a Answer) {
	answer := ""
	switch {
	case l.covered(e, addr):
	case a.Err != nil:
		answer = "a lookup fails: " + a.Err.Error()
	case a.Route.Gateway != e.hop.addr || a.Route.Device != e.hop.way.device:
		answer = fmt.Sprintf("a lookup of %s answers %s", addr, l.wayText(a.Route))
	}
	if answer == "" {
		if e.state == StateShadowed {
			l.verifySoon() // what shadowed it has gone unheard, and with it other shadows
		}
		l.setState(e, StateInstalled)
		return
	}
	if e.state != StateShadowed && !l.verifier.rivals {
		l.resyncSoon(l.now) // nothing explains it: the route may not be there
	}
	l.setState(e, StateShadowed)
	l.shadowed[e] = shadow{addr, answer}
}

// covered says whether another wanted route is there for an address, within the block: an address that a node borrowed
// out of the block of another.
func (l *loop) covered(e *entry, addr netip.Addr) bool {
	lengths := &l.verifier.lengths[familyIndex(e.prefix)]
	for length := addr.BitLen(); length > e.prefix.Bits(); length-- {
		if !lengths[length] {
			continue
		}
		if other := l.entries[netip.PrefixFrom(addr, length).Masked()]; other != nil && other.wanted() {
			return true
		}
	}
	return false
}

func (l *loop) wayText(r FIBRoute) string {
	text := "dev " + l.topology.DeviceName(r.Device)
	if r.Gateway.IsValid() {
		text = "via " + r.Gateway.String() + " " + text
	}
	if t := typeText(r.Type); t != "" {
		text = t + " " + text
	}
	return text
}

// probe is an address of a prefix that a host may have, another for each lap: the first, then that in the middle, those
// of the quarters, the eighths and so on, so that what takes away a large part of a block is found early.
func probe(p netip.Prefix, lap uint32) netip.Addr {
	a := p.Addr()
	hostBits := min(a.BitLen()-p.Bits(), 16)
	if hostBits == 0 {
		return a
	}
	host := max(bits.Reverse16(uint16(lap))>>(16-hostBits), 1)
	b := a.As16()
	b[14] |= byte(host >> 8)
	b[15] |= byte(host)
	if a.Is4() {
		return netip.AddrFrom16(b).Unmap()
	}
	return netip.AddrFrom16(b)
}

package kernel

import (
	"fmt"
	"net/netip"
	"time"
)

// A route in our table is not yet a route that packets take: a rule of higher priority or, in main, a more specific
// route may win. So the kernel itself is asked, a few routes at a time: all of them within verifyRound or, when
// there are few, verifyLeast each verifyInterval.
const (
	verifyInterval = 10 * time.Second
	verifyRound    = 30 * time.Minute
	verifyLeast    = 320
	verifyShadowed = 1280 // of the routes known to be shadowed, in each interval besides
	verifyBatch    = 64   // in one turn of the loop: a fifth of a millisecond
)

// verifySome looks up some routes of the interval's share, in rotation. Those that are left have the next turn.
func (l *loop) verifySome(now time.Time) {
	if l.verifyLeft == 0 {
		l.verifyLeft = min(len(l.all), max(verifyLeast, len(l.all)/int(verifyRound/verifyInterval)+1))
		l.verifyDue = now.Add(verifyInterval)
		l.verifyAgain()
	}
	batch := make([]*entry, 0, verifyBatch)
	for ; l.verifyLeft > 0 && len(batch) < verifyBatch; l.verifyLeft-- {
		if l.verifyNext >= len(l.all) {
			l.verifyNext = 0
		}
		if len(l.all) == 0 {
			l.verifyLeft = 0
			break
		}
		if e := l.all[l.verifyNext]; e != nil && e.wanted() && e.state == StateInstalled && !e.queued {
			batch = append(batch, e)
		}
		l.verifyNext++
	}
	l.verify(batch)
	if l.verifyAt = l.verifyDue; l.verifyLeft > 0 {
		l.verifyAt = now
	}
}

// verifyAgain looks up routes that are known to be shadowed.
func (l *loop) verifyAgain() {
	batch := make([]*entry, 0, min(len(l.shadowed), verifyShadowed))
	for e := range l.shadowed {
		if len(batch) == verifyShadowed {
			break
		}
		batch = append(batch, e)
	}
	l.verify(batch)
}

// verify asks the kernel where it would send packets for some prefixes.
func (l *loop) verify(entries []*entry) {
	if len(entries) == 0 {
		return
	}
	addrs := make([]netip.Addr, len(entries))
	for i, e := range entries {
		addrs[i] = probe(e.prefix)
	}
	for i, a := range l.r.fib.Lookup(addrs) {
		l.judge(entries[i], a)
	}
}

// judge takes in where the kernel would send packets for a prefix.
func (l *loop) judge(e *entry, a Answer) {
	shadow := ""
	switch {
	case a.Err != nil:
		shadow = "a lookup fails: " + a.Err.Error()
	case a.Route.Gateway != e.hop.addr || a.Route.Device != e.hop.way.device:
		shadow = fmt.Sprintf("a lookup of %s answers %s", a.Route.Prefix.Addr(), l.wayText(a.Route))
	}
	if shadow == "" {
		l.setState(e, StateInstalled)
		return
	}
	l.setState(e, StateShadowed)
	l.shadowed[e] = shadow
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

// probe is the first address of a prefix that a host may have.
func probe(p netip.Prefix) netip.Addr {
	a := p.Addr()
	if p.IsSingleIP() {
		return a
	}
	return a.Next()
}

package kernel

import (
	"fmt"
	"net/netip"
	"time"
)

// A route in our table is not yet a route that packets take: a rule of higher priority or, in main, a more specific
// route may win. So the kernel itself is asked, a few routes at a time: all of them within verifyRound or, when
// there are few, verifyLeast a turn.
const (
	verifyInterval = time.Second
	verifyRound    = 30 * time.Minute
	verifyLeast    = 32
	verifyShadowed = 128 // of the routes known to be shadowed, in each turn besides
)

// verifySome looks up some routes, in rotation.
func (l *loop) verifySome(now time.Time) {
	l.verifyAt = now.Add(verifyInterval)
	again := 0
	for e := range l.shadowed {
		if again++; again > verifyShadowed {
			break
		}
		l.verify(e)
	}
	n := min(len(l.all), max(verifyLeast, len(l.all)/int(verifyRound/verifyInterval)+1))
	for range n {
		if l.verifyNext >= len(l.all) {
			l.verifyNext = 0
		}
		if e := l.all[l.verifyNext]; e != nil && e.wanted() && e.state == StateInstalled && !e.queued {
			l.verify(e)
		}
		l.verifyNext++
	}
}

// verify asks the kernel where it would send a packet for the prefix.
func (l *loop) verify(e *entry) {
	found, err := l.r.fib.Lookup(probe(e.prefix))
	answer := ""
	switch {
	case err != nil:
		answer = "a lookup fails: " + err.Error()
	case found.Gateway != e.hop.addr || found.Device != e.hop.way.device:
		answer = fmt.Sprintf("a lookup of %s answers %s", probe(e.prefix), l.wayText(found))
	}
	if answer == "" {
		l.setState(e, StateInstalled)
		return
	}
	l.setState(e, StateShadowed)
	e.shadow = answer
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

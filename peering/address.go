package peering

import (
	"net/netip"
	"slices"
	"time"
)

// AddressStatus is what the mesh knows of one address.
type AddressStatus struct {
	Own       []OwnBlock    // of this node that hold it
	Routes    []RouteStatus // wanted, to prefixes that hold it, the most specific first: that one is its own
	Announced []Announcer   // who announces the first of Routes, the one in use first
	Refused   []Refusal     // announced now and refused, of prefixes that hold it, the most specific first
}

// Announcer is one peer whose path to a block the policy accepted.
type Announcer struct {
	Peer    Peer
	NextHop netip.Addr
	Up      bool
	Since   time.Time // of Up or not Up
}

// Refusal is one announcement that stands in a peer's Adj-RIB-In and is refused. At is zero when it was long ago.
type Refusal struct {
	Peer Peer
	Rejection
}

// Address answers for one address. It costs a few lookups a peer.
func (m *Mesh) Address(a netip.Addr) AddressStatus {
	var s AddressStatus
	for _, b := range m.own {
		if b.Prefix.Contains(a) {
			s.Own = append(s.Own, b)
		}
	}
	for bits := a.BitLen(); bits >= 0; bits-- {
		prefix := netip.PrefixFrom(a, bits).Masked()
		if b := m.blocks[prefix]; b != nil {
			if len(s.Routes) == 0 {
				s.Announced = b.announcers()
			}
			s.Routes = append(s.Routes, m.blockStatus(b))
		}
		s.Refused = append(s.Refused, m.refusals(prefix)...)
	}
	return s
}

func (b *block) announcers() []Announcer {
	out := make([]Announcer, 0, 1+len(b.rivals))
	for _, pa := range append([]path{b.best}, b.rivals...) {
		out = append(out, Announcer{Peer: pa.peer.Peer, NextHop: pa.nextHop, Up: pa.peer.up, Since: pa.peer.since})
	}
	return out
}

// refusals judges anew what peers announce for one prefix and was refused: what was decided is not kept, for its size.
func (m *Mesh) refusals(prefix netip.Prefix) []Refusal {
	var out []Refusal
	for _, p := range m.peers {
		a, refused := p.refused.of[prefix]
		if !refused {
			continue
		}
		v := m.judge(p, a)
		if v.accepts() {
			v = p.judgeLimits(m.rib(p)[prefix], a)
		}
		r := Refusal{Peer: p.Peer, Rejection: Rejection{Prefix: prefix, NextHop: a.NextHop, Reason: v.reason, Detail: v.detail}}
		for _, j := range p.last {
			if j.Prefix == prefix {
				r.At = j.At
			}
		}
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b Refusal) int { return a.Peer.Addr.Compare(b.Peer.Addr) })
	return out
}

package peering

import (
	"net/netip"
	"time"
)

// Bounds of what is kept about refused announcements, for people and for a policy that is later widened.
const (
	refusedKept    = 1024        // prefixes a peer
	rejectionsKept = 8           // the latest, a peer
	rejectionEvery = time.Minute // at most one event a peer and reason in this time
)

// peer is one peer with its Adj-RIB-In (RFC 4271 section 3.2), split in what the policy accepted and what it refused.
// What was accepted lies in the blocks, which are of the Mesh's RIB for the peer's role.
type peer struct {
	Peer
	cluster *cluster // nil for the local BIRD

	up         bool
	since      time.Time
	reason     string
	flaps      uint64
	negotiated Families
	eor        Families

	blocks  map[*block]struct{} // that have a path of this peer
	refused refusals            // in the peer's Adj-RIB-In all the same; at most refusedKept
	count   [2]int              // accepted paths, IPv4 and IPv6, without those that only the brake keeps
	nstale  int                 // accepted paths that are stale
	hops    map[netip.Addr]int  // of a reflector: accepted paths by next hop

	graceEnd time.Time // of a reflector: when its End-of-RIB takes effect; zero: it has, or has not come

	rejected map[Reason]uint64
	last     []Rejection
	told     map[Reason]time.Time
}

func newPeer(p Peer, c *cluster) *peer {
	out := &peer{
		Peer: p, cluster: c,
		blocks:   map[*block]struct{}{},
		refused:  refusals{of: map[netip.Prefix]Announcement{}},
		rejected: map[Reason]uint64{},
		told:     map[Reason]time.Time{},
	}
	if p.Role == RoleReflector {
		out.hops = map[netip.Addr]int{}
	}
	return out
}

// refusals are announcements that the policy refused, counted by family: a status must not have to count a million.
type refusals struct {
	of    map[netip.Prefix]Announcement
	count [2]int // IPv4 and IPv6
}

// keep takes the announcement in the place of an earlier one of its prefix, or when there is room.
func (r *refusals) keep(a Announcement) {
	if _, known := r.of[a.Prefix]; !known {
		if len(r.of) >= refusedKept {
			return
		}
		r.count[familyIndex(a.Prefix)]++
	}
	r.of[a.Prefix] = a
}

func (r *refusals) drop(prefix netip.Prefix) {
	if _, known := r.of[prefix]; known {
		r.count[familyIndex(prefix)]--
		delete(r.of, prefix)
	}
}

func (r *refusals) clear() {
	clear(r.of)
	r.count = [2]int{}
}

// hold counts a path that the peer has in a block; forget uncounts one.
func (p *peer) hold(b *block, pa path) {
	p.blocks[b] = struct{}{}
	p.tally(b, pa, 1)
}

func (p *peer) forget(b *block, pa path) {
	delete(p.blocks, b)
	p.tally(b, pa, -1)
}

func (p *peer) tally(b *block, pa path, n int) {
	if pa.held() {
		p.cluster.brake(b.prefix).tally(b, n)
		return // the peer has withdrawn it
	}
	if pa.stale() {
		p.nstale += n
	}
	p.count[familyIndex(b.prefix)] += n
	if n < 0 && p.cluster != nil {
		p.cluster.freed = true
	}
	if p.hops == nil {
		return
	}
	if p.hops[pa.nextHop] += n; p.hops[pa.nextHop] == 0 {
		delete(p.hops, pa.nextHop)
	}
}

// countOf is how many accepted paths of the peer lead to one node. All of a node's own lead to itself.
func (p *peer) countOf(nextHop netip.Addr) int {
	if p.hops != nil {
		return p.hops[nextHop]
	}
	return p.count[0] + p.count[1]
}

// fullest is countOf the node that has the most.
func (p *peer) fullest() int {
	if p.hops == nil {
		return p.count[0] + p.count[1]
	}
	most := 0
	for _, n := range p.hops {
		most = max(most, n)
	}
	return most
}

func familyIndex(prefix netip.Prefix) int {
	if FamilyOf(prefix.Addr()) == IPv4 {
		return 0
	}
	return 1
}

// note records a refusal and returns whether it is worth an event now. An echo never is, and does not count as received.
func (p *peer) note(now time.Time, a Announcement, v verdict, echo bool) bool {
	p.rejected[v.reason]++
	if !echo {
		p.refused.keep(a)
	}
	p.last = append(p.last, Rejection{Prefix: a.Prefix, NextHop: a.NextHop, Reason: v.reason, Detail: v.detail, At: now})
	if len(p.last) > rejectionsKept {
		p.last = append(p.last[:0], p.last[1:]...)
	}
	if echo {
		p.refused.drop(a.Prefix)
		return false
	}
	if t, ok := p.told[v.reason]; ok && now.Sub(t) < rejectionEvery {
		return false
	}
	p.told[v.reason] = now
	return true
}

// heardAll reports whether the peer is up and has sent the End-of-RIB of every negotiated family.
func (p *peer) heardAll() bool { return p.up && p.eor.Has(p.negotiated) }

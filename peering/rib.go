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

// path is what a peer announced for one prefix and the policy accepted.
type path struct {
	nextHop netip.Addr
	stale   time.Time // when the session that carried it was lost; zero: fresh
}

func (p path) fresh() bool { return p.stale.IsZero() }

// peer is one peer with its Adj-RIB-In (RFC 4271 section 3.2), split in what the policy accepted and what it refused.
type peer struct {
	Peer
	cluster *cluster // nil for the local BIRD

	up         bool
	since      time.Time
	reason     string
	flaps      uint64
	negotiated Families
	eor        Families

	rib     map[netip.Prefix]path
	refused map[netip.Prefix]Announcement // refused, in the peer's Adj-RIB-In all the same; at most refusedKept
	count   [2]int                        // paths in rib, IPv4 and IPv6
	nstale  int                           // paths in rib that are stale

	rejected map[Reason]uint64
	last     []Rejection
	told     map[Reason]time.Time
}

func newPeer(p Peer, c *cluster) *peer {
	return &peer{
		Peer: p, cluster: c,
		rib:      map[netip.Prefix]path{},
		refused:  map[netip.Prefix]Announcement{},
		rejected: map[Reason]uint64{},
		told:     map[Reason]time.Time{},
	}
}

// put stores an accepted path.
func (p *peer) put(prefix netip.Prefix, pa path) {
	old, had := p.rib[prefix]
	if had && !old.fresh() {
		p.nstale--
	}
	if !pa.fresh() {
		p.nstale++
	}
	if !had {
		p.tally(prefix, 1)
	}
	p.rib[prefix] = pa
}

// drop forgets an accepted path and reports whether there was one.
func (p *peer) drop(prefix netip.Prefix) bool {
	old, had := p.rib[prefix]
	if !had {
		return false
	}
	if !old.fresh() {
		p.nstale--
	}
	p.tally(prefix, -1)
	delete(p.rib, prefix)
	return true
}

func (p *peer) tally(prefix netip.Prefix, n int) {
	p.count[familyIndex(prefix)] += n
	if p.cluster != nil {
		p.cluster.paths += n
	}
}

func familyIndex(prefix netip.Prefix) int {
	if FamilyOf(prefix.Addr()) == IPv4 {
		return 0
	}
	return 1
}

// note records a refusal and returns whether it is worth an event now.
func (p *peer) note(now time.Time, a Announcement, v verdict) bool {
	p.rejected[v.reason]++
	if _, known := p.refused[a.Prefix]; known || len(p.refused) < refusedKept {
		p.refused[a.Prefix] = a
	}
	p.last = append(p.last, Rejection{Prefix: a.Prefix, NextHop: a.NextHop, Reason: v.reason, Detail: v.detail, At: now})
	if len(p.last) > rejectionsKept {
		p.last = append(p.last[:0], p.last[1:]...)
	}
	if t, ok := p.told[v.reason]; ok && now.Sub(t) < rejectionEvery {
		return false
	}
	p.told[v.reason] = now
	return true
}

// heardAll reports whether the peer is up and has sent the End-of-RIB of every negotiated family.
func (p *peer) heardAll() bool { return p.up && p.eor.Has(p.negotiated) }

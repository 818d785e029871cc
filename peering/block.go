package peering

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// conflictEvery bounds the events about conflicts: at most one a cluster in this time.
const conflictEvery = time.Minute

// cluster is a remote cluster with its running counts, kept as blocks change so that a Status never walks them.
type cluster struct {
	Cluster
	paths     int // accepted paths of all its peers
	blocks    map[Families]*BlockCount
	conflicts int
	told      time.Time // when the last event about a conflict was made
}

func newCluster(c Cluster) *cluster {
	return &cluster{Cluster: c, blocks: map[Families]*BlockCount{
		IPv4: {Family: IPv4},
		IPv6: {Family: IPv6},
	}}
}

// block is one remote prefix: who announces it, and what the last step decided.
type block struct {
	prefix netip.Prefix
	cands  []*peer // the peers whose RIB holds the prefix; all fresh or all stale once settled
	dirty  bool    // waiting to be settled

	owner    *peer
	home     *cluster // the owner's cluster, as counted
	nextHop  netip.Addr
	stale    time.Time
	since    time.Time
	conflict bool
}

// touch marks a remote prefix for settling at the end of the step.
func (m *Mesh) touch(prefix netip.Prefix) *block {
	b := m.blocks[prefix]
	if b == nil {
		b = &block{prefix: prefix}
		m.blocks[prefix] = b
	}
	if !b.dirty {
		b.dirty = true
		m.dirty = append(m.dirty, b)
	}
	return b
}

// claim notes that p's RIB holds the prefix; disclaim that it no longer does.
func (m *Mesh) claim(p *peer, prefix netip.Prefix) {
	b := m.touch(prefix)
	if !slices.Contains(b.cands, p) {
		b.cands = append(b.cands, p)
	}
}

func (m *Mesh) disclaim(p *peer, prefix netip.Prefix) {
	b := m.touch(prefix)
	if i := slices.Index(b.cands, p); i >= 0 {
		b.cands = slices.Delete(b.cands, i, i+1)
	}
}

// settle chooses the owner of every touched block and tells what is wanted differently now.
func (m *Mesh) settle(now time.Time) {
	for _, b := range m.dirty {
		b.dirty = false
		m.settleBlock(now, b)
	}
	m.dirty = m.dirty[:0]
}

func (m *Mesh) settleBlock(now time.Time, b *block) {
	b.dropOutdated()
	b.uncount()
	oldHop, oldHome, had := b.nextHop, b.home, b.owner != nil
	wasConflict := b.conflict
	b.choose(now)
	b.count()
	if b.conflict && !wasConflict {
		m.tellConflict(now, b)
	}
	switch {
	case b.owner == nil:
		if had {
			m.ch.Routes = append(m.ch.Routes, RouteChange{Prefix: b.prefix, Cluster: oldHome.Name})
		}
		delete(m.blocks, b.prefix)
	case !had || b.nextHop != oldHop || b.home.Name != oldHome.Name:
		m.ch.Routes = append(m.ch.Routes, RouteChange{Prefix: b.prefix, NextHop: b.nextHop, Cluster: b.home.Name})
	}
}

// tellConflict makes one event a cluster in a while; the metric and the status count them all.
func (m *Mesh) tellConflict(now time.Time, b *block) {
	c := b.home
	if !c.told.IsZero() && now.Sub(c.told) < conflictEvery {
		return
	}
	c.told = now
	m.event(Event{
		Kind: EventBlockConflict, Cluster: c.Name, Prefix: b.prefix, Count: c.conflicts, Warn: true,
		Detail: fmt.Sprintf("announced by %d nodes, routed to %s; %d blocks of the cluster are in conflict",
			len(b.cands), b.nextHop, c.conflicts),
	})
}

// dropOutdated removes stale paths once anybody announces the block afresh: the block has moved, or is still there.
func (b *block) dropOutdated() {
	if !slices.ContainsFunc(b.cands, func(p *peer) bool { return p.rib[b.prefix].fresh() }) {
		return
	}
	b.cands = slices.DeleteFunc(b.cands, func(p *peer) bool {
		return !p.rib[b.prefix].fresh() && p.drop(b.prefix)
	})
}

// choose picks the owner: the lower next hop, then the lower peer address.
func (b *block) choose(now time.Time) {
	var best *peer
	for _, p := range b.cands {
		if best == nil || b.less(p, best) {
			best = p
		}
	}
	if best != b.owner {
		b.since = now
	}
	b.owner, b.home, b.nextHop, b.stale, b.conflict = best, nil, netip.Addr{}, time.Time{}, false
	if best == nil {
		return
	}
	pa := best.rib[b.prefix]
	b.home, b.nextHop, b.stale = best.cluster, pa.nextHop, pa.stale
	b.conflict = slices.ContainsFunc(b.cands, func(p *peer) bool { return p.rib[b.prefix].nextHop != b.nextHop })
}

func (b *block) less(p, q *peer) bool {
	if c := p.rib[b.prefix].nextHop.Compare(q.rib[b.prefix].nextHop); c != 0 {
		return c < 0
	}
	return p.Addr.Less(q.Addr)
}

func (b *block) count()   { b.tally(1) }
func (b *block) uncount() { b.tally(-1) }

func (b *block) tally(n int) {
	if b.owner == nil {
		return
	}
	c := b.home.blocks[FamilyOf(b.prefix.Addr())]
	if b.stale.IsZero() {
		c.Fresh += n
	} else {
		c.Stale += n
	}
	if b.conflict {
		b.home.conflicts += n
	}
}

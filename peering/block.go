package peering

import (
	"cmp"
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
	prefixes  int  // that its peers announce or announced, without those that only the brake keeps
	freed     bool // a limit may have room since it was last looked at
	blocks    map[Families]*BlockCount
	brakes    [2]brake // IPv4 and IPv6
	conflicts int
	told      time.Time // when the last event about a conflict was made
}

func newCluster(c Cluster) *cluster {
	out := &cluster{Cluster: c, blocks: map[Families]*BlockCount{IPv4: {Family: IPv4}, IPv6: {Family: IPv6}}}
	out.brakes = [2]brake{newBrake(out, IPv4), newBrake(out, IPv6)}
	return out
}

// count counts a prefix that came to live, or uncounts one that no longer does. The local BIRD's are not counted.
func (c *cluster) count(lived, lives bool) {
	switch {
	case c == nil || lived == lives:
	case lives:
		c.prefixes++
	default:
		c.prefixes--
	}
}

// rib is a table of prefixes and who announces each. The Mesh has two: of the remote blocks, and of its own node's.
type rib map[netip.Prefix]*block

// block is one prefix and the paths to it. There is one for every route, so it is kept small: the path in use, the
// first by [path.compare] once settled, lies in the block itself, and hardly any block has another.
type block struct {
	prefix   netip.Prefix
	best     path   // of no peer: nobody announces the prefix
	rivals   []path // all of best's rank, once settled
	since    instant
	conflict bool // once settled: the paths have different next hops
	touched  bool // waiting to be settled
}

// path is what one peer announced for one prefix and the policy accepted.
type path struct {
	peer    *peer
	nextHop netip.Addr
	// left is when the peer ceased to announce it. never: it has not, the path is fresh. Positive: the session was lost
	// then, the path is stale. Negative: it was withdrawn then, and the brake holds the withdrawal back.
	left instant
}

func (p path) fresh() bool { return p.left == never }
func (p path) stale() bool { return p.left > never }
func (p path) held() bool  { return p.left < never }

// rank orders paths by how much they are worth: fresh beats stale beats held.
func (p path) rank() int {
	switch {
	case p.fresh():
		return 0
	case p.stale():
		return 1
	default:
		return 2
	}
}

// compare orders paths: the better first. By rank, then the lower next hop, then the lower peer address.
func (p path) compare(q path) int {
	return cmp.Or(cmp.Compare(p.rank(), q.rank()), p.nextHop.Compare(q.nextHop), p.peer.Addr.Compare(q.peer.Addr))
}

// of finds the path of a peer; nil: it has none. The pointer is valid until the block changes.
func (b *block) of(p *peer) *path {
	if b.best.peer == p {
		return &b.best
	}
	for i := range b.rivals {
		if b.rivals[i].peer == p {
			return &b.rivals[i]
		}
	}
	return nil
}

// add puts the path of a peer that has none yet.
func (b *block) add(pa path) {
	if b.best.peer == nil {
		b.best = pa
		return
	}
	b.rivals = append(b.rivals, pa)
}

// remove takes the path of a peer that has one.
func (b *block) remove(p *peer) {
	i := slices.IndexFunc(b.rivals, func(r path) bool { return r.peer == p })
	if b.best.peer == p {
		b.best = path{}
		if i = len(b.rivals) - 1; i >= 0 {
			b.best = b.rivals[i]
		}
	}
	if i >= 0 {
		b.rivals = slices.Delete(b.rivals, i, i+1)
	}
	if len(b.rivals) == 0 {
		b.rivals = nil
	}
}

// announced says whether anybody announces the prefix.
func (b *block) announced() bool { return b.best.peer != nil }

// lives says whether anybody announces the prefix, or announced it until the session was lost: not merely the brake keeps it.
func (b *block) lives() bool { return b.announced() && (!b.best.held() || len(b.rivals) > 0) }

// fresh says whether a session that is up announces the prefix.
func (b *block) fresh() bool {
	return b.announced() && (b.best.fresh() || slices.ContainsFunc(b.rivals, path.fresh))
}

// touch is a remote block that the step under way changed, and what was wanted of it before.
type touch struct {
	block    *block
	best     path
	conflict bool
}

// touch marks a remote block for settling at the end of the step. It is called before the block changes.
func (m *Mesh) touch(b *block) {
	if b.touched {
		return
	}
	b.touched = true
	m.touched = append(m.touched, touch{block: b, best: b.best, conflict: b.conflict})
	b.tally(-1)
}

// settle chooses the owner of every touched block and tells what is wanted differently now.
func (m *Mesh) settle(now time.Time) {
	if len(m.touched) == 0 {
		return
	}
	m.ch.Routes = make([]RouteChange, 0, len(m.touched))
	for _, t := range m.touched {
		t.block.touched = false
		m.settleBlock(now, t)
	}
	clear(m.touched)
	m.touched = m.touched[:0]
	if cap(m.touched) > touchedKept {
		m.touched = nil // a burst's memory is not kept
	}
}

const touchedKept = 4096

func (m *Mesh) settleBlock(now time.Time, t touch) {
	b, before := t.block, t.best
	b.choose()
	if b.best.peer != before.peer {
		b.since = m.instant(now)
	}
	b.tally(1)
	if b.conflict && !t.conflict {
		m.tellConflict(now, b)
	}
	switch {
	case !b.announced():
		if before.peer != nil {
			m.ch.Routes = append(m.ch.Routes, RouteChange{Prefix: b.prefix, Cluster: before.peer.cluster.Name})
			m.learn(now, before.peer.cluster.Name, b.prefix, netip.Addr{}, before.nextHop)
		}
		delete(m.blocks, b.prefix)
	case before.peer == nil || b.best.nextHop != before.nextHop || b.best.peer.cluster != before.peer.cluster:
		m.ch.Routes = append(m.ch.Routes, RouteChange{
			Prefix: b.prefix, NextHop: b.best.nextHop, Cluster: b.best.peer.cluster.Name,
		})
		m.learn(now, b.best.peer.cluster.Name, b.prefix, b.best.nextHop, before.nextHop)
	}
}

// tellConflict makes one event a cluster in a while; the metric and the status count them all.
func (m *Mesh) tellConflict(now time.Time, b *block) {
	c := b.best.peer.cluster
	if !c.told.IsZero() && now.Sub(c.told) < conflictEvery {
		return
	}
	c.told = now
	m.event(Event{
		Kind: EventBlockConflict, Cluster: c.Name, Prefix: b.prefix, Count: c.conflicts, Warn: true,
		Detail: fmt.Sprintf("announced by %d nodes, routed to %s; %d blocks of the cluster are in conflict",
			1+len(b.rivals), b.best.nextHop, c.conflicts),
	})
}

// choose puts the best path in its place. Stale and held paths go once there is a better one: the block has moved, or is
// still there.
func (b *block) choose() {
	b.conflict = false
	if len(b.rivals) == 0 {
		return
	}
	for i := range b.rivals {
		if b.rivals[i].compare(b.best) < 0 {
			b.best, b.rivals[i] = b.rivals[i], b.best
		}
	}
	b.rivals = slices.DeleteFunc(b.rivals, func(r path) bool {
		worse := r.rank() > b.best.rank()
		if worse {
			r.peer.forget(b, r)
		}
		return worse
	})
	b.conflict = slices.ContainsFunc(b.rivals, func(r path) bool { return r.nextHop != b.best.nextHop })
}

// tally counts the block in its cluster's totals, or with -1 takes it out of them.
func (b *block) tally(n int) {
	if !b.announced() {
		return
	}
	home := b.best.peer.cluster
	c := home.blocks[FamilyOf(b.prefix.Addr())]
	switch {
	case b.best.fresh():
		c.Fresh += n
	case b.best.stale():
		c.Stale += n
	default:
		c.Held += n
	}
	if b.conflict {
		home.conflicts += n
	}
}

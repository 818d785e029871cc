package peering

import (
	"fmt"
	"net/netip"
	"time"
)

// Brake says when withdrawals are suspicious and how long they are then held back. The zero Brake, and one with a share
// of 100, holds nothing back.
type Brake struct {
	SharePercent int           // a fall by more than this share of a cluster's blocks of one family at once
	Hold         time.Duration // is held back this long
}

func (b Brake) enabled() bool { return b.SharePercent > 0 && b.SharePercent < 100 }

// exceeded reports whether lost of had blocks are more than the share.
func (b Brake) exceeded(lost, had int) bool { return lost*100 > b.SharePercent*had }

const (
	// fallWindow is what "at once" means: the blocks that were lost within this time are one fall.
	fallWindow = 5 * time.Second
	// fallNodes is how many nodes have to take part in a fall that the brake holds back: what a single node withdraws
	// acts at once, however much of a small cluster it is.
	fallNodes = 2
)

// brake watches the blocks of one family of one cluster: those that lost their last path within fallWindow and, when they
// are too many, those whose withdrawal it holds back. A block that is announced again leaves it either way.
//
// A fall can not be told from an ordinary withdrawal before much of it has happened, so that its first part takes effect.
// When the brake comes on, that part is taken back: the whole of the fall is held.
type brake struct {
	cluster *cluster
	family  Families

	lost  map[netip.Prefix]loss
	order []lossAt           // of lost, the oldest first; may name what is in it no more
	nodes map[netip.Addr]int // of lost, by next hop
	grown bool               // lost grew in the step under way

	until time.Time // when what is held is let go; zero: the brake is off
	held  map[*block]struct{}
}

// loss is the last path that a block had, and when it went.
type loss struct {
	path path
	at   time.Time
}

type lossAt struct {
	prefix netip.Prefix
	at     time.Time
}

func newBrake(c *cluster, f Families) brake {
	return brake{cluster: c, family: f, lost: map[netip.Prefix]loss{}, nodes: map[netip.Addr]int{}, held: map[*block]struct{}{}}
}

func (c *cluster) brake(prefix netip.Prefix) *brake { return &c.brakes[familyIndex(prefix)] }

// forgetFalls lets what was lost be lost: the bounds that it was accepted by hold no more.
func (c *cluster) forgetFalls() {
	for i := range c.brakes {
		c.brakes[i].forgetFall()
	}
}

func (b *brake) on() bool { return !b.until.IsZero() }

// tally counts a block whose withdrawal is held back, or with -1 one whose is no longer.
func (b *brake) tally(bl *block, n int) {
	if n > 0 {
		b.held[bl] = struct{}{}
	} else {
		delete(b.held, bl)
	}
}

// lose takes a path away that its peer has withdrawn, in whatever way: unless the brake is on and it was the last one.
func (m *Mesh) lose(now time.Time, p *peer, prefix netip.Prefix) {
	bl := m.rib(p)[prefix]
	if bl == nil {
		return
	}
	old := bl.of(p)
	if old == nil || old.held() {
		return
	}
	last := *old
	if p.cluster == nil || !m.cfg.Brake.enabled() || len(bl.rivals) > 0 {
		m.unset(p, prefix)
		return
	}
	b := p.cluster.brake(prefix)
	m.brakes[b] = struct{}{}
	if b.on() {
		m.hold(now, last, prefix)
		return
	}
	m.unset(p, prefix)
	b.note(now, last, prefix)
}

// hold keeps a path although it was withdrawn.
func (m *Mesh) hold(withdrawn time.Time, pa path, prefix netip.Prefix) {
	pa.left = -m.instant(withdrawn)
	m.set(pa, prefix)
}

// note records that a block lost its last path.
func (b *brake) note(now time.Time, pa path, prefix netip.Prefix) {
	b.returned(prefix)
	b.lost[prefix] = loss{path: pa, at: now}
	b.order = append(b.order, lossAt{prefix, now})
	b.nodes[pa.nextHop]++
	b.grown = true
}

// returned forgets a loss: somebody announces the block again.
func (b *brake) returned(prefix netip.Prefix) {
	l, ok := b.lost[prefix]
	if !ok {
		return
	}
	delete(b.lost, prefix)
	if b.nodes[l.path.nextHop]--; b.nodes[l.path.nextHop] == 0 {
		delete(b.nodes, l.path.nextHop)
	}
}

// prune forgets the losses that are no part of a fall at this time any more.
func (b *brake) prune(now time.Time) {
	for len(b.order) > 0 && now.Sub(b.order[0].at) >= fallWindow {
		if first := b.order[0]; b.lost[first.prefix].at.Equal(first.at) {
			b.returned(first.prefix)
		}
		b.order = b.order[1:]
	}
	if len(b.lost) == 0 {
		b.forgetFall() // its memory, too
	}
}

func (b *brake) forgetFall() {
	b.lost, b.nodes = map[netip.Prefix]loss{}, map[netip.Addr]int{}
	b.order, b.grown = nil, false
}

// next is when the brake has something to do by itself: to let go, or to forget.
func (b *brake) next() time.Time {
	if b.on() {
		return b.until
	}
	return b.order[0].at.Add(fallWindow)
}

// judgeFalls puts the brakes on whose blocks fell by more than the share, what the step under way took included.
func (m *Mesh) judgeFalls(now time.Time) {
	for b := range m.brakes {
		b.prune(now)
		if !b.grown {
			continue
		}
		b.grown = false
		if len(b.nodes) < fallNodes {
			continue
		}
		if had := m.present(b) + len(b.lost); m.cfg.Brake.exceeded(len(b.lost), had) {
			m.brakeOn(now, b, had)
		}
	}
}

// present counts the blocks that a brake's cluster has in the middle of a step, when those it touched are not in the totals.
func (m *Mesh) present(b *brake) int {
	total := b.cluster.blocks[b.family]
	n := total.Fresh + total.Stale + total.Held
	for _, t := range m.touched {
		if t.block.announced() && t.block.best.peer.cluster == b.cluster && FamilyOf(t.block.prefix.Addr()) == b.family {
			n++
		}
	}
	return n
}

// brakeOn takes the fall back: what it has lost so far comes back, held.
func (m *Mesh) brakeOn(now time.Time, b *brake, had int) {
	b.until = now.Add(m.cfg.Brake.Hold)
	nodes := len(b.nodes)
	for prefix, l := range b.lost {
		if p := l.path.peer; m.peers[p.Addr] == p { // else it has left the roster since, and its routes with it
			m.hold(l.at, l.path, prefix)
		}
	}
	b.forgetFall()
	m.event(Event{
		Kind: EventHeld, Cluster: b.cluster.Name, Count: len(b.held), Warn: true,
		Detail: fmt.Sprintf("%d of %d %s blocks withdrawn within %s by %d nodes, more than %d %%: their routes stay for %s",
			len(b.held), had, b.family, fallWindow, nodes, m.cfg.Brake.SharePercent, m.cfg.Brake.Hold),
	})
}

// release lets go of what has been held long enough: all at once.
func (m *Mesh) release(now time.Time) {
	for b := range m.brakes {
		if !b.on() || now.Before(b.until) {
			continue
		}
		n := len(b.held)
		for bl := range b.held {
			m.unset(bl.best.peer, bl.prefix)
		}
		m.brakeOff(b, n, "%d withdrawn %s blocks were not announced again within %s: their routes go", n, b.family, m.cfg.Brake.Hold)
	}
}

func (m *Mesh) brakeOff(b *brake, count int, format string, args ...any) {
	b.until = time.Time{}
	m.event(Event{
		Kind: EventReleased, Cluster: b.cluster.Name, Count: count, Warn: true, Detail: fmt.Sprintf(format, args...),
	})
}

// restBrakes ends a step: a brake that holds nothing any more is off, and one with nothing to watch is left alone.
func (m *Mesh) restBrakes() {
	for b := range m.brakes {
		if b.on() && len(b.held) == 0 {
			m.brakeOff(b, 0, "no withdrawn %s block is held any more: each was announced again, or its node left the roster", b.family)
		}
		if !b.on() && len(b.lost) == 0 {
			b.forgetFall()
			delete(m.brakes, b)
		}
	}
}

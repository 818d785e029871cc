package peering

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Config is what a Mesh knows of its own node. It does not change during the Mesh's life.
type Config struct {
	Cluster   string         // our own cluster's name
	ASN       uint32         // our own AS number
	PodCIDRs  []netip.Prefix // what our own blocks must lie in
	NodeAddrs []netip.Addr   // this node's addresses: the next hop of own blocks, and nobody else's

	ServiceCIDRs []netip.Prefix // our own cluster's services: no remote block may overlap them

	Retention           time.Duration // how long paths outlive their session
	ConvergenceDeadline time.Duration // how long a start waits for peers that do not answer
	OwnGrace            time.Duration // how long a start waits for BIRD when other evidence of own blocks is there
	RestartGrace        time.Duration // and for its session, when an earlier run left routes: the peers hold what it had announced
	Brake               Brake         // what is suspicious about withdrawals, and what then; the zero Brake: nothing is
}

// Mesh is what this node believes of all its peers. It is not safe for concurrent use: one goroutine owns it.
// Every method that changes it returns what is wanted differently, and takes the present time, which never runs back.
type Mesh struct {
	cfg      Config
	martians martians
	started  time.Time
	peers    map[netip.Addr]*peer
	clusters map[string]*cluster
	blocks   rib // of remote peers
	local    rib // of BIRD

	evidence map[netip.Prefix]bool
	own      []OwnBlock

	grace      time.Duration // for the session with BIRD, from started on
	ownKnown   time.Time     // zero: not yet
	converged  time.Time     // zero: not yet
	byDeadline bool
	nextExpiry time.Time // no stale path expires before; zero: none will
	nextDrop   time.Time // no reflector's grace is over before; zero: none is running
	nextNews   time.Time // no news are due before; zero: there are none
	news       map[string]*news

	ch       Changes             // of the step under way
	touched  []touch             // in the step under way
	brakes   map[*brake]struct{} // with something to watch or to hold; mostly none
	limited  map[*peer]struct{}  // with a prefix that only a limit keeps out; mostly none
	ownDirty bool
}

// NewMesh makes an empty mesh that started now.
func NewMesh(cfg Config, now time.Time) *Mesh {
	return &Mesh{
		cfg: cfg, martians: newMartians(), started: now, grace: cfg.OwnGrace,
		peers:    map[netip.Addr]*peer{},
		clusters: map[string]*cluster{},
		blocks:   rib{},
		local:    rib{},
		evidence: map[netip.Prefix]bool{},
		brakes:   map[*brake]struct{}{},
		limited:  map[*peer]struct{}{},
		news:     map[string]*news{},
	}
}

// instant is a time as the nanoseconds since a Mesh was made, counted from 1: a third of a time.Time, and a Mesh keeps
// two for every block.
type instant int64

const never instant = 0

func (m *Mesh) instant(t time.Time) instant { return max(instant(t.Sub(m.started)), 0) + 1 }

// time is the opposite of instant; never is the zero time.
func (m *Mesh) time(i instant) time.Time {
	if i == never {
		return time.Time{}
	}
	return m.started.Add(time.Duration(i - 1))
}

// Apply takes what one peer did. An update of somebody who is no peer (any more) changes nothing.
func (m *Mesh) Apply(now time.Time, u Update) Changes {
	p := m.peers[u.Peer]
	if p == nil {
		return Changes{}
	}
	switch u.Session {
	case SessionUp:
		m.sessionUp(now, p, u.Families)
	case SessionDown:
		m.sessionDown(now, p, u.Reason)
	case SessionSame:
	}
	for _, a := range u.Announce {
		m.announce(now, p, a)
	}
	for _, prefix := range u.Withdraw {
		p.refused.drop(prefix)
		m.lose(now, p, prefix)
	}
	if u.EndOfRIB != 0 {
		m.endOfRIB(now, p, u.EndOfRIB)
	}
	return m.finish(now)
}

// Adopt takes the routes that an earlier run left in the kernel as stale paths of the peers that may have announced them,
// as though each session had just been lost: a restart forgets nothing. Those are the node that a route leads to, and of a
// cluster that it fits every peer that may name another next hop than its address: reflectors, and nodes with both families.
// Routes that the policy would refuse to all of them are not adopted.
func (m *Mesh) Adopt(now time.Time, routes []RouteChange) Changes {
	if len(routes) > 0 {
		m.grace = max(m.grace, m.cfg.RestartGrace)
	}
	var others []*peer
	for _, p := range m.peers {
		if p.Role == RoleReflector || p.Role == RoleRemote && p.Families.Has(IPv4|IPv6) {
			others = append(others, p)
		}
	}
	for _, r := range routes {
		if p := m.peers[r.NextHop]; p != nil && p.Role == RoleRemote {
			m.adopt(now, p, r)
		}
		for _, p := range others {
			m.adopt(now, p, r)
		}
	}
	return m.finish(now)
}

func (m *Mesh) adopt(now time.Time, p *peer, r RouteChange) {
	b := m.blocks[r.Prefix]
	if b != nil && b.of(p) != nil {
		return
	}
	a := Announcement{Prefix: r.Prefix, NextHop: r.NextHop, ASPath: m.plainASPath(p)}
	if !m.judge(p, a).accepts() || !p.judgeLimits(b, a).accepts() {
		return
	}
	m.set(path{peer: p, nextHop: r.NextHop, left: m.instant(now)}, r.Prefix)
	m.expireBy(now.Add(m.cfg.Retention))
}

// Tick does what is due by the passing of time alone.
func (m *Mesh) Tick(now time.Time) Changes {
	if !m.nextExpiry.IsZero() && !now.Before(m.nextExpiry) {
		m.expire(now)
	}
	if !m.nextDrop.IsZero() && !now.Before(m.nextDrop) {
		m.endGrace(now)
	}
	m.release(now)
	return m.finish(now)
}

// Next is when Tick has something to do at the earliest; the zero time: nothing is waiting.
func (m *Mesh) Next() time.Time {
	next := m.nextExpiry
	sooner := func(t time.Time) {
		if next.IsZero() || t.Before(next) {
			next = t
		}
	}
	switch {
	case m.ownKnown.IsZero():
		sooner(m.started.Add(m.cfg.ConvergenceDeadline))
		if len(m.own) > 0 {
			sooner(m.graceOver())
		}
	case m.converged.IsZero():
		sooner(m.ownKnown.Add(m.cfg.ConvergenceDeadline))
	}
	if !m.nextDrop.IsZero() {
		sooner(m.nextDrop)
	}
	if !m.nextNews.IsZero() {
		sooner(m.nextNews)
	}
	for b := range m.brakes {
		sooner(b.next())
	}
	return next
}

// OwnBlocks lists this node's own blocks, sorted: what remote peers are told.
func (m *Mesh) OwnBlocks() []netip.Prefix {
	out := make([]netip.Prefix, len(m.own))
	for i, b := range m.own {
		out[i] = b.Prefix
	}
	return out
}

// OwnKnown reports whether our own blocks are known well enough that remote peers may hear them and the End-of-RIB
// after them. Once true it stays true.
func (m *Mesh) OwnKnown() bool { return !m.ownKnown.IsZero() }

// Converged reports whether every remote peer has sent its End-of-RIB, or the deadline has passed. Once true it
// stays true. Until then no route may be deleted from the kernel.
func (m *Mesh) Converged() bool { return !m.converged.IsZero() }

func (m *Mesh) sessionUp(now time.Time, p *peer, negotiated Families) {
	if p.up {
		m.sessionDown(now, p, "a new session took its place")
	}
	p.up, p.since, p.reason = true, now, ""
	p.negotiated, p.eor = negotiated, 0
	m.event(Event{Kind: EventSessionUp, Peer: p.Addr, Cluster: p.Cluster, Detail: negotiated.String()})
}

// sessionDown loses no route: what the peer had announced turns stale.
func (m *Mesh) sessionDown(now time.Time, p *peer, reason string) {
	if !p.up {
		p.reason = cmp.Or(reason, p.reason)
		return
	}
	p.up, p.since, p.reason, p.graceEnd = false, now, reason, time.Time{}
	p.flaps++
	p.refused.clear()
	delete(m.limited, p)
	kept := 0
	for b := range p.blocks {
		pa := *b.of(p)
		if pa.fresh() {
			pa.left = m.instant(now)
			m.set(pa, b.prefix)
		}
		if pa.stale() && !b.fresh() {
			kept++ // else this path goes: another node or reflector has it
		}
	}
	if p.nstale > 0 {
		m.expireBy(now.Add(m.cfg.Retention))
	}
	m.ownDirty = m.ownDirty || p.Role == RoleBIRD
	m.event(Event{
		Kind: EventSessionDown, Peer: p.Addr, Cluster: p.Cluster, Count: kept, Warn: true,
		Detail: fmt.Sprintf("%s; %d blocks kept as stale", cmp.Or(reason, "no reason given"), kept),
	})
}

func (m *Mesh) announce(now time.Time, p *peer, a Announcement) {
	b := m.rib(p)[a.Prefix]
	v := m.judge(p, a)
	if v.accepts() {
		v = p.judgeLimits(b, a)
	}
	if !v.accepts() {
		m.refuse(now, p, a, v)
		return
	}
	p.refused.drop(a.Prefix)
	fresh := path{peer: p, nextHop: a.NextHop}
	if b != nil {
		if old := b.of(p); old != nil && *old == fresh {
			return
		}
	}
	m.set(fresh, a.Prefix)
}

// refuse counts and tells the refusal. What the peer announced before for the prefix is withdrawn: the new announcement
// replaced it (RFC 4271 section 9, implicit withdrawal).
func (m *Mesh) refuse(now time.Time, p *peer, a Announcement, v verdict) {
	m.tellRefused(now, p, a, v)
	m.lose(now, p, a.Prefix)
}

func (m *Mesh) tellRefused(now time.Time, p *peer, a Announcement, v verdict) {
	if v.reason == ReasonLimitNode || v.reason == ReasonLimitCluster {
		m.limited[p] = struct{}{}
	}
	// Peers of another AS may tell us of our own blocks again, which is no trouble and nobody's mistake.
	echo := p.Role.Remote() && v.reason == ReasonASLoop && within(a.Prefix, m.cfg.PodCIDRs)
	if p.note(now, a, v, echo) {
		m.event(Event{
			Kind: EventRejected, Peer: p.Addr, Cluster: p.Cluster, Prefix: a.Prefix, Warn: true,
			Detail: fmt.Sprintf("%s: %s", v.reason, v.detail),
		})
	}
}

// endOfRIB withdraws what the session's first feed did not bring again (RFC 4724 section 4.2).
func (m *Mesh) endOfRIB(now time.Time, p *peer, f Families) {
	p.eor |= f
	m.ownDirty = m.ownDirty || p.Role == RoleBIRD
	switch {
	case p.nstale == 0:
	case p.Role == RoleReflector:
		m.startGrace(now, p)
	default:
		m.dropStale(now, p, f)
	}
}

// dropStale withdraws the stale paths of a peer.
func (m *Mesh) dropStale(now time.Time, p *peer, f Families) {
	for b := range p.blocks {
		if b.of(p).stale() && f.Has(FamilyOf(b.prefix.Addr())) {
			m.lose(now, p, b.prefix)
		}
	}
}

// rib is the table that a peer's paths are in.
func (m *Mesh) rib(p *peer) rib {
	if p.Role == RoleBIRD {
		return m.local
	}
	return m.blocks
}

// set stores an accepted path in the place of the one that its peer may have had, and marks what depends on it.
func (m *Mesh) set(pa path, prefix netip.Prefix) {
	if c := pa.peer.cluster; c != nil {
		c.brake(prefix).returned(prefix)
	}
	table := m.rib(pa.peer)
	b := table[prefix]
	if b == nil {
		b = &block{prefix: prefix}
		table[prefix] = b
	}
	m.mark(pa.peer, b)
	lived := b.lives()
	if old := b.of(pa.peer); old != nil {
		pa.peer.tally(b, *old, -1)
		pa.peer.tally(b, pa, 1)
		*old = pa
	} else {
		pa.peer.hold(b, pa)
		b.add(pa)
	}
	pa.peer.cluster.count(lived, b.lives())
}

// unset forgets an accepted path, if there is one, and marks what depended on it.
func (m *Mesh) unset(p *peer, prefix netip.Prefix) {
	b := m.rib(p)[prefix]
	if b == nil {
		return
	}
	old := b.of(p)
	if old == nil {
		return
	}
	m.mark(p, b)
	lived := b.lives()
	p.forget(b, *old)
	b.remove(p)
	p.cluster.count(lived, b.lives())
	if p.Role == RoleBIRD && !b.announced() {
		delete(m.local, prefix)
	}
}

// mark has what depends on a block of a peer worked out anew at the end of the step.
func (m *Mesh) mark(p *peer, b *block) {
	if p.Role == RoleBIRD {
		m.ownDirty = true
		return
	}
	m.touch(b)
}

func (m *Mesh) expireBy(t time.Time) {
	if m.nextExpiry.IsZero() || t.Before(m.nextExpiry) {
		m.nextExpiry = t
	}
}

// expire drops stale paths whose retention is over, except own blocks that the kernel still bears witness to.
func (m *Mesh) expire(now time.Time) {
	m.nextExpiry = time.Time{}
	for _, p := range m.peers {
		if p.nstale == 0 {
			continue
		}
		gone := 0
		for b := range p.blocks {
			pa := b.of(p)
			switch end := m.time(pa.left).Add(m.cfg.Retention); {
			case !pa.stale(), p.Role == RoleBIRD && m.evidence[b.prefix]:
			case now.Before(end):
				m.expireBy(end)
			default:
				m.unset(p, b.prefix)
				gone++
			}
		}
		if gone > 0 {
			m.event(Event{
				Kind: EventExpired, Peer: p.Addr, Cluster: p.Cluster, Count: gone, Warn: true,
				Detail: fmt.Sprintf("%d blocks dropped: the session has been down for %s", gone, m.cfg.Retention),
			})
		}
	}
}

func (m *Mesh) event(e Event) { m.ch.Events = append(m.ch.Events, e) }

// finish closes a step: settles what it touched, latches what became true, and hands the changes over.
func (m *Mesh) finish(now time.Time) Changes {
	m.judgeFalls(now)
	m.fillUp()
	m.settle(now)
	m.restBrakes()
	if m.ownDirty {
		m.settleOwn(now)
	}
	if m.ownKnown.IsZero() {
		m.latchOwnKnown(now)
	}
	if m.converged.IsZero() && !m.ownKnown.IsZero() {
		m.latchConverged(now)
	}
	m.tellNews(now)
	ch := m.ch
	m.ch = Changes{}
	return ch
}

func (m *Mesh) latchConverged(now time.Time) {
	late := !now.Before(m.ownKnown.Add(m.cfg.ConvergenceDeadline))
	var missing []string
	for _, p := range m.peers {
		if !p.Role.Remote() || p.heardAll() {
			continue
		}
		if !late {
			return // most steps of a start with many peers end here
		}
		missing = append(missing, p.Addr.String())
	}
	e := Event{Kind: EventConverged, Count: len(m.blocks), Detail: "every peer has sent its End-of-RIB"}
	if len(missing) > 0 {
		slices.Sort(missing)
		e.Warn, e.Count, m.byDeadline = true, len(missing), true
		e.Detail = fmt.Sprintf("%d peers have not sent their End-of-RIB within %s: %s",
			len(missing), m.cfg.ConvergenceDeadline, strings.Join(missing[:min(len(missing), 5)], ", "))
	}
	m.converged = now
	m.event(e)
}

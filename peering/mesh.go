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

	Retention           time.Duration // how long paths outlive their session
	ConvergenceDeadline time.Duration // how long a start waits for peers that do not answer
	OwnGrace            time.Duration // how long a start waits for BIRD when other evidence of own blocks is there
}

// Mesh is what this node believes of all its peers. It is not safe for concurrent use: one goroutine owns it.
// Every method that changes it returns what is wanted differently, and takes the present time, which never runs back.
type Mesh struct {
	cfg      Config
	started  time.Time
	peers    map[netip.Addr]*peer
	clusters map[string]*cluster
	blocks   map[netip.Prefix]*block

	evidence map[netip.Prefix]bool
	own      []OwnBlock

	ownKnown   time.Time // zero: not yet
	converged  time.Time // zero: not yet
	byDeadline bool
	nextExpiry time.Time // no stale path expires before; zero: none will

	ch       Changes  // of the step under way
	dirty    []*block // touched in the step under way
	ownDirty bool
}

// NewMesh makes an empty mesh that started now.
func NewMesh(cfg Config, now time.Time) *Mesh {
	return &Mesh{
		cfg: cfg, started: now,
		peers:    map[netip.Addr]*peer{},
		clusters: map[string]*cluster{},
		blocks:   map[netip.Prefix]*block{},
		evidence: map[netip.Prefix]bool{},
	}
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
		delete(p.refused, prefix)
		m.unset(p, prefix)
	}
	if u.EndOfRIB != 0 {
		m.endOfRIB(p, u.EndOfRIB)
	}
	return m.finish(now)
}

// Adopt takes the routes that an earlier run left in the kernel as stale paths of the nodes they lead to, as though
// each session had just been lost: a restart forgets nothing. Routes to a node that is no peer, or that the policy
// would refuse, are not adopted.
func (m *Mesh) Adopt(now time.Time, routes []RouteChange) Changes {
	for _, r := range routes {
		p := m.peers[r.NextHop]
		if p == nil || p.Role != RoleRemote {
			continue
		}
		if _, had := p.rib[r.Prefix]; had {
			continue
		}
		if !m.judgeRemote(p, Announcement{Prefix: r.Prefix, NextHop: r.NextHop}).accepts() || !p.judgeLimits().accepts() {
			continue
		}
		m.set(p, r.Prefix, path{nextHop: r.NextHop, stale: now})
		m.expireBy(now.Add(m.cfg.Retention))
	}
	return m.finish(now)
}

// Tick does what is due by the passing of time alone.
func (m *Mesh) Tick(now time.Time) Changes {
	if !m.nextExpiry.IsZero() && !now.Before(m.nextExpiry) {
		m.expire(now)
	}
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
			sooner(m.started.Add(m.cfg.OwnGrace))
		}
	case m.converged.IsZero():
		sooner(m.ownKnown.Add(m.cfg.ConvergenceDeadline))
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
	p.up, p.since, p.reason = false, now, reason
	p.flaps++
	clear(p.refused)
	for prefix, pa := range p.rib {
		if pa.fresh() {
			pa.stale = now
			m.set(p, prefix, pa)
		}
	}
	if p.nstale > 0 {
		m.expireBy(now.Add(m.cfg.Retention))
	}
	m.ownDirty = m.ownDirty || p.Role == RoleBIRD
	m.event(Event{
		Kind: EventSessionDown, Peer: p.Addr, Cluster: p.Cluster, Count: p.nstale, Warn: true,
		Detail: fmt.Sprintf("%s; %d blocks kept as stale", cmp.Or(reason, "no reason given"), p.nstale),
	})
}

func (m *Mesh) announce(now time.Time, p *peer, a Announcement) {
	old, had := p.rib[a.Prefix]
	v := m.judge(p, a)
	if v.accepts() && !had {
		v = p.judgeLimits()
	}
	if !v.accepts() {
		m.refuse(now, p, a, v)
		return
	}
	delete(p.refused, a.Prefix)
	if fresh := (path{nextHop: a.NextHop}); !had || old != fresh {
		m.set(p, a.Prefix, fresh)
	}
}

// refuse counts and tells the refusal. What the peer announced before for the prefix goes: the new announcement
// replaced it (RFC 4271 section 9, implicit withdrawal).
func (m *Mesh) refuse(now time.Time, p *peer, a Announcement, v verdict) {
	if p.note(now, a, v) {
		m.event(Event{
			Kind: EventRejected, Peer: p.Addr, Cluster: p.Cluster, Prefix: a.Prefix, Warn: true,
			Detail: fmt.Sprintf("%s: %s", v.reason, v.detail),
		})
	}
	m.unset(p, a.Prefix)
}

// endOfRIB drops what the session's first feed did not bring again (RFC 4724 section 4.2).
func (m *Mesh) endOfRIB(p *peer, f Families) {
	p.eor |= f
	m.ownDirty = m.ownDirty || p.Role == RoleBIRD
	if p.nstale == 0 {
		return
	}
	for prefix, pa := range p.rib {
		if !pa.fresh() && f.Has(FamilyOf(prefix.Addr())) {
			m.unset(p, prefix)
		}
	}
}

// set stores an accepted path and marks what depends on it.
func (m *Mesh) set(p *peer, prefix netip.Prefix, pa path) {
	p.put(prefix, pa)
	if p.Role == RoleBIRD {
		m.ownDirty = true
		return
	}
	m.claim(p, prefix)
}

// unset forgets an accepted path, if there is one, and marks what depended on it.
func (m *Mesh) unset(p *peer, prefix netip.Prefix) {
	if !p.drop(prefix) {
		return
	}
	if p.Role == RoleBIRD {
		m.ownDirty = true
		return
	}
	m.disclaim(p, prefix)
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
		for prefix, pa := range p.rib {
			switch end := pa.stale.Add(m.cfg.Retention); {
			case pa.fresh(), p.Role == RoleBIRD && m.evidence[prefix]:
			case now.Before(end):
				m.expireBy(end)
			default:
				m.unset(p, prefix)
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
	m.settle(now)
	if m.ownDirty {
		m.settleOwn(now)
	}
	if m.ownKnown.IsZero() {
		m.latchOwnKnown(now)
	}
	if m.converged.IsZero() && !m.ownKnown.IsZero() {
		m.latchConverged(now)
	}
	ch := m.ch
	m.ch = Changes{}
	return ch
}

func (m *Mesh) latchConverged(now time.Time) {
	var missing []string
	for _, p := range m.peers {
		if p.Role == RoleRemote && !p.heardAll() {
			missing = append(missing, p.Addr.String())
		}
	}
	e := Event{Kind: EventConverged, Count: len(m.blocks), Detail: "every peer has sent its End-of-RIB"}
	if len(missing) > 0 {
		if now.Before(m.ownKnown.Add(m.cfg.ConvergenceDeadline)) {
			return
		}
		slices.Sort(missing)
		e.Warn, e.Count, m.byDeadline = true, len(missing), true
		e.Detail = fmt.Sprintf("%d peers have not sent their End-of-RIB within %s: %s",
			len(missing), m.cfg.ConvergenceDeadline, strings.Join(missing[:min(len(missing), 5)], ", "))
	}
	m.converged = now
	m.event(e)
}

package peering

import (
	"cmp"
	"iter"
	"maps"
	"net/netip"
	"slices"
	"time"
)

// Status is an immutable picture of a Mesh without its paths; taking it costs as much as there are peers, and
// nodes behind reflectors.
type Status struct {
	Cluster      string // our own
	Own          []OwnBlock
	OwnKnown     bool // our own blocks are known: remote peers may be told, and told the end
	OwnKnownAt   time.Time
	Converged    bool // every peer has sent its End-of-RIB, or the deadline passed
	Deadline     bool // it was the deadline
	ConvergedAt  time.Time
	BIRD         []PeerStatus // the local BIRD's sessions, by address
	Clusters     []ClusterStatus
	RoutesWanted int
}

// OwnSource is how we know that a block is on this node.
type OwnSource string

// The sources of own blocks, the strongest first.
const (
	OwnFromBIRD   OwnSource = "bird"     // announced by the local BIRD, session up
	OwnFromStale  OwnSource = "retained" // was announced by the local BIRD, session lost
	OwnFromKernel OwnSource = "kernel"   // only the kernel's own blackhole or Felix route says so
)

// OwnBlock is one block of this node that remote clusters are told.
type OwnBlock struct {
	Prefix netip.Prefix
	Source OwnSource
	Since  time.Time // when this source began to hold
}

// ClusterStatus is one remote cluster.
type ClusterStatus struct {
	Name       string
	PodCIDRs   []netip.Prefix
	Reflected  bool // it is reached by reflectors, and they are counted in the place of its nodes
	NodesKnown int  // in the roster; peers of one name are one node
	NodesUp    int  // of these, all whose sessions are established
	Blocks     []BlockCount
	Limits     Limits
	Prefixes   int       // as Limits.Total counts them
	Fullest    int       // of the node that has the most, as Limits.PerNode counts them
	Held       int       // withdrawals that the brake holds back
	HeldUntil  time.Time // when they act at the latest, the first family; zero: the brake is off
	Conflicts  int       // blocks that more than one node announces
	Peers      []PeerStatus
}

// BlockCount counts a remote cluster's blocks of one family.
type BlockCount struct {
	Family Families
	Fresh  int
	Stale  int // kept although their session was lost
	Held   int // kept although they were withdrawn: the brake is on
}

// PeerStatus is one peer as the mesh sees it.
type PeerStatus struct {
	Peer         Peer
	Up           bool
	Since        time.Time // of Up or not Up; zero: never was up
	Reason       string    // why it is down, when it was up before
	Flaps        uint64    // how often it left Established
	EndOfRIB     Families  // families whose End-of-RIB came in this session
	Negotiated   Families  // of this session
	Received     [2]int    // paths in the Adj-RIB-In, IPv4 and IPv6, rejected ones included (at most 1024 of those)
	Accepted     [2]int    // of these, what the policy accepted
	Fullest      int       // of these, what leads to the node that has the most
	Rejected     map[Reason]uint64
	LastRejected []Rejection // the most recent, newest last, at most a handful
}

// Rejection is one announcement that the import policy refused.
type Rejection struct {
	Prefix  netip.Prefix
	NextHop netip.Addr
	Reason  Reason
	Detail  string // names the range, address or limit it ran into
	At      time.Time
}

// RouteStatus is one wanted route.
type RouteStatus struct {
	Prefix     netip.Prefix
	Cluster    string
	NextHop    netip.Addr
	Peer       netip.Addr
	Since      time.Time    // when this owner was chosen
	StaleSince time.Time    // when its session was lost; zero: it was not
	HeldSince  time.Time    // when it was withdrawn, which the brake holds back; zero: it was not
	Rivals     []netip.Addr // other nodes that announce the same block
}

// Status is an immutable picture of the mesh at this moment. It shares nothing with the Mesh.
func (m *Mesh) Status() Status {
	s := Status{
		Cluster: m.cfg.Cluster, Own: slices.Clone(m.own), OwnKnown: m.OwnKnown(), OwnKnownAt: m.ownKnown, Converged: m.Converged(),
		Deadline: m.byDeadline, ConvergedAt: m.converged, RoutesWanted: len(m.blocks),
	}
	var birds []*peer
	byCluster := map[string][]*peer{}
	for _, p := range m.peers {
		if p.Role == RoleBIRD {
			birds = append(birds, p)
			continue
		}
		byCluster[p.Cluster] = append(byCluster[p.Cluster], p)
	}
	s.BIRD = statuses(birds)
	for name, c := range m.clusters {
		s.Clusters = append(s.Clusters, c.status(statuses(byCluster[name])))
	}
	slices.SortFunc(s.Clusters, func(a, b ClusterStatus) int { return cmp.Compare(a.Name, b.Name) })
	return s
}

// Routes yields every wanted route, in no order: sorting many is the reader's work, not that of the mesh's goroutine. Of a
// reader that takes them in pieces ([iter.Pull]) the Mesh may change between two of them: then each is true when it is taken,
// and one that came meanwhile may be missing.
func (m *Mesh) Routes() iter.Seq[RouteStatus] {
	return func(yield func(RouteStatus) bool) {
		for _, b := range m.blocks {
			if !yield(m.blockStatus(b)) {
				return
			}
		}
	}
}

func (m *Mesh) blockStatus(b *block) RouteStatus {
	s := RouteStatus{
		Prefix: b.prefix, Cluster: b.best.peer.cluster.Name, NextHop: b.best.nextHop, Peer: b.best.peer.Addr,
		Since: m.time(b.since),
	}
	switch {
	case b.best.stale():
		s.StaleSince = m.time(b.best.left)
	case b.best.held():
		s.HeldSince = m.time(-b.best.left)
	}
	for _, r := range b.rivals {
		if r.nextHop != b.best.nextHop {
			s.Rivals = append(s.Rivals, r.nextHop)
		}
	}
	return s
}

func (c *cluster) status(peers []PeerStatus) ClusterStatus {
	s := ClusterStatus{Name: c.Name, PodCIDRs: slices.Clone(c.PodCIDRs), Conflicts: c.conflicts, Peers: peers, Limits: c.Limits, Prefixes: c.prefixes}
	up := map[string]bool{}
	for _, p := range peers {
		s.Fullest = max(s.Fullest, p.Fullest)
		s.Reflected = s.Reflected || p.Peer.Role == RoleReflector
		node := p.Peer.Node()
		others, known := up[node]
		up[node] = p.Up && (others || !known)
	}
	for _, isUp := range up {
		s.NodesKnown++
		if isUp {
			s.NodesUp++
		}
	}
	for i, f := range (IPv4 | IPv6).List() {
		s.Blocks = append(s.Blocks, *c.blocks[f])
		s.Held += c.blocks[f].Held
		if until := c.brakes[i].until; s.HeldUntil.IsZero() || !until.IsZero() && until.Before(s.HeldUntil) {
			s.HeldUntil = until
		}
	}
	return s
}

func (p *peer) status() PeerStatus {
	s := PeerStatus{
		Peer: p.Peer, Up: p.up, Since: p.since, Reason: p.reason, Flaps: p.flaps, EndOfRIB: p.eor, Negotiated: p.negotiated,
		Received: p.count, Accepted: p.count, Fullest: p.fullest(), Rejected: maps.Clone(p.rejected), LastRejected: slices.Clone(p.last),
	}
	for i, n := range p.refused.count {
		s.Received[i] += n
	}
	return s
}

// statuses are those of some peers, by address. The peers are sorted, not their much larger statuses.
func statuses(peers []*peer) []PeerStatus {
	slices.SortFunc(peers, func(a, b *peer) int { return a.Addr.Compare(b.Addr) })
	var out []PeerStatus
	if len(peers) > 0 {
		out = make([]PeerStatus, 0, len(peers))
	}
	for _, p := range peers {
		out = append(out, p.status())
	}
	return out
}

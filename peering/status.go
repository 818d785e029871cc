package peering

import (
	"net/netip"
	"time"
)

// Status is an immutable picture of a Mesh without its paths; taking it costs as much as there are peers.
type Status struct {
	Cluster      string // our own
	Own          []OwnBlock
	OwnKnown     bool // our own blocks are known: remote peers may be told, and told the end
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
	NodesKnown int // in the roster
	NodesUp    int // with an established session
	Blocks     []BlockCount
	Conflicts  int // blocks that more than one node announces
	Held       int // withdrawals the brake holds back
	Peers      []PeerStatus
}

// BlockCount counts a remote cluster's blocks of one family.
type BlockCount struct {
	Family       Families
	Fresh, Stale int
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
	Received     [2]int    // paths in the Adj-RIB-In, IPv4 and IPv6, rejected ones included
	Accepted     [2]int    // of these, what the policy accepted
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
	StaleSince time.Time    // zero: fresh
	Rivals     []netip.Addr // other nodes that announce the same block
}

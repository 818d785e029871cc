package config

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"routed/peering"
)

// BGPPort is where BGP speakers listen (RFC 4271 section 8): the local BIRD, and route reflectors.
const BGPPort = 179

// Config is a validated configuration with all defaults filled in. Nobody changes it once it is made; a reload
// makes a new one. Addresses are canonical (no zone, IPv4 never mapped into IPv6), prefixes are masked.
type Config struct {
	Cluster Cluster
	Node    Node
	BIRD    BIRD
	Listen  Listen
	Remotes []Remote // in the order of the file; names are unique and differ from Cluster.Name
	Timers  Timers
	Kernel  Kernel
	Mesh    Mesh
	Probe   Probe
	Metrics Metrics
	Admin   Admin
	State   State
	Log     Log

	files    []string
	warnings []string
	src      *source          // for the messages of Check; nil when the Config was not parsed
	places   map[string]place // where each value stands, by key
}

// Cluster is the cluster this node belongs to.
type Cluster struct {
	Name         string
	PodCIDRs     []netip.Prefix // what this cluster may announce; at least one
	ServiceCIDRs []netip.Prefix // for overlap checks only
	ASN          uint32
}

// RemotePodCIDRs are the ranges whose lookups go to our table: those of the remote clusters' pods.
func (c *Config) RemotePodCIDRs() []netip.Prefix {
	var out []netip.Prefix
	for _, r := range c.Remotes {
		out = append(out, r.PodCIDRs...)
	}
	return out
}

// Node is this node. It has at least one address.
type Node struct {
	Address  netip.Addr // IPv4: next hop of own blocks, local end of sessions; the zero Addr: it has none
	Address6 netip.Addr // IPv6, likewise
	RouterID netip.Addr // BGP Identifier, IPv4 in form; never equal to Address, which the local BIRD uses
}

// AddressFor is the node's address of the family of a, or else its only one.
func (n Node) AddressFor(a netip.Addr) netip.Addr {
	if a.Is6() {
		return cmp.Or(n.Address6, n.Address)
	}
	return cmp.Or(n.Address, n.Address6)
}

// Addresses lists the addresses that the node has, IPv4 first.
func (n Node) Addresses() []netip.Addr {
	return slices.DeleteFunc([]netip.Addr{n.Address, n.Address6}, func(a netip.Addr) bool { return !a.IsValid() })
}

// BIRD is how the session with the local BIRD comes about. Exactly one of the lists is non-empty.
type BIRD struct {
	Dial   []netip.AddrPort // we dial BIRD there, one session each
	Accept []netip.Addr     // we listen there too, on Listen.Port, and BIRD dials us from Node.Address (or Address6)

	Password peering.Password // of TCP MD5 (RFC 2385), for every session with it; none: not signed
}

// Listen is where the daemons of other clusters reach us.
type Listen struct {
	Addresses []netip.Addr // at least one; none unspecified
	Port      uint16
	Guard     Guard
}

// Guard says what keeps strangers from the listening port inside the kernel.
type Guard string

// The guards there are.
const (
	GuardAuto     Guard = "auto"     // GuardNFTables where the host can have it, else none, and a warning
	GuardNFTables Guard = "nftables" // only roster peers with enough TTL, and the local BIRD, reach the port
	GuardNone     Guard = "none"
)

// Remote is one remote cluster.
type Remote struct {
	Name         string
	PodCIDRs     []netip.Prefix   // what it may announce; at least one
	ServiceCIDRs []netip.Prefix   // for overlap checks only
	ASN          uint32           // of its daemons or reflectors; equal to Cluster.ASN: iBGP
	Port         uint16           // where its daemons listen, or its reflectors unless they say otherwise
	Nodes        Nodes            // who they are; none when there are Reflectors
	Reflectors   []netip.AddrPort // BGP route reflectors in the place of its daemons; each address once
	NodeCIDRs    []netip.Prefix   // where next hops may lie that no address in a list vouches for; with Reflectors at least one
	Password     peering.Password // of TCP MD5 (RFC 2385), for every session with it; none: not signed
	Sessions     SessionFamilies  // what the sessions with it carry
	MaxHops      uint8            // 1: directly connected (GTSM); more: multihop; 0: 1 for a peer on one of our subnets, else 16
	Limits       Limits
	BlockLengths BlockLengths

	ProbeAddresses []netip.Addr // inside PodCIDRs; probed when probes are on, besides what Config.Probe says
}

// SessionFamilies says which families a session with a remote node or reflector carries.
type SessionFamilies string

// What a session can carry.
const (
	SessionAddress SessionFamilies = "address" // the family of the address it is with
	SessionBoth    SessionFamilies = "both"    // IPv4 and IPv6
)

// Nodes says who the daemons of a remote cluster are: the addresses, what the hosts file lists, and the nodes that the
// cluster's Kubernetes API knows, merged. At least one of the three is given, unless the cluster has reflectors.
type Nodes struct {
	Addresses  []netip.Addr // each once
	HostsFile  string       // path; empty: none
	Kubernetes Kubernetes   // the zero value: none
}

// Kubernetes is how a remote cluster's API is asked for its nodes.
type Kubernetes struct {
	Kubeconfig    string // path of a kubeconfig or of an Istio remote secret
	Context       string // of the kubeconfig; empty: its current one
	LabelSelector string // which nodes; empty: all
}

// Used reports whether the API is asked at all.
func (k Kubernetes) Used() bool { return k.Kubeconfig != "" }

// Limits bounds what a remote cluster may announce, in prefixes.
type Limits struct {
	PrefixesPerNode int
	Prefixes        int // of the whole cluster
}

// BlockLengths is which prefix lengths a remote cluster may announce.
type BlockLengths struct {
	IPv4, IPv6 LengthRange
}

// LengthRange is a range of prefix lengths in bits, both ends included.
type LengthRange struct {
	Min, Max int
}

// Timers are those of the BGP sessions.
type Timers struct {
	HoldTime time.Duration // proposed to every peer, whole seconds; 0: see [Timers.HoldTimeFor]
}

// The hold times when none is set. A keepalive costs both ends a wake-up, and there are as many as peers every third of
// the hold time: with these never more than some 35 a second.
const (
	holdTimeFew  = 9 * time.Second // up to peersFew
	holdTimeMany = 30 * time.Second
	holdTimeMost = 90 * time.Second // beyond peersMany; what RFC 4271 section 10 suggests
	peersFew     = 100
	peersMany    = 350
)

// HoldTimeFor is the hold time of a node with so many remote peers.
func (t Timers) HoldTimeFor(peers int) time.Duration {
	switch {
	case t.HoldTime != 0:
		return t.HoldTime
	case peers <= peersFew:
		return holdTimeFew
	case peers <= peersMany:
		return holdTimeMany
	default:
		return holdTimeMost
	}
}

// Kernel says what routed owns in the kernel and how it treats it.
type Kernel struct {
	Table               uint32 // TableMain or the number of a table that is routed's alone
	Protocol            uint8  // marks our routes (rtm_protocol)
	RulePriority        int    // of the rules that lead to Table
	Encapsulation       Encapsulation
	OnExit              OnExit
	ResyncInterval      time.Duration // before jitter
	ConvergenceDeadline time.Duration
}

// TableMain is the number of the kernel's main routing table (RT_TABLE_MAIN).
const TableMain = 254

// Encapsulation says how packets travel to a next hop.
type Encapsulation string

// The encapsulations there are.
const (
	EncapsulationAuto Encapsulation = "auto" // direct when the next hop is on-link; for now the same as EncapsulationNone
	EncapsulationNone Encapsulation = "none"
)

// OnExit says what happens to our routes and rules when the daemon stops.
type OnExit string

// What can happen on exit.
const (
	OnExitKeep  OnExit = "keep"
	OnExitFlush OnExit = "flush"
)

// Mesh is how long what we believe outlives its source.
type Mesh struct {
	Retention       time.Duration // routes of a lost session stay this long, marked stale
	WithdrawalBrake WithdrawalBrake
}

// WithdrawalBrake holds a suspicious mass withdrawal back.
type WithdrawalBrake struct {
	SharePercent int           // a fall by more than this share of a cluster's blocks at once; 100: no brake
	Hold         time.Duration // is held back this long
}

// Probe says whether and how nodes of other clusters are asked by ICMP whether they answer.
type Probe struct {
	Interval         time.Duration // from one echo to the next, of each target; 0: no probes
	Timeout          time.Duration // for an answer; at most Interval
	PathMTU          bool          // measure it, to each next hop
	PacketsPerSecond int           // at most, all targets together
	Addresses        ProbedAddresses
}

// ProbedAddresses says which addresses in blocks of remote clusters are probed, unless a list names them.
type ProbedAddresses string

// What can be probed in a block.
const (
	ProbeNone  ProbedAddresses = "none"
	ProbeFirst ProbedAddresses = "first" // the first address of each block, where Calico's tunl0 mostly has it
)

// Metrics is the HTTP server for Prometheus and health checks.
type Metrics struct {
	Listen        netip.AddrPort
	WebConfigFile string // Prometheus exporter-toolkit: TLS, basic authentication; empty: plain HTTP
	PeerLabel     bool   // series for each remote node, by the label peer
}

// Admin is the socket that `routed status` and its like talk to.
type Admin struct {
	Socket string // path
}

// State is where the daemon keeps what it must know after a restart.
type State struct {
	Directory string // path
}

// Log is what the daemon logs.
type Log struct {
	Level string // debug, info, warn or error
}

// Warnings are what is not wrong but unwise, each a sentence.
func (c *Config) Warnings() []string { return append([]string(nil), c.warnings...) }

// Files lists every file the configuration depends on, for watching: itself first, then those it names, each once.
func (c *Config) Files() []string { return append([]string(nil), c.files...) }

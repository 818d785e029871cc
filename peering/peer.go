package peering

import (
	"cmp"
	"net/netip"
	"strings"
	"time"
)

// Role says what a peer is to us; it decides which import policy its announcements meet.
type Role uint8

const (
	// RoleBIRD is the BIRD of this node: it tells us this node's own pod blocks and is told nothing.
	RoleBIRD Role = iota + 1
	// RoleRemote is the routed daemon of one node of another cluster: blocks go both ways.
	RoleRemote
	// RoleReflector is a BGP route reflector (RFC 4456) that stands for every node of another cluster: blocks go both
	// ways, and it passes them on with their next hops as they are.
	RoleReflector
)

// Remote reports whether the peer speaks for another cluster: its blocks become routes, and it is told ours.
func (r Role) Remote() bool { return r == RoleRemote || r == RoleReflector }

// String is the role as the metrics label `role` and `routed peers` print it.
func (r Role) String() string {
	switch r {
	case RoleBIRD:
		return "bird"
	case RoleRemote:
		return "remote"
	case RoleReflector:
		return "reflector"
	default:
		return "unknown"
	}
}

// Families is a set of address families (unicast).
type Families uint8

const (
	// IPv4 is AFI 1, SAFI 1 (RFC 4760).
	IPv4 Families = 1 << iota
	// IPv6 is AFI 2, SAFI 1.
	IPv6
)

// FamilyOf is the family of one address.
func FamilyOf(a netip.Addr) Families {
	if a.Is4() || a.Is4In6() {
		return IPv4
	}
	return IPv6
}

// Has reports whether every family of g is in f.
func (f Families) Has(g Families) bool { return f&g == g }

// List returns the single families in f, IPv4 first.
func (f Families) List() []Families {
	var out []Families
	for _, one := range []Families{IPv4, IPv6} {
		if f.Has(one) {
			out = append(out, one)
		}
	}
	return out
}

// String is "ipv4", "ipv6", "ipv4,ipv6" or "none", as in the metrics label `family`.
func (f Families) String() string {
	var s []string
	if f.Has(IPv4) {
		s = append(s, "ipv4")
	}
	if f.Has(IPv6) {
		s = append(s, "ipv6")
	}
	if len(s) == 0 {
		return "none"
	}
	return strings.Join(s, ",")
}

// Peer is everything a speaker must know to hold one BGP session, and everything the policy must know to judge it.
// A peer is identified by Addr: one address, one session.
type Peer struct {
	Addr     netip.Addr    // the peer's address as we see it: where it dials from, and where we dial
	Role     Role          //
	Cluster  string        // the cluster it belongs to; our own for RoleBIRD
	Name     string        // its host name, when the roster knows one; for people, and to tell a node that is several peers
	Other    netip.Addr    // the node's address of the other family, when Families has both and the roster knows it
	ASN      uint32        // its AS number; equal to ours means iBGP
	Local    netip.Addr    // the address of ours that the session uses; for a remote one also the node address
	DialPort uint16        // the TCP port we dial; 0: we do not dial, the peer does
	MaxHops  uint8         // 1: directly connected (GTSM, RFC 5082); more: multihop, TTL at least 256-MaxHops
	Families Families      // the families to negotiate, no others
	HoldTime time.Duration // proposed hold time; the keepalive interval is a third of it
	Password Password      // of TCP MD5 (RFC 2385), both ways; none: not signed
}

// Node tells the node that a peer is from the others of its cluster: peers of one name are one node.
func (p Peer) Node() string { return cmp.Or(p.Name, p.Addr.String()) }

package peering

import "net/netip"

// Roster is the full list of who our peers are and what each cluster may announce. It is full state: whoever is
// not in it is no peer any more. A Mesh keeps it; the giver does not change it afterwards.
type Roster struct {
	BIRD     []Peer // the local BIRD's sessions: one, or one a family
	Clusters []Cluster
}

// Cluster is one remote cluster: its daemons and the bounds of what they may announce.
type Cluster struct {
	Name     string
	PodCIDRs []netip.Prefix
	Lengths  Lengths
	Limits   Limits
	Peers    []Peer // its nodes, or reflectors in their place

	NodeCIDRs []netip.Prefix // where the next hops may lie that a reflector passes on
}

// Lengths bounds the prefix length a cluster may announce, both ends included. The zero Range admits every length.
type Lengths struct{ IPv4, IPv6 Range }

// Range is a closed range of prefix lengths in bits.
type Range struct{ Min, Max int }

func (r Range) has(bits int) bool { return r == Range{} || (r.Min <= bits && bits <= r.Max) }

func (l Lengths) of(p netip.Prefix) Range {
	if FamilyOf(p.Addr()) == IPv4 {
		return l.IPv4
	}
	return l.IPv6
}

// Limits bounds how many prefixes are accepted. Zero means no limit.
type Limits struct {
	PerNode int // with one node as next hop
	Total   int // of the cluster; one that several peers announce counts once
}

// Peers lists every peer of the roster, the local BIRD first.
func (r Roster) Peers() []Peer {
	out := append([]Peer(nil), r.BIRD...)
	for _, c := range r.Clusters {
		out = append(out, c.Peers...)
	}
	return out
}

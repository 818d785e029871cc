package peering

import (
	"fmt"
	"net/netip"
	"slices"
)

// Reason says why an announcement was refused; a closed set, the metrics label `reason`.
type Reason string

// The reasons of the import policy.
const (
	ReasonNoNextHop      Reason = "no_next_hop"                 // the UPDATE carries no NEXT_HOP
	ReasonNoASPath       Reason = "no_as_path"                  // the UPDATE carries no AS_PATH
	ReasonFirstAS        Reason = "first_as_not_peer"           // eBGP: the first AS is not the peer's (RFC 4271 section 6.3)
	ReasonASLoop         Reason = "as_loop"                     // our own AS is in the path (RFC 4271 section 9.1.2)
	ReasonDefault        Reason = "default_route"               // 0.0.0.0/0 or ::/0
	ReasonMartian        Reason = "martian_prefix"              // overlaps addresses that no pod can have
	ReasonOwnRange       Reason = "own_pod_cidrs"               // overlaps our own pod ranges
	ReasonOwnServices    Reason = "own_service_cidrs"           // overlaps our own service ranges
	ReasonOwnAddress     Reason = "own_address"                 // the next hop is ours, or the prefix covers an address of ours
	ReasonOutsideRange   Reason = "outside_pod_cidrs"           // not inside what the cluster may announce
	ReasonLength         Reason = "prefix_length"               // a length the cluster may not announce
	ReasonMartianNextHop Reason = "martian_next_hop"            // an address that no node can have
	ReasonNextHop        Reason = "next_hop_not_peer"           // the next hop is not the peer (for BIRD: not this node)
	ReasonNextHopRange   Reason = "next_hop_outside_node_cidrs" // of somebody whose next hops are not known: not inside nodeCIDRs
	ReasonLimitNode      Reason = "limit_prefixes_per_node"     // the node already has its share
	ReasonLimitCluster   Reason = "limit_prefixes"              // the cluster already has its share
)

// Reasons lists every reason there is, in the order they are looked for: the first that holds is told.
func Reasons() []Reason {
	return []Reason{
		ReasonNoNextHop, ReasonNoASPath, ReasonFirstAS, ReasonASLoop, ReasonDefault, ReasonMartian, ReasonMartianNextHop,
		ReasonOwnRange, ReasonOwnServices, ReasonOwnAddress, ReasonOutsideRange, ReasonLength, ReasonNextHop, ReasonNextHopRange,
		ReasonLimitNode, ReasonLimitCluster,
	}
}

// verdict is what the policy says of one announcement; the zero verdict accepts.
type verdict struct {
	reason Reason
	detail string
}

func (v verdict) accepts() bool { return v.reason == "" }

func refuse(r Reason, format string, args ...any) verdict {
	return verdict{reason: r, detail: fmt.Sprintf(format, args...)}
}

// judge applies the import policy of the peer's role, limits excepted: those depend on what is already held.
func (m *Mesh) judge(p *peer, a Announcement) verdict {
	if !a.NextHop.IsValid() {
		return refuse(ReasonNoNextHop, "the UPDATE carries no NEXT_HOP")
	}
	if a.ASPath == nil {
		return refuse(ReasonNoASPath, "the UPDATE carries no AS_PATH")
	}
	if v := m.judgeASPath(p, a); !v.accepts() {
		return v
	}
	if v := m.martians.judge(a); !v.accepts() {
		return v
	}
	if p.Role == RoleBIRD {
		return m.judgeOwn(a)
	}
	return m.judgeRemote(p, a)
}

func (m *Mesh) judgeASPath(p *peer, a Announcement) verdict {
	if p.ASN != m.cfg.ASN && (len(a.ASPath) == 0 || a.ASPath[0] != p.ASN) {
		return refuse(ReasonFirstAS, "AS_PATH %v does not begin with the peer's AS %d", a.ASPath, p.ASN)
	}
	if slices.Contains(a.ASPath, m.cfg.ASN) {
		return refuse(ReasonASLoop, "AS_PATH %v contains our own AS %d", a.ASPath, m.cfg.ASN)
	}
	return verdict{}
}

// judgeOwn: from the local BIRD only blocks inside our own ranges, with this node as next hop. What it passes on of
// other nodes (eBGP, or a node that is a route reflector) has their next hop.
func (m *Mesh) judgeOwn(a Announcement) verdict {
	if !within(a.Prefix, m.cfg.PodCIDRs) {
		return refuse(ReasonOutsideRange, "outside cluster %s's pod CIDRs %v", m.cfg.Cluster, m.cfg.PodCIDRs)
	}
	if !slices.Contains(m.cfg.NodeAddrs, a.NextHop) {
		return refuse(ReasonNextHop, "next hop %s is not this node %v", a.NextHop, m.cfg.NodeAddrs)
	}
	return verdict{}
}

func (m *Mesh) judgeRemote(p *peer, a Announcement) verdict {
	c := p.cluster
	if v := m.judgeOurs(a); !v.accepts() {
		return v
	}
	if !within(a.Prefix, c.PodCIDRs) {
		return refuse(ReasonOutsideRange, "outside cluster %s's pod CIDRs %v", c.Name, c.PodCIDRs)
	}
	if r := c.Lengths.of(a.Prefix); !r.has(a.Prefix.Bits()) {
		return refuse(ReasonLength, "cluster %s may announce lengths /%d to /%d", c.Name, r.Min, r.Max)
	}
	return judgeNextHop(p, a)
}

// judgeNextHop: a node speaks for itself alone; a reflector passes on what the nodes of its cluster say.
func judgeNextHop(p *peer, a Announcement) verdict {
	if p.Role != RoleReflector {
		if own := p.addrOf(FamilyOf(a.Prefix.Addr())); own.IsValid() && a.NextHop != own {
			return refuse(ReasonNextHop, "next hop %s is not the peer %s", a.NextHop, own)
		} else if own.IsValid() {
			return verdict{}
		}
	}
	switch c := p.cluster; {
	case !within(hostPrefix(a.NextHop), c.NodeCIDRs):
		return refuse(ReasonNextHopRange, "next hop %s is outside cluster %s's node CIDRs %v", a.NextHop, c.Name, c.NodeCIDRs)
	case a.NextHop.Is4() != a.Prefix.Addr().Is4():
		return refuse(ReasonNextHopRange, "next hop %s is not of the family of %s", a.NextHop, a.Prefix)
	default:
		return verdict{}
	}
}

// addrOf is the peer's address of a family; invalid: it is not known.
func (p *peer) addrOf(f Families) netip.Addr {
	if f == FamilyOf(p.Addr) {
		return p.Addr
	}
	return p.Other
}

func hostPrefix(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// judgeOurs: a remote cluster has no say over what is ours.
func (m *Mesh) judgeOurs(a Announcement) verdict {
	if own, ok := overlap(a.Prefix, m.cfg.PodCIDRs); ok {
		return refuse(ReasonOwnRange, "overlaps our own pod CIDR %s", own)
	}
	if own, ok := overlap(a.Prefix, m.cfg.ServiceCIDRs); ok {
		return refuse(ReasonOwnServices, "overlaps our own service CIDR %s", own)
	}
	for _, own := range m.cfg.NodeAddrs {
		if a.Prefix.Contains(own) || a.NextHop == own {
			return refuse(ReasonOwnAddress, "%s via %s takes our own address %s", a.Prefix, a.NextHop, own)
		}
	}
	return verdict{}
}

// judgeLimits refuses a prefix that is new to its node or its cluster when that already has its share. b is the prefix's
// block; nil: there is none.
func (p *peer) judgeLimits(b *block, a Announcement) verdict {
	if p.Role == RoleBIRD {
		return verdict{}
	}
	var old *path
	if b != nil {
		old = b.of(p)
	}
	l, newToNode := p.cluster.Limits, old == nil || old.held() || p.hops != nil && old.nextHop != a.NextHop
	if l.PerNode > 0 && newToNode && p.countOf(a.NextHop) >= l.PerNode {
		return refuse(ReasonLimitNode, "the node %s already has %d prefixes, the limit of cluster %s", a.NextHop, l.PerNode, p.cluster.Name)
	}
	newToCluster := b == nil || !b.lives()
	if l.Total > 0 && newToCluster && p.cluster.prefixes >= l.Total {
		return refuse(ReasonLimitCluster, "cluster %s already has %d prefixes, its limit", p.cluster.Name, l.Total)
	}
	return verdict{}
}

// overlap finds the first range that has an address in common with p.
func overlap(p netip.Prefix, ranges []netip.Prefix) (netip.Prefix, bool) {
	i := slices.IndexFunc(ranges, p.Overlaps)
	if i < 0 {
		return netip.Prefix{}, false
	}
	return ranges[i], true
}

// within reports whether p lies inside one of the ranges.
func within(p netip.Prefix, ranges []netip.Prefix) bool {
	return slices.ContainsFunc(ranges, func(r netip.Prefix) bool {
		return r.Bits() <= p.Bits() && r.Contains(p.Addr())
	})
}

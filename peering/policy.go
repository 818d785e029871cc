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
	ReasonNoNextHop      Reason = "no_next_hop"             // the UPDATE carries no NEXT_HOP
	ReasonNoASPath       Reason = "no_as_path"              // the UPDATE carries no AS_PATH
	ReasonFirstAS        Reason = "first_as_not_peer"       // eBGP: the first AS is not the peer's (RFC 4271 section 6.3)
	ReasonASLoop         Reason = "as_loop"                 // our own AS is in the path (RFC 4271 section 9.1.2)
	ReasonDefault        Reason = "default_route"           // 0.0.0.0/0 or ::/0
	ReasonMartian        Reason = "martian_prefix"          // overlaps addresses that no pod can have
	ReasonOwnRange       Reason = "own_pod_cidrs"           // overlaps our own pod ranges
	ReasonOwnServices    Reason = "own_service_cidrs"       // overlaps our own service ranges
	ReasonOwnAddress     Reason = "own_address"             // the next hop is ours, or the prefix covers an address of ours
	ReasonOutsideRange   Reason = "outside_pod_cidrs"       // not inside what the cluster may announce
	ReasonLength         Reason = "prefix_length"           // a length the cluster may not announce
	ReasonMartianNextHop Reason = "martian_next_hop"        // an address that no node can have
	ReasonNextHop        Reason = "next_hop_not_peer"       // the next hop is not the peer (for BIRD: not this node)
	ReasonLimitNode      Reason = "limit_prefixes_per_node" // the node already has its share
	ReasonLimitCluster   Reason = "limit_prefixes"          // the cluster already has its share
)

// Reasons lists every reason there is, in the order they are looked for: the first that holds is told.
func Reasons() []Reason {
	return []Reason{
		ReasonNoNextHop, ReasonNoASPath, ReasonFirstAS, ReasonASLoop, ReasonDefault, ReasonMartian, ReasonMartianNextHop,
		ReasonOwnRange, ReasonOwnServices, ReasonOwnAddress, ReasonOutsideRange, ReasonLength, ReasonNextHop,
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
	if a.NextHop != p.Addr {
		return refuse(ReasonNextHop, "next hop %s is not the peer %s", a.NextHop, p.Addr)
	}
	return verdict{}
}

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

// judgeLimits refuses a prefix that is new to the peer when it or its cluster already holds its share.
func (p *peer) judgeLimits() verdict {
	if p.Role == RoleBIRD {
		return verdict{}
	}
	l := p.cluster.Limits
	if l.PerNode > 0 && p.count[0]+p.count[1] >= l.PerNode {
		return refuse(ReasonLimitNode, "the node already has %d prefixes, the limit of cluster %s", l.PerNode, p.cluster.Name)
	}
	if l.Total > 0 && p.cluster.paths >= l.Total {
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

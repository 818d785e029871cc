package bgp

import (
	"net/netip"

	"routed/peering"

	"github.com/osrg/gobgp/v4/pkg/apiutil"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// convert turns the paths of one UPDATE into peering's terms. Attributes that are missing stay missing. Prefixes of
// families that were not negotiated are ignored (RFC 4760 section 7). A prefix that is both announced and withdrawn
// counts as announced (RFC 4271 section 4.3). Announcements of one UPDATE may share their ASPath.
func convert(paths []*apiutil.Path, negotiated peering.Families) ([]peering.Announcement, []netip.Prefix) {
	var announce []peering.Announcement
	var withdraw []netip.Prefix
	var asPath asPathCache
	for _, p := range paths {
		prefix, ok := prefixOf(p)
		if !ok || !negotiated.Has(peering.FamilyOf(prefix.Addr())) {
			continue
		}
		if p.Withdrawal {
			withdraw = append(withdraw, prefix)
			continue
		}
		if announce == nil {
			announce = make([]peering.Announcement, 0, len(paths)) // an UPDATE mostly announces or withdraws, not both
		}
		a := peering.Announcement{Prefix: prefix}
		for _, attr := range p.Attrs {
			switch v := attr.(type) {
			case *bgp.PathAttributeNextHop:
				a.NextHop = preferred(a.NextHop, v.Value, prefix)
			case *bgp.PathAttributeMpReachNLRI:
				a.NextHop = preferred(a.NextHop, v.Nexthop, prefix)
			case *bgp.PathAttributeAsPath:
				a.ASPath = asPath.flatten(v)
			}
		}
		announce = append(announce, a)
	}
	return announce, notAnnounced(withdraw, announce)
}

// prefixOf is the prefix of a unicast path, without host bits: those beyond the length are irrelevant (RFC 4271
// section 4.3). An IPv4-mapped IPv6 prefix is no unicast destination and is not taken.
func prefixOf(p *apiutil.Path) (netip.Prefix, bool) {
	if p == nil {
		return netip.Prefix{}, false
	}
	nlri, ok := p.Nlri.(*bgp.IPAddrPrefix)
	if !ok || nlri == nil || !nlri.Prefix.IsValid() {
		return netip.Prefix{}, false
	}
	a := nlri.Prefix.Addr()
	if a.Is4In6() || familyOf(p.Family) != peering.FamilyOf(a) {
		return netip.Prefix{}, false
	}
	return nlri.Prefix.Masked(), true
}

// preferred chooses between the next hops of NEXT_HOP and MP_REACH_NLRI when a path carries both: IPv4 NLRI belong to
// the former, IPv6 NLRI to the latter, whichever comes first in the message.
func preferred(have, next netip.Addr, prefix netip.Prefix) netip.Addr {
	if !have.IsValid() || next.Is4() == prefix.Addr().Is4() && have.Is4() != prefix.Addr().Is4() {
		return next
	}
	return have
}

// asPathCache flattens an attribute that many paths share once.
type asPathCache struct {
	attr *bgp.PathAttributeAsPath
	flat []uint32
}

// flatten lists the AS numbers in order, sets and confederation segments included; never nil.
func (c *asPathCache) flatten(attr *bgp.PathAttributeAsPath) []uint32 {
	if attr == nil {
		return nil
	}
	if c.attr != attr {
		flat := []uint32{}
		for _, segment := range attr.Value {
			if segment != nil {
				flat = append(flat, segment.GetAS()...)
			}
		}
		c.attr, c.flat = attr, flat
	}
	return c.flat
}

// notAnnounced drops the prefixes of withdraw that are in announce.
func notAnnounced(withdraw []netip.Prefix, announce []peering.Announcement) []netip.Prefix {
	if len(withdraw) == 0 || len(announce) == 0 {
		return withdraw
	}
	announced := make(map[netip.Prefix]struct{}, len(announce))
	for _, a := range announce {
		announced[a.Prefix] = struct{}{}
	}
	out := withdraw[:0]
	for _, p := range withdraw {
		if _, ok := announced[p]; !ok {
			out = append(out, p)
		}
	}
	return out
}

package peering

import "net/netip"

// martians are the ranges that no pod and no node has an address in, IPv4 and IPv6: those that RFC 6890 reserves to a link,
// a host or a protocol, multicast (RFC 5771, RFC 4291 section 2.7) and what is reserved for the future (RFC 1112 section 4).
// Private and shared ranges are not among them: clusters live there.
type martians [2][]netip.Prefix

func newMartians() martians {
	v4 := func(a, b byte, bits int) netip.Prefix { return netip.PrefixFrom(netip.AddrFrom4([4]byte{a, b}), bits) }
	v6 := func(a, b byte, bits int) netip.Prefix {
		return netip.PrefixFrom(netip.AddrFrom16([16]byte{a, b}), bits)
	}
	return martians{
		{
			v4(0, 0, 8),      // this network
			v4(127, 0, 8),    // loopback
			v4(169, 254, 16), // link-local
			v4(224, 0, 4),    // multicast
			v4(240, 0, 4),    // reserved, broadcast
		},
		{
			v6(0, 0, 127), // unspecified, loopback
			netip.PrefixFrom(netip.AddrFrom16([16]byte{10: 0xff, 11: 0xff}), 96), // IPv4 in IPv6 form
			v6(0xfe, 0x80, 10), // link-local
			v6(0xff, 0, 8),     // multicast
		},
	}
}

// judge refuses what nobody can rightly announce, whoever it is. The ranges of a cluster would exclude nearly all of it as
// well, but not say why.
func (ms *martians) judge(a Announcement) verdict {
	if a.Prefix.Bits() == 0 {
		return refuse(ReasonDefault, "a default route")
	}
	for _, m := range ms.of(a.Prefix.Addr()) {
		if m.Overlaps(a.Prefix) {
			return refuse(ReasonMartian, "overlaps %s, where no pod has its address", m)
		}
	}
	for _, m := range ms.of(a.NextHop) {
		if m.Contains(a.NextHop) {
			return refuse(ReasonMartianNextHop, "next hop %s is in %s, where no node has its address", a.NextHop, m)
		}
	}
	return verdict{}
}

func (ms *martians) of(a netip.Addr) []netip.Prefix {
	if a.Is4() {
		return ms[0]
	}
	return ms[1]
}

package bgp

import (
	"net/netip"
	"slices"
	"testing"

	"routed/peering"

	"github.com/osrg/gobgp/v4/pkg/apiutil"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// pathsOf lists the paths of an UPDATE the way GoBGP's watcher hands them on.
func pathsOf(u *bgp.BGPUpdate) []*apiutil.Path {
	var out []*apiutil.Path
	var shared []bgp.PathAttributeInterface
	add := func(f bgp.Family, n bgp.NLRI, withdrawn bool, attrs []bgp.PathAttributeInterface) {
		out = append(out, &apiutil.Path{Family: f, Nlri: n, Withdrawal: withdrawn, Attrs: attrs})
	}
	for _, a := range u.PathAttributes {
		switch a.(type) {
		case *bgp.PathAttributeMpReachNLRI, *bgp.PathAttributeMpUnreachNLRI:
		default:
			shared = append(shared, a)
		}
	}
	for _, n := range u.NLRI {
		add(bgp.RF_IPv4_UC, n.NLRI, false, shared)
	}
	for _, a := range u.PathAttributes {
		switch v := a.(type) {
		case *bgp.PathAttributeMpReachNLRI:
			for _, n := range v.Value {
				add(bgp.NewFamily(v.AFI, v.SAFI), n.NLRI, false, append(slices.Clone(shared), v))
			}
		case *bgp.PathAttributeMpUnreachNLRI:
			for _, n := range v.Value {
				add(bgp.NewFamily(v.AFI, v.SAFI), n.NLRI, true, nil)
			}
		}
	}
	for _, n := range u.WithdrawnRoutes {
		add(bgp.RF_IPv4_UC, n.NLRI, true, nil)
	}
	return out
}

func parse(b []byte) ([]*apiutil.Path, bool) {
	if len(b) < bgp.BGP_HEADER_LENGTH {
		return nil, false
	}
	h := &bgp.BGPHeader{Type: bgp.BGP_MSG_UPDATE, Len: uint16(len(b))}
	m, _ := bgp.ParseBGPBody(h, b[bgp.BGP_HEADER_LENGTH:])
	if m == nil {
		return nil, false
	}
	u, ok := m.Body.(*bgp.BGPUpdate)
	if !ok || u == nil {
		return nil, false
	}
	return pathsOf(u), true
}

func TestConvertCollapsesContradictions(t *testing.T) {
	body := []byte{0, 8, 24, 10, 1, 0, 24, 10, 1, 9} // withdrawn: 10.1.0.0/24, 10.1.9.0/24
	as := attrs(originIGPAttr, emptyASPath, nextHopAttr)
	body = append(append(append(body, 0, byte(len(as))), as...), 25, 10, 1, 0, 0xff, 24, 10, 1, 0) // host bits in the first
	paths, ok := parse(message(bgp.BGP_MSG_UPDATE, body))
	if !ok {
		t.Fatal("not parsed")
	}
	announce, withdraw := convert(paths, peering.IPv4)
	if !slices.Equal(withdraw, []netip.Prefix{prefix("10.1.9.0/24")}) {
		t.Errorf("withdrawn %v", withdraw)
	}
	var got []netip.Prefix
	for _, a := range announce {
		got = append(got, a.Prefix)
	}
	if !slices.Equal(got, []netip.Prefix{prefix("10.1.0.128/25"), prefix("10.1.0.0/24")}) {
		t.Errorf("announced %v", got)
	}
	if a, w := convert(paths, peering.IPv6); len(a)+len(w) != 0 {
		t.Errorf("not negotiated, all the same: %v %v", a, w)
	}
}

func TestConvertOddPaths(t *testing.T) {
	n4, _ := bgp.NewIPAddrPrefix(prefix("10.1.0.0/26"))
	mapped := &bgp.IPAddrPrefix{IPAddrPrefixDefault: bgp.IPAddrPrefixDefault{Prefix: prefix("::ffff:10.1.0.0/122")}}
	paths := []*apiutil.Path{
		nil,
		{},
		{Family: bgp.RF_IPv6_UC, Nlri: n4},
		{Family: bgp.RF_EVPN, Nlri: n4},
		{Family: bgp.RF_IPv6_UC, Nlri: mapped},
		{Family: bgp.RF_IPv4_UC, Nlri: &bgp.IPAddrPrefix{}},
		{Family: bgp.RF_IPv4_UC, Nlri: (*bgp.IPAddrPrefix)(nil)},
	}
	if a, w := convert(paths, both); len(a)+len(w) != 0 {
		t.Errorf("got %v %v", a, w)
	}
}

// TestConvertPrefersTheFamilysNextHop: NEXT_HOP is IPv4's, MP_REACH_NLRI is IPv6's, in whatever order they come.
func TestConvertPrefersTheFamilysNextHop(t *testing.T) {
	n6, _ := bgp.NewIPAddrPrefix(prefix("fd01::/122"))
	four, _ := bgp.NewPathAttributeNextHop(addr("192.0.2.1"))
	six, _ := bgp.NewPathAttributeMpReachNLRI(bgp.RF_IPv6_UC, []bgp.PathNLRI{{NLRI: n6}}, addr("fd00::1"))
	for _, order := range [][]bgp.PathAttributeInterface{{four, six}, {six, four}} {
		a, _ := convert([]*apiutil.Path{{Family: bgp.RF_IPv6_UC, Nlri: n6, Attrs: order}}, both)
		if len(a) != 1 || a[0].NextHop != addr("fd00::1") {
			t.Errorf("got %+v", a)
		}
	}
}

func FuzzConvert(f *testing.F) {
	f.Add(update(attrs(originIGPAttr, emptyASPath, nextHopAttr, localPref), 24, 10, 1, 0), uint8(both))
	f.Add(update(attrs(originIGPAttr, []byte{0x40, 2, 6, 1, 1, 0, 0, 0xfc, 0}, nextHopAttr), 0), uint8(peering.IPv4))
	f.Add(message(bgp.BGP_MSG_UPDATE, []byte{0, 4, 24, 10, 1, 4, 0, 0}), uint8(both))
	f.Add(message(bgp.BGP_MSG_UPDATE, []byte{0, 0, 0, 0}), uint8(both))
	f.Add(update([]byte{0x80, 14, 22, 0, 2, 1, 16, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0}), uint8(both))
	f.Add(update(badAggregator, 24, 10, 1, 3, 33, 1, 2, 3, 4, 5), uint8(both))
	f.Fuzz(func(t *testing.T, b []byte, families uint8) {
		paths, ok := parse(b)
		if !ok {
			return
		}
		negotiated := peering.Families(families) & both
		announce, withdraw := convert(paths, negotiated)
		seen := map[netip.Prefix]bool{}
		check := func(p netip.Prefix) {
			if !p.IsValid() || p != p.Masked() || p.Addr().Is4In6() || !negotiated.Has(peering.FamilyOf(p.Addr())) {
				t.Errorf("prefix %s of %s", p, negotiated)
			}
		}
		for _, a := range announce {
			check(a.Prefix)
			seen[a.Prefix] = true
		}
		for _, p := range withdraw {
			check(p)
			if seen[p] {
				t.Errorf("%s announced and withdrawn", p)
			}
		}
		if len(announce)+len(withdraw) > len(paths) {
			t.Errorf("%d paths became %d and %d", len(paths), len(announce), len(withdraw))
		}
	})
}

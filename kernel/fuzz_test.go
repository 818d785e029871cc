package kernel

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"testing"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// The decoders read what the kernel sends, of any version and with attributes of any kind. Whatever the bytes are, they
// neither crash nor hand on a value that the rest would trip over.

func FuzzDecodeRoute(f *testing.F) {
	for _, seed := range routeSeeds() {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decodeRoute(b)
		if err == nil && !r.foreign && !r.Prefix.IsValid() {
			t.Errorf("a route to nowhere: %+v", r)
		}
		_ = routeText(r.FIBRoute, "eth0")
	})
}

func FuzzDecodeRule(f *testing.F) {
	for _, seed := range ruleSeeds() {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, ok := decodeRule(b)
		if ok && testConfig().owner().serves(r) && (!r.To.IsValid() || r.Other) {
			t.Errorf("taken for a rule that leads to our table: %+v", r)
		}
	})
}

func FuzzDecodeLink(f *testing.F) {
	for _, seed := range linkSeeds() {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if l, ok := decodeLink(b); !ok && l != (Link{}) {
			t.Errorf("no link, and yet %+v", l)
		}
	})
}

func FuzzDecodeAddress(f *testing.F) {
	for _, seed := range addressSeeds() {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if a, ok := decodeAddress(b); ok && (!a.Local.IsValid() || !a.Subnet.IsValid() || a.Subnet != a.Subnet.Masked()) {
			t.Errorf("not an address: %+v", a)
		}
	})
}

func FuzzDecodeNeighbor(f *testing.F) {
	for _, a := range testTopology().Addresses {
		b := binary.NativeEndian.AppendUint32([]byte{familyOfAddr(a.Local), 0, 0, 0}, uint32(a.Device))
		b = append(b, unix.NUD_REACHABLE, 0, 0, 0)
		f.Add(append(b, attribute(unix.NDA_DST, a.Local.AsSlice())...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if n, ok := decodeNeighbor(b); ok != n.Addr.IsValid() {
			t.Errorf("%v: %+v", ok, n)
		}
	})
}

// FuzzEvents reads whole datagrams as a listening socket and a socket that waits for answers get them.
func FuzzEvents(f *testing.F) {
	bodies := map[uint16][][]byte{
		unix.RTM_NEWROUTE: routeSeeds(), unix.RTM_DELROUTE: routeSeeds(), unix.RTM_NEWRULE: ruleSeeds(),
		unix.RTM_NEWLINK: linkSeeds(), unix.RTM_DELADDR: addressSeeds(), unix.NLMSG_ERROR: errorSeeds(),
	}
	var all []byte
	for typ, seeds := range bodies {
		for _, body := range seeds {
			all = append(all, datagram(typ, body)...)
			f.Add(datagram(typ, body))
		}
	}
	f.Add(all)
	f.Fuzz(func(t *testing.T, b []byte) {
		read := 0
		err := eachMessage(b, func(m message) error {
			read += unix.NLMSG_HDRLEN + len(m.data)
			for _, table := range []uint32{mainTable, testTable} {
				if e, ok := decodeEvent(m, table); ok && e.Kind == EventRoute && !e.Route.Prefix.IsValid() {
					t.Errorf("an event of no route: %+v", e)
				}
			}
			var refused *OpError
			if err := m.opError(); err != nil && (!errors.As(err, &refused) || refused.Errno == 0) {
				t.Errorf("an answer that is neither good nor bad: %v", err)
			}
			return nil
		})
		if err == nil && read > len(b) {
			t.Errorf("%d bytes read of %d", read, len(b))
		}
	})
}

// TestSeedsAreUnderstood makes sure that the fuzzers start from messages that mean something.
func TestSeedsAreUnderstood(t *testing.T) {
	for i, b := range routeSeeds() {
		if r, err := decodeRoute(b); err != nil || r.foreign || r.table != testTable || r.Protocol != 114 {
			t.Errorf("route %d: %+v, %v", i, r, err)
		}
	}
	own := []Rule{
		testConfig().owner().rule(netip.MustParsePrefix("20.1.0.0/16")),
		testConfig().owner().rule(netip.MustParsePrefix("2001:db8:20::/48")),
	}
	for i, b := range ruleSeeds() {
		if r, ok := decodeRule(b); !ok || r != own[i] {
			t.Errorf("rule %d: %+v, want %+v", i, r, own[i])
		}
	}
	eth0 := Link{Index: 2, Name: "eth0", Up: true, Running: true, MTU: 1500}
	for i, b := range linkSeeds() {
		if l, ok := decodeLink(b); !ok || l != eth0 {
			t.Errorf("link %d: %+v", i, l)
		}
	}
	for i, b := range addressSeeds() {
		if a, ok := decodeAddress(b); !ok || !slices.Contains(testTopology().Addresses, a) {
			t.Errorf("address %d: %+v", i, a)
		}
	}
	for i, b := range errorSeeds() {
		if err := (message{typ: unix.NLMSG_ERROR, flags: unix.NLM_F_ACK_TLVS, data: b}).opError(); !errors.Is(err, unix.EINVAL) {
			t.Errorf("answer %d: %v", i, err)
		}
	}
}

// routeSeeds are the bodies of route messages: what we send, and with several next hops.
func routeSeeds() [][]byte {
	var seeds [][]byte
	for _, c := range []struct{ prefix, via string }{{"20.1.47.128/26", "192.0.2.77"}, {"2001:db8:20::/122", "2001:db8::77"}} {
		by := way{device: 2}
		r := testConfig().owner().target(netip.MustParsePrefix(c.prefix), netip.MustParseAddr(c.via), by)
		var e encoder
		e.op(Op{Kind: OpAddRoute, Table: testTable, Route: r}, 1)
		seeds = append(seeds, slices.Clone(e.buf[unix.NLMSG_HDRLEN:]))
		gateway := attribute(unix.RTA_GATEWAY, r.Gateway.AsSlice())
		hop := append([]byte{byte(unix.SizeofRtNexthop + len(gateway)), 0, 0, 0, 2, 0, 0, 0}, gateway...)
		several := attribute(unix.RTA_MULTIPATH, append(slices.Clone(hop), hop...))
		seeds = append(seeds, append(slices.Clone(e.buf[unix.NLMSG_HDRLEN:]), several...))
	}
	return seeds
}

func ruleSeeds() [][]byte {
	var seeds [][]byte
	for _, p := range prefixes("20.1.0.0/16", "2001:db8:20::/48") {
		b := []byte{familyOf(p), byte(p.Bits()), 0, 0, unix.RT_TABLE_COMPAT, 0, 0, unix.FR_ACT_TO_TBL, 0, 0, 0, 0}
		b = append(b, attribute(unix.FRA_TABLE, nl.Uint32Attr(testTable))...)
		b = append(b, attribute(unix.FRA_SUPPRESS_PREFIXLEN, nl.Uint32Attr(^uint32(0)))...)
		b = append(b, attribute(unix.FRA_PRIORITY, nl.Uint32Attr(1790))...)
		b = append(b, attribute(unix.FRA_DST, p.Addr().AsSlice())...)
		b = append(b, attribute(unix.FRA_PROTOCOL, []byte{114})...)
		seeds = append(seeds, b)
	}
	return seeds
}

func linkSeeds() [][]byte {
	header := nl.NewIfInfomsg(unix.AF_UNSPEC)
	header.Index, header.Flags = 2, unix.IFF_UP|unix.IFF_RUNNING
	b := header.Serialize()
	b = append(b, attribute(unix.IFLA_IFNAME, []byte("eth0\x00"))...)
	b = append(b, attribute(unix.IFLA_MTU, nl.Uint32Attr(1500))...)
	b = append(b, attribute(unix.IFLA_LINKINFO, attribute(1, []byte("veth\x00")))...)
	return [][]byte{b}
}

func addressSeeds() [][]byte {
	var seeds [][]byte
	for _, a := range testTopology().Addresses {
		family := byte(unix.AF_INET6)
		if a.Local.Is4() {
			family = unix.AF_INET
		}
		b := []byte{family, byte(a.Subnet.Bits()), 0, 0}
		b = binary.NativeEndian.AppendUint32(b, uint32(a.Device))
		b = append(b, attribute(unix.IFA_ADDRESS, a.Local.AsSlice())...)
		b = append(b, attribute(unix.IFA_LOCAL, a.Local.AsSlice())...)
		seeds = append(seeds, b)
	}
	return seeds
}

// errorSeeds are refusals: bare, and with the kernel's words.
func errorSeeds() [][]byte {
	errno := -int32(unix.EINVAL)
	bare := binary.NativeEndian.AppendUint32(nil, uint32(errno))
	bare = append(bare, make([]byte, unix.NLMSG_HDRLEN)...)
	return [][]byte{bare, append(slices.Clone(bare), attribute(unix.NLMSGERR_ATTR_MSG, []byte("Nexthop has invalid gateway\x00"))...)}
}

func attribute(typ uint16, value []byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(unix.SizeofRtAttr+len(value)))
	b = binary.NativeEndian.AppendUint16(b, typ)
	b = append(b, value...)
	return append(b, make([]byte, align(len(value))-len(value))...)
}

func datagram(typ uint16, body []byte) []byte {
	b := binary.NativeEndian.AppendUint32(nil, uint32(unix.NLMSG_HDRLEN+len(body)))
	b = binary.NativeEndian.AppendUint16(b, typ)
	b = binary.NativeEndian.AppendUint16(b, unix.NLM_F_ACK_TLVS)
	b = append(b, make([]byte, 8)...)
	b = append(b, body...)
	return append(b, make([]byte, align(len(body))-len(body))...)
}

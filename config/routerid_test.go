package config

import (
	"net/netip"
	"testing"

	"pgregory.net/rapid"
)

func TestDeriveRouterID(t *testing.T) {
	tests := []struct{ address, want string }{
		{"9.111.255.21", "249.111.255.21"},
		{"10.0.0.1", "250.0.0.1"},
		{"172.16.0.1", "252.16.0.1"},
		{"192.168.0.1", "240.168.0.1"},
		{"100.64.0.1", "244.64.0.1"},
		{"240.0.0.1", "invalid IP"},
		{"255.255.255.254", "invalid IP"},
	}
	for _, tt := range tests {
		got, ok := deriveRouterID(Node{Address: netip.MustParseAddr(tt.address)})
		if got.String() != tt.want || ok != got.IsValid() {
			t.Errorf("%s: got %v, %v; want %s", tt.address, got, ok, tt.want)
		}
	}
}

// TestDerivedRouterIDsDiffer: an identifier is never its node's address nor another's, and those of two nodes differ
// when both addresses are private or lie within one /4.
func TestDerivedRouterIDsDiffer(t *testing.T) {
	private := []netip.Prefix{
		netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"),
		netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("100.64.0.0/10"),
	}
	isPrivate := func(a netip.Addr) bool {
		for _, p := range private {
			if p.Contains(a) {
				return true
			}
		}
		return false
	}
	address := rapid.Custom(func(t *rapid.T) netip.Addr {
		n := rapid.Uint32Range(1<<24, 0xf0000000-1).Draw(t, "address")
		if rapid.Bool().Draw(t, "private") {
			p := rapid.SampledFrom(private).Draw(t, "range")
			b := p.Addr().As4()
			base := uint32(b[0])<<24 | uint32(b[1])<<16
			n = base | n&(1<<(32-p.Bits())-1)
		}
		return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := address.Draw(t, "a"), address.Draw(t, "b")
		idA, okA := deriveRouterID(Node{Address: a})
		idB, okB := deriveRouterID(Node{Address: b})
		if !okA || !okB {
			t.Fatalf("none for %v or %v", a, b)
		}
		if idA == a || idA == b {
			t.Fatalf("%v has the identifier %v", a, idA)
		}
		sameQuarter := a.As4()[0]>>4 == b.As4()[0]>>4
		if a != b && idA == idB && (sameQuarter || isPrivate(a) && isPrivate(b)) {
			t.Fatalf("%v and %v both have %v", a, b, idA)
		}
	})
}

// TestDeriveRouterIDFromIPv6: it is a hash, the same for ever, in 240.0.0.0/4, where neither an IPv4 node address nor a hash of
// Calico's is; and neighbours get different ones.
func TestDeriveRouterIDFromIPv6(t *testing.T) {
	seen := map[netip.Addr]netip.Addr{}
	a := netip.MustParseAddr("fd00::1")
	for range 2000 {
		id, ok := deriveRouterID(Node{Address6: a})
		if !ok || !netip.MustParsePrefix("240.0.0.0/4").Contains(id) {
			t.Fatalf("%s: got %v, %v", a, id, ok)
		}
		if other, taken := seen[id]; taken {
			t.Fatalf("%s and %s both have %s", a, other, id)
		}
		seen[id], a = a, a.Next()
	}
	if got, _ := deriveRouterID(Node{Address6: netip.MustParseAddr("fd00::21")}); got.String() != "245.114.28.118" {
		t.Errorf("fd00::21 has %s: an upgrade would change every router ID", got)
	}
}

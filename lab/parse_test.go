package lab

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestParseRoute(t *testing.T) {
	for line, want := range map[string]Route{
		"blackhole 10.1.198.128/26 proto bird ": {
			Type: "blackhole", Dst: netip.MustParsePrefix("10.1.198.128/26"), Proto: "bird", Table: "main",
		},
		"10.1.43.0/26 via 9.111.255.29 dev tunl0 proto bird onlink": {
			Type: "unicast", Dst: netip.MustParsePrefix("10.1.43.0/26"), Via: netip.MustParseAddr("9.111.255.29"),
			Dev: "tunl0", Proto: "bird", Table: "main", Flags: "onlink",
		},
		"20.1.47.128/26 via 9.111.255.77 dev eth0 table 1790 proto 114 metric 20 onlink linkdown ": {
			Type: "unicast", Dst: netip.MustParsePrefix("20.1.47.128/26"), Via: netip.MustParseAddr("9.111.255.77"),
			Dev: "eth0", Proto: "114", Table: "1790", Metric: 20, Flags: "onlink linkdown",
		},
		"default via 9.111.255.1 dev eth0 proto static": {
			Type: "unicast", Dst: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("9.111.255.1"),
			Dev: "eth0", Proto: "static", Table: "main",
		},
		"10.1.198.140 dev cali79e4b5ea952 scope link": {
			Type: "unicast", Dst: netip.MustParsePrefix("10.1.198.140/32"), Dev: "cali79e4b5ea952", Table: "main",
		},
		"local fe80::1 dev lo table local proto kernel metric 0 pref medium": {
			Type: "local", Dst: netip.MustParsePrefix("fe80::1/128"), Dev: "lo", Table: "local", Proto: "kernel",
		},
	} {
		got, err := ParseRoute(line)
		if err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})); diff != "" {
			t.Errorf("%q: (-want +got)\n%s", line, diff)
		}
	}
	for _, line := range []string{"", "blackhole", "elsewhere via 1.2.3.4", "10.0.0.0/8 via", "10.0.0.0/8 via x", "10.0.0.0/8 metric x"} {
		if r, err := ParseRoute(line); err == nil {
			t.Errorf("%q was taken for %+v", line, r)
		}
	}
}

func TestParseEvent(t *testing.T) {
	e, ok, err := parseEvent("[2025-11-22T23:33:01.123456] Deleted 10.1.43.0/26 via 9.111.255.29 dev eth0 table 1790 proto 114 ")
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	if want := time.Date(2025, 11, 22, 23, 33, 1, 123456000, time.UTC); !e.At.Equal(want) {
		t.Errorf("at %s, want %s", e.At, want)
	}
	if !e.Deleted || e.Route.Table != "1790" || e.Route.Dst.String() != "10.1.43.0/26" {
		t.Errorf("%+v", e)
	}
	if _, ok, err := parseEvent("\tnexthop via 9.111.255.29 dev eth0 weight 1"); ok || err != nil {
		t.Errorf("a continuation line is an event: %v, %v", ok, err)
	}
	if _, _, err := parseEvent("[yesterday] 10.1.43.0/26 dev eth0"); err == nil {
		t.Error("no error for a broken time")
	}
}

func TestParsePing(t *testing.T) {
	got, err := parsePing("64 bytes from 20.1.47.150: icmp_seq=1 ttl=63 time=0.759 ms\n")
	if want := (Reply{RTT: 759 * time.Microsecond, TTL: 63}); err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	if _, err := parsePing("1 packets transmitted, 0 received"); err == nil {
		t.Error("no reply is no error")
	}
}

func TestParseProtocols(t *testing.T) {
	const bird2 = `Name       Proto      Table      State  Since         Info
kernel1    Kernel     master4    up     23:33:01.947  ` + `
Mesh_9_111_255_29 BGP        ---        up     23:33:03.635  Established   
Global_127_0_0_1 BGP        ---        start  23:33:03.635  Active        Socket: Connection refused
`
	want := []BIRDProtocol{
		{"Global_127_0_0_1", "BGP", "---", "start", "23:33:03.635", "Active Socket: Connection refused"},
		{"Mesh_9_111_255_29", "BGP", "---", "up", "23:33:03.635", "Established"},
		{"kernel1", "Kernel", "master4", "up", "23:33:01.947", ""},
	}
	if got := parseProtocols(bird2); !slices.Equal(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestNormalRoutes(t *testing.T) {
	const bird1 = `10.1.43.0/26       via 9.111.255.29 on eth0 [Mesh_9_111_255_29 23:33:00] * (100/0) [i]
10.1.198.128/26    blackhole [static1 23:32:54] * (200)
`
	const bird2 = `Table master4:
10.1.43.0/26         unicast [Mesh_9_111_255_29 23:33:03.635 from 9.111.255.30] * (100) [i]
	via 9.111.255.29 on eth0
`
	if got, want := normalRoutes(bird1), []string{
		"10.1.198.128/26    blackhole [static1 ] * (200)",
		"10.1.43.0/26       via 9.111.255.29 on eth0 [Mesh_9_111_255_29 ] * (100/0) [i]",
	}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := normalRoutes(bird2), []string{
		"10.1.43.0/26         unicast [Mesh_9_111_255_29 9.111.255.30] * (100) [i] via 9.111.255.29 on eth0",
	}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

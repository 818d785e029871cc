package snat

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"routed/lab"
)

// Each case is a rule as nft writes it, and what it does to packets of pods that leave by eth0.
func TestNFT(t *testing.T) {
	lab.Need(t, lab.NFT)
	h := host(t)
	const (
		kept    = ""
		certain = "certain"
		perhaps = "perhaps"
	)
	for _, c := range []struct{ family, rule, want string }{
		{"ip", "masquerade", certain},
		{"ip", "ip saddr 10.1.0.0/16 ip daddr 20.1.0.0/16 snat to 9.9.9.9", certain},
		{"ip", "ip saddr 10.1.64.0/18 masquerade", certain},
		{"ip", "ip saddr 172.17.0.0/16 masquerade", kept},
		{"ip", "ip daddr != { 10.0.0.0/8, 20.0.0.0/8 } masquerade", kept},
		{"ip", "ip daddr { 20.1.9.1, 20.1.9.7 } masquerade", certain},
		{"ip", "ip daddr 20.1.3.0-20.1.4.9 masquerade", certain},
		{"ip", "ip daddr != 20.1.0.0-20.1.255.255 masquerade", kept},
		{"ip", "ip daddr & 255.0.255.0 == 20.0.1.0 masquerade", perhaps},
		{"ip", "oifname \"eth*\" masquerade", certain},
		{"ip", "oifname != \"eth0\" masquerade", kept},
		{"ip", "meta mark & 0x4000 == 0x4000 masquerade", kept},
		{"ip", "meta mark & 0x4000 != 0x4000 masquerade", certain},
		{"ip", "ip protocol udp masquerade", certain},
		{"ip", "meta l4proto != { tcp, udp } masquerade", perhaps},
		{"ip", "tcp dport 80 masquerade", perhaps},
		{"ip", "ct state new masquerade", perhaps},
		{"ip", "numgen random mod 2 == 0 masquerade", perhaps},
		{"ip", "fib saddr type local masquerade", kept},
		{"ip", "fib daddr type != local masquerade", certain},
		{"ip", "ip daddr vmap { 20.1.0.0/16 : accept }", kept},
		{"ip", "ip saddr . ip daddr { 10.1.0.0/16 . 20.1.0.0/16 } masquerade", perhaps},
		{"ip", "ip daddr 20.1.0.0/16 accept\nmasquerade", kept},
		{"ip", "meta mark set 1\nmasquerade", certain},
		{"inet", "masquerade", certain},
		{"inet", "ip saddr 10.1.0.0/16 masquerade", certain},
		{"inet", "ip6 saddr fd01::/64 masquerade", certain},
		{"inet", "ip6 saddr fd07::/64 masquerade", kept},
		{"ip6", "ip6 daddr fd02::/64 masquerade", certain},
		{"ip6", "ip6 daddr != fd02::/64 masquerade", kept},
	} {
		t.Run(c.family+" "+c.rule, func(t *testing.T) {
			run(t, lab.NFT, "table "+c.family+" mine {\nchain post {\ntype nat hook postrouting priority srcnat\n"+c.rule+"\n}\n}", "usr/sbin/nft", "-f", "-")
			t.Cleanup(func() { run(t, lab.NFT, "", "usr/sbin/nft", "delete", "table", c.family, "mine") })
			rules := h.Read(t.Context())
			if len(rules.Gaps) > 0 {
				t.Fatalf("%+v", rules.Gaps)
			}
			got := kept
			for _, f := range rules.Find(Query{From: prefixes("10.1.0.0/16", "fd01::/64"), To: prefixes("20.1.0.0/16", "fd02::/64"), Devices: []string{"eth0"}}) {
				if f.Certain {
					got = certain
				} else if got == kept {
					got = perhaps
				}
				if f.Table != c.family+" mine" || f.Chain != "post" || f.Look != "nft list chain "+c.family+" mine post" {
					t.Errorf("%+v", f)
				}
			}
			if got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// encoded is a rule of one comparison, as the kernel would tell it.
func encoded(tb testing.TB, name string) []byte {
	tb.Helper()
	ae := netlink.NewAttributeEncoder()
	ae.Nested(unix.NFTA_LIST_ELEM, func(e *netlink.AttributeEncoder) error {
		e.String(unix.NFTA_EXPR_NAME, name)
		e.Nested(unix.NFTA_EXPR_DATA, func(d *netlink.AttributeEncoder) error {
			d.ByteOrder = binary.BigEndian
			d.Uint32(1, 1)
			d.Uint32(2, 1)
			return nil
		})
		return nil
	})
	b, err := ae.Encode()
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// An instruction that nobody here has heard of is a condition that nobody can tell.
func TestInstructionOfTheFuture(t *testing.T) {
	r := decodeRule(familyIPv4, expressions(append(encoded(t, "weather"), encoded(t, "masq")...)), sets, nil)
	if r.verdict != translate || len(r.conditions) != 1 || r.conditions[0].of != anything || !strings.Contains(r.text(), "weather agrees") {
		t.Errorf("%+v", r)
	}
}

// Whatever comes from the kernel, decoding it ends.
func FuzzDecodeRule(f *testing.F) {
	for _, name := range []string{"payload", "meta", "cmp", "bitwise", "lookup", "immediate", "match", "target", "range", "fib", "masq", "nat"} {
		f.Add(encoded(f, name), true)
	}
	f.Fuzz(func(_ *testing.T, b []byte, six bool) {
		fam := familyIPv4
		if six {
			fam = familyInet
		}
		r := decodeRule(fam, expressions(b), sets, func(uint16) *addrSet { return sets("all") })
		t := table{family: fam, base: []string{"post"}, chains: map[string][]rule{"post": {r}}}
		Rules{tables: []table{t}}.Find(Query{From: prefixes("10.1.0.0/16"), To: prefixes("20.1.0.0/16")})
		_ = r.text()
	})
}

// Whatever a set of iptables says of itself, reading it ends.
func FuzzMembers(f *testing.F) {
	f.Add([]byte{8, 0, 1, 0, 1, 2, 3, 4})
	f.Fuzz(func(_ *testing.T, b []byte) {
		var s addrSet
		s.addMembers(b)
		_ = s.String()
	})
}

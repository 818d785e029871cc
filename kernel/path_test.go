package kernel

import (
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// pathLine says in a line what a survey found.
func pathLine(s PathSurvey) string {
	rule := "-"
	if s.Decision.Rule.Table != 0 {
		rule = s.Decision.Rule.String()
	}
	text := fmt.Sprintf("%s; holds %v; leads %v; %s by %s; ours %v, ahead %v; link %s; neighbor %s",
		s.Wanted.State, s.Holds, s.Leads, s.Decision.Text, rule, s.Decision.Ours, s.Decision.Ahead, s.Link.Name, s.Neighbor.State)
	if len(s.Rules.Missing) > 0 {
		text += fmt.Sprintf("; rules missing %v", s.Rules.Missing)
	}
	words := []string{text}
	for _, stray := range s.Strays {
		words = append(words, fmt.Sprintf("stray %s, held %v", stray.Text, stray.Held))
	}
	return strings.Join(words, "; ")
}

// TestKernelPath takes a way apart in every manner, one after the other, and has it surveyed each time.
func TestKernelPath(t *testing.T) {
	n := newTestNet(t)
	ip := func(words string) {
		t.Helper()
		for line := range strings.SplitSeq(words, ";") {
			if out, err := exec.CommandContext(t.Context(), "ip", strings.Fields(line)...).CombinedOutput(); err != nil {
				t.Fatalf("ip %s: %v: %s", line, err, out)
			}
		}
	}
	ip("link set lo up; route add default via 192.0.2.254; neigh add 192.0.2.77 lladdr 02:00:00:00:00:77 dev near nud permanent")
	ip("neigh add 2001:db8::77 lladdr 02:00:00:00:00:77 dev near nud stale; -6 rule add to 2001:db8:20::/48 lookup 1790 pref 1790 protocol 114")
	ip("-6 route add 2001:db8:20::/122 via 2001:db8::77 table 1790 proto 114")
	want := wanted("20.1.47.128/26", "192.0.2.77").Route
	want6 := wanted("2001:db8:20::/122", "2001:db8::77").Route
	const route, rule = "20.1.47.128/26 via 192.0.2.77 dev near proto 114", "1790: to 20.1.0.0/16 lookup 1790"
	const byDefault = "0.0.0.0/0 via 192.0.2.254 dev near proto boot by 32766: lookup main; ours false"
	for _, c := range []struct {
		name, do, address string
		want              Route
		says              string
	}{
		{
			"nothing there", "", "20.1.47.150", want,
			"missing; holds []; leads false; " + byDefault + ", ahead []; link near; neighbor none; rules missing [20.1.0.0/16]",
		},
		{
			"no rule", "route add 20.1.47.128/26 via 192.0.2.77 table 1790 proto 114", "20.1.47.150", want,
			"installed; holds [" + route + "]; leads false; " + byDefault + ", ahead []; link near; neighbor none; rules missing [20.1.0.0/16]",
		},
		{
			"as it should be", "rule add to 20.1.0.0/16 lookup 1790 pref 1790 protocol 114", "20.1.47.150", want,
			"installed; holds [" + route + "]; leads true; " + route + " by " + rule + "; ours true, ahead []; link near; neighbor permanent",
		},
		{
			"IPv6", "", "2001:db8:20::9", want6, "installed; holds [2001:db8:20::/122 via 2001:db8::77 dev near proto 114 metric 1024]; leads true; " +
				"2001:db8:20::/122 via 2001:db8::77 dev near proto 114 metric 1024 by 1790: to 2001:db8:20::/48 lookup 1790; " +
				"ours true, ahead []; link near; neighbor stale",
		},
		{
			"nothing wanted", "", "30.1.0.1", Route{}, "missing; holds []; leads false; " + byDefault + ", ahead []; link near; neighbor none",
		},
		{
			"an unresolved next hop", "", "20.1.47.150", wanted("20.1.47.128/26", "198.51.100.1").Route,
			"unresolved; holds [" + route + "]; leads true; " + route + " by " + rule + "; ours true, ahead []; link near; neighbor permanent",
		},
		{
			"another next hop", "", "20.1.47.150", wanted("20.1.47.128/26", "192.0.2.78").Route,
			"mismatched; holds [" + route + "]; leads true; " + route + " by " + rule + "; ours true, ahead []; link near; neighbor permanent",
		},
		{
			"a more specific route", "route add 20.1.47.150 via 192.0.2.9 table 1790 proto static; neigh add 192.0.2.9 dev near nud failed", "20.1.47.150", want,
			"installed; holds [20.1.47.150/32 via 192.0.2.9 dev near proto static " + route + "]; leads true; " +
				"20.1.47.150/32 via 192.0.2.9 dev near proto static by " + rule + "; ours false, ahead []; link near; neighbor failed",
		},
		{
			"a rule ahead", "rule add to 20.1.0.0/17 lookup main pref 100; rule add fwmark 7 lookup 99 pref 99; rule add to 30.0.0.0/8 lookup 99 pref 98",
			"20.1.47.149", want, "installed; holds [" + route + "]; leads true; " +
				"0.0.0.0/0 via 192.0.2.254 dev near proto boot by 100: to 20.1.0.0/17 lookup main; ours false, " +
				"ahead [100: to 20.1.0.0/17 lookup main]; link near; neighbor none",
		},
		{
			"routes by hand", "route add 20.1.47.128/26 via 192.0.2.9 proto static; route add 20.1.48.0/26 via 192.0.2.9; route add 20.1.40.0/21 via 192.0.2.9",
			"20.1.47.149", want, "installed; holds [" + route + "]; leads true; " +
				"20.1.47.128/26 via 192.0.2.9 dev near proto static by 100: to 20.1.0.0/17 lookup main; ours false, " +
				"ahead [100: to 20.1.0.0/17 lookup main]; link near; neighbor failed; stray 20.1.47.128/26 via 192.0.2.9 dev near proto static, held true; " +
				"stray 20.1.40.0/21 via 192.0.2.9 dev near proto boot, held false",
		},
		{
			"a blackhole rule", "rule add to 20.1.47.149 blackhole pref 50", "20.1.47.149", want, "installed; holds [" + route + "]; leads true; " +
				"a blackhole drops it by -; ours false, ahead [50: to 20.1.47.149/32 (and more) 100: to 20.1.0.0/17 lookup main]; link ; neighbor none; " +
				"stray 20.1.47.128/26 via 192.0.2.9 dev near proto static, held true; stray 20.1.40.0/21 via 192.0.2.9 dev near proto boot, held false",
		},
		{
			"an unreachable route", "route add unreachable 40.1.0.0/16", "40.1.0.1",
			Route{},
			"missing; holds []; leads false; an unreachable route refuses it by -; ours false, ahead []; link ; neighbor none",
		},
		{
			"a prohibited one", "route add prohibit 40.2.0.0/16", "40.2.0.1",
			Route{},
			"missing; holds []; leads false; a prohibit route refuses it by -; ours false, ahead []; link ; neighbor none",
		},
		{
			"an address of this host", "", "192.0.2.1",
			Route{},
			"missing; holds []; leads false; 192.0.2.1/32 dev near proto kernel by 0: lookup local; ours false, ahead []; link lo; neighbor none",
		},
		{
			"no route", "route del default", "30.1.0.1",
			Route{},
			"missing; holds []; leads false; there is no route by -; ours false, ahead [98: to 30.0.0.0/8 lookup 99]; link ; neighbor none",
		},
	} {
		if c.do != "" { // no subtests: they would run on another thread, which is not in the namespace
			ip(c.do)
		}
		s, err := SurveyPath(t.Context(), testConfig(), n.fib, netip.MustParseAddr(c.address), c.want, prefixes("20.1.0.0/16", "2001:db8:20::/48"))
		n.must(err)
		if got := pathLine(s); got != c.says {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.says)
		}
	}
}

func TestKernelLinkMTU(t *testing.T) {
	n := newTestNet(t)
	n.must(n.eye.LinkSetMTU(n.near, 1440))
	topology, err := n.fib.Topology(t.Context())
	n.must(err)
	link := topology.Links[int32(n.near.Attrs().Index)]
	if link.MTU != 1440 || !link.Up || !link.Running {
		t.Errorf("%+v", link)
	}
	if link.MTU = 1500; topology.setLink(link) {
		t.Error("another MTU has next hops looked at again")
	}
}

// What the kernel does not tell, or in a way that nobody knows, is no reason to fail.
func TestDecisionOfAnOldKernel(t *testing.T) {
	addr := netip.MustParseAddr("20.1.47.150")
	hop := netip.MustParseAddr("192.0.2.77")
	answer := Answer{Route: FIBRoute{Prefix: netip.PrefixFrom(addr, 32), Gateway: hop, Device: 2, Type: unix.RTN_UNICAST}, Table: testTable}
	d := testConfig().owner().decision(nil, addr, answer, Answer{Err: errNoMatch}, testTopology())
	if !d.Ours || d.Match.Prefix.IsValid() || d.Rule.Table != 0 || !strings.HasPrefix(d.Text, "20.1.47.150/32 via 192.0.2.77 dev eth0") {
		t.Errorf("%+v", d)
	}
	if _, ok := decodeNeighbor(make([]byte, unix.SizeofNdMsg)); ok {
		t.Error("a neighbor without an address")
	}
	if got := NeighborState(0x300).String(); got != "0x300" {
		t.Errorf("%q", got)
	}
}

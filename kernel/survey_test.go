package kernel

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestSurveyRules(t *testing.T) {
	o := testConfig().owner()
	lookups := prefixes("20.1.0.0/16", "30.1.0.0/16", "2001:db8:20::/48")
	foreign := o.rule(lookups[1])
	foreign.Protocol = unix.RTPROT_STATIC
	ahead := Rule{Priority: 100, Table: mainTable, Other: true}
	f := newFake()
	f.rules = []Rule{ahead, o.rule(lookups[0]), foreign, o.rule(prefixes("40.1.0.0/16")[0])}
	got, err := SurveyRules(t.Context(), testConfig(), f, lookups)
	if err != nil {
		t.Fatal(err)
	}
	want := RuleSurvey{Missing: lookups[2:], Foreign: lookups[1:2], Unwanted: f.rules[3:], Ahead: f.rules[:1]}
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("\n got %+v\nwant %+v", got, want)
	}
	if text := ahead.String(); text != "100: lookup main (and more)" {
		t.Errorf("%q", text)
	}
	cfg := testConfig()
	cfg.Table = mainTable
	if got, err = SurveyRules(t.Context(), cfg, newFake(), lookups); err != nil || got.Missing != nil {
		t.Errorf("main: %+v, %v", got, err)
	}
}

func TestSurveyTable(t *testing.T) {
	f := newFake()
	f.routes = []FIBRoute{
		ours(t, "20.1.0.0/26", "192.0.2.77"), ours(t, "20.1.0.64/26", "192.0.2.77"), ours(t, "20.2.0.0/26", "198.51.100.77"),
		foreignRoute(t, "20.1.9.0/26", "192.0.2.9"),
	}
	got, err := SurveyTable(t.Context(), testConfig(), f)
	if err != nil || len(got.Own) != 3 ||
		!slices.Equal(got.Foreign, []string{"20.1.9.0/26 via 192.0.2.9 dev eth0 proto static"}) {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestKernelStrays adds routes to main by hand in every way that people do, runs the command that is told for each, and
// nothing but that route goes.
func TestKernelStrays(t *testing.T) {
	n := newTestNet(t)
	ip := func(words string) {
		t.Helper()
		if out, err := exec.CommandContext(t.Context(), "ip", strings.Fields(words)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", words, err, out)
		}
	}
	ip("nexthop add id 7 via 192.0.2.77 dev near")
	ip("nexthop add id 8 via 2001:db8::77 dev near")
	ip("route add 20.1.0.0/16 via 192.0.2.77 table 1790 proto 114") // of the mesh
	ip("-6 route add 2001:db8:20::/122 via 2001:db8::77 table 1790 proto 114")
	ip("route add 10.1.0.0/26 via 192.0.2.77") // not to a remote cluster
	ip("address add 30.1.0.1/24 dev near")     // the kernel's own
	for _, c := range []struct {
		add  string
		held bool
	}{
		{"route add 20.1.0.0/26 via 192.0.2.77", true},
		{"route add 20.1.0.0/26 via 192.0.2.78 metric 5", true},
		{"route add 20.1.0.0/26 via 192.0.2.78 tos 0x10", true},
		{"route add 20.1.0.64/26 via 192.0.2.77 proto static", true},
		{"route add 20.1.0.128/26 via 192.0.2.77 dev near onlink proto bird", true},
		{"route add 20.1.0.192/26 nexthop via 192.0.2.77 nexthop via 192.0.2.78", true},
		{"route add 20.1.1.0/26 via 192.0.2.77 src 30.1.0.1 mtu 1400", true},
		{"route add 20.1.2.0/26 nhid 7", true},
		{"route add 20.1.3.0/26 dev near", true},
		{"route add blackhole 30.1.9.0/26", false},
		{"route add unreachable 30.1.9.64/26 metric 9", false},
		{"-6 route add 2001:db8:20::/122 via 2001:db8::77", true},
		{"-6 route add 2001:db8:20::40/122 via 2001:db8::77 metric 5", false},
		{"-6 route add 2001:db8:20::80/122 nexthop via 2001:db8::77 nexthop via 2001:db8::78", false},
		{"-6 route add 2001:db8:20::c0/122 nhid 8", false},
		{"-6 route add blackhole 2001:db8:20::100/122", false},
	} {
		ip(c.add)
		strays, err := StrayRoutes(t.Context(), testConfig(), n.fib, prefixes("20.1.0.0/16", "30.1.0.0/16", "2001:db8:20::/48"))
		n.must(err)
		if len(strays) != 1 || strays[0].Held != c.held {
			t.Errorf("ip %s: %+v", c.add, strays)
			continue
		}
		ip("route add 20.1.255.0/26 via 192.0.2.77") // somebody else's, which stays
		ip(strings.TrimPrefix(strays[0].Command, "ip "))
		ip("route del 20.1.255.0/26")
		if strays, err = StrayRoutes(t.Context(), testConfig(), n.fib, prefixes("20.1.0.0/16", "2001:db8:20::/48")); err != nil || len(strays) != 0 {
			t.Errorf("after ip %s: %+v, %v", c.add, strays, err)
		}
	}
}

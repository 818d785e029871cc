package kernel

import (
	"context"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// The generators draw from few values, so that wanted and present routes meet.

func genPrefix() *rapid.Generator[netip.Prefix] {
	return rapid.SampledFrom([]netip.Prefix{
		netip.MustParsePrefix("20.1.0.0/26"), netip.MustParsePrefix("20.1.0.64/26"), netip.MustParsePrefix("20.1.0.0/24"),
		netip.MustParsePrefix("20.1.9.9/32"), netip.MustParsePrefix("2001:db8:20::/122"), netip.MustParsePrefix("2001:db8:20::1/128"),
	})
}

func genHop(p netip.Prefix) *rapid.Generator[netip.Addr] {
	if isIPv6(p) {
		return rapid.SampledFrom([]netip.Addr{netip.MustParseAddr("2001:db8::77"), netip.MustParseAddr("2001:db8::78")})
	}
	return rapid.SampledFrom([]netip.Addr{
		netip.MustParseAddr("192.0.2.77"), netip.MustParseAddr("192.0.2.78"), netip.MustParseAddr("198.51.100.77"),
		netip.MustParseAddr("203.0.113.1"), // on no link
	})
}

func genFIBRoute() *rapid.Generator[FIBRoute] {
	return rapid.Custom(func(t *rapid.T) FIBRoute {
		p := genPrefix().Draw(t, "prefix")
		hop := genHop(p).Draw(t, "gateway")
		r := testConfig().owner().target(p, hop, way{device: rapid.Int32Range(2, 3).Draw(t, "device")})
		r.Protocol = rapid.SampledFrom([]uint8{114, unix.RTPROT_STATIC, unix.RTPROT_BIRD}).Draw(t, "protocol")
		r.Metric = rapid.SampledFrom([]uint32{r.Metric, r.Metric, 7}).Draw(t, "metric")
		r.Flags = rapid.SampledFrom([]RouteFlags{0, 0, 0, FlagOther, FlagMultipath, FlagOnlink}).Draw(t, "flags")
		return r
	})
}

func genTable() *rapid.Generator[[]FIBRoute] {
	type identity struct {
		prefix   netip.Prefix
		metric   uint32
		protocol uint8
		gateway  netip.Addr
	}
	return rapid.SliceOfNDistinct(genFIBRoute(), 0, 10, func(r FIBRoute) identity {
		return identity{r.Prefix, r.Metric, r.Protocol, r.Gateway}
	})
}

func genWanted() *rapid.Generator[[]Route] {
	return rapid.Custom(func(t *rapid.T) []Route {
		var routes []Route
		for _, p := range rapid.SliceOfDistinct(genPrefix(), rapid.ID[netip.Prefix]).Draw(t, "prefixes") {
			routes = append(routes, Route{Prefix: p, NextHop: genHop(p).Draw(t, "hop")})
		}
		return routes
	})
}

func genRule() *rapid.Generator[Rule] {
	return rapid.Custom(func(t *rapid.T) Rule {
		r := testConfig().owner().rule(rapid.SampledFrom(ruleRanges()).Draw(t, "to"))
		r.Protocol = rapid.SampledFrom([]uint8{114, 114, 0, unix.RTPROT_STATIC}).Draw(t, "rule protocol")
		r.Priority = rapid.SampledFrom([]uint32{1790, 1790, 100}).Draw(t, "priority")
		r.Table = rapid.SampledFrom([]uint32{testTable, testTable, mainTable}).Draw(t, "rule table")
		r.Other = rapid.SampledFrom([]bool{false, false, true}).Draw(t, "other")
		return r
	})
}

// genRules makes rules as a kernel may have them: two that differ in their protocol only cannot be.
func genRules() *rapid.Generator[[]Rule] {
	return rapid.SliceOfNDistinct(genRule(), 0, 6, func(r Rule) Rule {
		r.Protocol = 0
		return r
	})
}

func genLookups() *rapid.Generator[[]netip.Prefix] {
	return rapid.SliceOfDistinct(rapid.SampledFrom(ruleRanges()), rapid.ID[netip.Prefix])
}

func ruleRanges() []netip.Prefix { return prefixes("20.1.0.0/16", "20.2.0.0/16", "2001:db8:20::/48") }

// TestPlanProperties applies plans to a table of any content: what is wanted is there then, a second plan is empty,
// nothing foreign is named or changed, and before deletes are allowed nothing is deleted.
func TestPlanProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := testConfig()
		cfg.Table = rapid.SampledFrom([]uint32{testTable, mainTable}).Draw(t, "own table")
		fib := newFake()
		fib.own, fib.routes, fib.rules = cfg.owner(), genTable().Draw(t, "table"), genRules().Draw(t, "rules")
		wanted, lookups := genWanted().Draw(t, "wanted"), genLookups().Draw(t, "lookups")
		deletes := rapid.Bool().Draw(t, "deletes")
		plan := func() Plan {
			p, err := MakePlan(context.Background(), cfg, fib, wanted, lookups, deletes)
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		for _, op := range plan().Ops {
			if op.Kind.ofRoute() && op.Route.Protocol != 114 || !op.Kind.ofRoute() && op.Rule.Protocol != 114 {
				t.Fatalf("%s is about something foreign", op)
			}
			if !deletes && (op.Kind == OpDeleteRoute || op.Kind == OpDeleteRule) {
				t.Fatalf("%s before deletes are allowed", op)
			}
			if err := fib.Apply([]Op{op})[0]; err != nil {
				t.Fatalf("%s: %v", op, err)
			}
		}
		if len(fib.seized) > 0 {
			t.Fatalf("%v changed something foreign", fib.seized)
		}
		second := plan()
		if len(second.Ops) != 0 {
			t.Fatalf("a second plan is not empty: %v", second.Ops)
		}
		checkTable(t, cfg.owner(), fib, wanted, second, !deletes)
		if cfg.Table != mainTable {
			checkRules(t, cfg.owner(), fib.rules, lookups, deletes)
		}
	})
}

// checkRules compares rules with what is wanted, by other means than the diff's.
func checkRules(t *rapid.T, o owner, rules []Rule, lookups []netip.Prefix, deletes bool) {
	for _, p := range lookups {
		if !slices.ContainsFunc(rules, func(r Rule) bool {
			return r.To == p && r.Table == o.table && r.Priority == o.priority && !r.Other
		}) {
			t.Fatalf("no rule leads lookups of %s to the table", p)
		}
	}
	for _, r := range rules {
		if deletes && r == o.rule(r.To) && !slices.Contains(lookups, r.To) {
			t.Fatalf("%+v is left and nobody wants it", r)
		}
	}
}

// TestFlushProperties removes what is ours from a table of any content, and nothing else.
func TestFlushProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fib := newFake()
		fib.routes, fib.rules = genTable().Draw(t, "table"), genRules().Draw(t, "rules")
		routes, rules := foreignOf(fib.routes), fib.foreignRules()
		want := Counts{Routes: len(fib.routes) - len(routes), Rules: len(fib.rules) - len(rules)}
		if got, err := Flush(context.Background(), testConfig(), fib); err != nil || got != want {
			t.Fatalf("%+v, %v; want %+v", got, err, want)
		}
		if !slices.Equal(fib.routes, routes) || !slices.Equal(fib.rules, rules) {
			t.Fatalf("left: %v %v", fib.routes, fib.rules)
		}
	})
}

// checkTable compares a table with what is wanted, by other means than the diff's.
func checkTable(t *rapid.T, o owner, fib *fakeFIB, wanted []Route, plan Plan, keep bool) {
	expected := make(map[FIBRoute]bool)
	for i, w := range wanted {
		by := fib.topology.resolve(w.NextHop)
		if by.reason != "" {
			if plan.Routes[i].State != StateUnresolved {
				t.Fatalf("%v is %v", w, plan.Routes[i].State)
			}
			for _, r := range fib.routes { // left as it is
				expected[r] = expected[r] || r.Prefix == w.Prefix
			}
			continue
		}
		target := o.target(w.Prefix, w.NextHop, by)
		expected[target] = true
		first := slices.IndexFunc(fib.routes, func(r FIBRoute) bool { return sameKey(r, target) })
		switch {
		case first < 0:
			t.Fatalf("%v is missing", w)
		case fib.routes[first] == target && plan.Routes[i].State != StateInstalled:
			t.Fatalf("%v is %v though it is there", w, plan.Routes[i].State)
		case fib.routes[first] != target && plan.Routes[i].State != StateConflict:
			t.Fatalf("%v is %v though %v holds its place", w, plan.Routes[i].State, fib.routes[first])
		}
	}
	for _, r := range fib.routes {
		// An IPv6 bundle of next hops may be foreign in part; it stays where it holds a wanted route's place.
		bundle := isIPv6(r.Prefix) && r.Flags&FlagMultipath != 0
		// A second route of ours in a wanted one's place stays where deleting it could hit the wanted one.
		double := false
		for want := range expected {
			double = double || deleteHits(r, want)
		}
		if !keep && r.Protocol == 114 && !expected[r] && !bundle && !double {
			t.Fatalf("%v is left and nobody wants it", r)
		}
	}
}

func TestPlanRules(t *testing.T) {
	o := testConfig().owner()
	a, b := netip.MustParsePrefix("20.1.0.0/16"), netip.MustParsePrefix("30.1.0.0/16")
	foreign := o.rule(a)
	foreign.Protocol = unix.RTPROT_STATIC
	narrow := o.rule(a)
	narrow.Other = true
	unsigned := o.rule(b)
	unsigned.Unsigned, unsigned.Protocol = true, 0
	elsewhere := o.rule(b)
	elsewhere.Table = 5
	cases := map[string]struct {
		want        []netip.Prefix
		have        []Rule
		keep        bool
		add, remove []Rule
	}{
		"missing":                      {want: []netip.Prefix{a}, add: []Rule{o.rule(a)}},
		"present":                      {want: []netip.Prefix{a}, have: []Rule{o.rule(a)}},
		"the same from somebody else":  {want: []netip.Prefix{a}, have: []Rule{foreign}},
		"a narrower one does not do":   {want: []netip.Prefix{a}, have: []Rule{narrow}, add: []Rule{o.rule(a)}},
		"unwanted":                     {have: []Rule{o.rule(a)}, remove: []Rule{o.rule(a)}},
		"unwanted, before convergence": {have: []Rule{o.rule(a)}, keep: true},
		"unwanted, but foreign":        {have: []Rule{foreign, narrow, elsewhere}},
		"a kernel without protocols":   {have: []Rule{unsigned}, remove: []Rule{unsigned}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			add, remove := o.diffRules(c.want, c.have, c.keep)
			if !slices.Equal(add, c.add) || !slices.Equal(remove, c.remove) {
				t.Errorf("add %v, remove %v; want %v, %v", add, remove, c.add, c.remove)
			}
		})
	}
}

func TestOpText(t *testing.T) {
	v4, v6 := ours(t, "20.1.47.128/26", "192.0.2.77"), ours(t, "2001:db8:20::/122", "2001:db8::77")
	cases := map[string]Op{
		"ip route add 20.1.47.128/26 via 192.0.2.77 dev eth0 proto 114 table 1790": {
			Kind: OpAddRoute, Table: 1790, Route: v4, DeviceName: "eth0",
		},
		"ip -6 route change 2001:db8:20::/122 via 2001:db8::77 dev eth0 proto 114 metric 1024": {
			Kind: OpReplaceRoute, Table: mainTable, Route: v6, DeviceName: "eth0",
		},
		"ip rule add to 20.1.0.0/16 lookup 1790 pref 1790 protocol 114": {
			Kind: OpAddRule, Rule: testConfig().owner().rule(netip.MustParsePrefix("20.1.0.0/16")),
		},
	}
	for want, op := range cases {
		if got := op.String(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestResolve(t *testing.T) {
	topology := testTopology()
	topology.Links[4] = Link{Index: 4, Name: "eth2", Up: true}
	topology.Links[5] = Link{Index: 5, Name: "eth3"}
	topology.Addresses = append(topology.Addresses,
		Address{Device: 4, Local: netip.MustParseAddr("192.0.2.65"), Subnet: netip.MustParsePrefix("192.0.2.64/28")},
		Address{Device: 4, Local: netip.MustParseAddr("198.51.100.2"), Subnet: netip.MustParsePrefix("198.51.100.0/24")},
		Address{Device: 4, Local: netip.MustParseAddr("10.0.0.1"), Subnet: netip.MustParsePrefix("10.0.0.2/32")},
		Address{Device: 5, Local: netip.MustParseAddr("203.0.113.1"), Subnet: netip.MustParsePrefix("203.0.113.0/24")},
	)
	for hop, device := range map[string]string{
		"192.0.2.200":  "eth0",
		"192.0.2.70":   "eth2", // the longer subnet
		"198.51.100.7": "eth1", // the link with a carrier
		"10.0.0.2":     "eth2", // a point-to-point peer
		"2001:db8::5":  "eth0",
		"192.0.2.1":    "", // our own
		"203.0.113.9":  "", // the link is down
		"127.0.0.9":    "",
		"fe80::1":      "",
		"9.9.9.9":      "",
	} {
		got := topology.resolve(netip.MustParseAddr(hop))
		if topology.DeviceName(got.device) != device || (device == "") != (got.reason != "") {
			t.Errorf("%s: device %q, reason %q; want %q", hop, topology.DeviceName(got.device), got.reason, device)
		}
	}
}

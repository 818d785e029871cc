package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"routed/config"
	"routed/kernel"
	"routed/snat"
)

var errUnreadable = errors.New("it cannot be read")

func prefixes(list ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// goodHost is a host on which nothing is wrong.
func goodHost() Host {
	return Host{
		Owned:   kernel.Config{Table: 1790, Protocol: 114, RulePriority: 1790},
		Lookups: prefixes("20.1.0.0/16"),
		Table: Fact[kernel.TableSurvey]{Value: kernel.TableSurvey{
			Own: []kernel.Route{{Prefix: prefixes("20.1.47.128/26")[0], NextHop: netip.MustParseAddr("9.111.255.77")}},
		}},
		Forwarding:   []Sysctl{{"net/ipv4/ip_forward", Fact[string]{Value: "1"}}},
		Capabilities: Fact[uint64]{Value: 1 << capNetAdmin},
		Returns: Fact[[]kernel.ReturnPath]{Value: []kernel.ReturnPath{
			{From: prefixes("20.1.47.128/26")[0], Arrives: "eth0", Answers: "eth0"},
			{From: prefixes("10.1.198.140/32")[0], Arrives: "cali1", Answers: "cali1", Here: true},
		}},
		RPFilter: []Sysctl{
			{"net/ipv4/conf/all/rp_filter", Fact[string]{Value: "0"}},
			{"net/ipv4/conf/eth0/rp_filter", Fact[string]{Value: "1"}},
			{"net/ipv4/conf/cali1/rp_filter", Fact[string]{Value: "1"}},
		},
		OwnRanges:    prefixes("10.1.0.0/16"),
		OwnAddresses: []netip.Addr{netip.MustParseAddr("9.111.255.21")},
		Blocks:       Fact[[]netip.Prefix]{Value: prefixes("10.1.198.128/26")},
		BIRD:         BIRD{Dial: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:179")}},
		Ports:        []Port{{Key: "listen.port", At: netip.MustParseAddrPort("9.111.255.21:1790")}},
		Sockets: Fact[[]Socket]{Value: []Socket{
			{Local: netip.MustParseAddrPort("0.0.0.0:179"), Listens: true},
			{Local: netip.MustParseAddrPort("127.0.0.1:45678"), Remote: netip.MustParseAddrPort("127.0.0.1:179")},
			{Local: netip.MustParseAddrPort("9.111.255.21:1790"), Listens: true, Owner: "routed"},
		}},
		Hops: Fact[[]kernel.Hop]{Value: []kernel.Hop{{Addr: netip.MustParseAddr("9.111.255.77"), Device: "eth0"}}},
		Topology: Fact[kernel.Topology]{Value: kernel.Topology{
			Links: map[int32]kernel.Link{
				2: {Index: 2, Name: "eth0", Up: true, Running: true, MTU: 1500}, 7: {Index: 7, Name: "cali1", Up: true, Running: true, MTU: 1440},
			},
			Addresses: []kernel.Address{{Device: 2, Local: netip.MustParseAddr("9.111.255.21"), Subnet: prefixes("9.111.255.0/24")[0]}},
		}},
		NeighborRoom: []Sysctl{{"net/ipv4/neigh/default/gc_thresh3", Fact[string]{Value: "1024"}}},
		To:           prefixes("20.1.0.0/16"), Leave: []string{"eth0"}, Pods: prefixes("10.1.198.128/26"),
	}
}

// checkCase changes one thing on the good host and says what one check must find.
type checkCase struct {
	name   string
	change func(h *Host)
	want   []Check // the names are filled in
}

func runChecks(t *testing.T, name string, check func(Host) []Check, cases []checkCase) {
	t.Helper()
	if got := check(goodHost()); len(got) != 1 || got[0].Result != Good || got[0].Fix != "" || got[0].Name != name {
		t.Errorf("nothing is wrong, and yet %+v", got)
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := goodHost()
			c.change(&h)
			for i := range c.want {
				c.want[i].Name = name
			}
			got := check(h)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
			for _, one := range got {
				if (one.Fix == "") != (one.Result == Good) || one.Why == "" || strings.Contains(one.Why+one.Fix, "\n") {
					t.Errorf("not one line why and, where there is something to do, one line how: %+v", one)
				}
			}
		})
	}
}

func TestCapabilities(t *testing.T) {
	runChecks(t, "capabilities", checkCapabilities, []checkCase{
		{"an ordinary user", func(h *Host) { h.Capabilities.Value, h.UID = 0, 1000 }, []Check{{
			Result: Unknown, Why: "this is not run as the daemon is: an ordinary user has no CAP_NET_ADMIN",
			Fix: "run `routed doctor` as root",
		}}},
		{"root in a container", func(h *Host) { h.Capabilities.Value = ^uint64(1 << capNetAdmin) }, []Check{{
			Result: Failed, Why: "root has no CAP_NET_ADMIN here, so that no route can be changed",
			Fix: "give the container or the unit the capability NET_ADMIN",
		}}},
		{"unreadable", func(h *Host) { h.Capabilities.Err = errUnreadable }, []Check{{
			Result: Unknown, Why: "it cannot be read", Fix: "make sure that /proc is mounted",
		}}},
	})
}

func TestForwarding(t *testing.T) {
	runChecks(t, "ip-forwarding", checkForwarding, []checkCase{
		{"off", func(h *Host) { h.Forwarding[0].Value.Value = "0" }, []Check{{
			Result: Failed, Why: "net/ipv4/ip_forward is 0: packets of pods are dropped",
			Fix: "sysctl -w net/ipv4/ip_forward=1, and the same in a file in /etc/sysctl.d",
		}}},
		{"off on a device and unreadable", func(h *Host) {
			h.Forwarding = append(h.Forwarding, Sysctl{"net/ipv4/conf/eth0.7/forwarding", Fact[string]{Value: "0"}},
				Sysctl{"net/ipv6/conf/all/forwarding", Fact[string]{Err: errUnreadable}})
		}, []Check{
			{
				Result: Failed, Why: "net/ipv4/conf/eth0.7/forwarding is 0: packets of pods are dropped",
				Fix: "sysctl -w net/ipv4/conf/eth0.7/forwarding=1, and the same in a file in /etc/sysctl.d",
			},
			{Result: Unknown, Why: "it cannot be read", Fix: "look at it with `sysctl net/ipv6/conf/all/forwarding`"},
		}},
	})
}

func TestRules(t *testing.T) {
	runChecks(t, "rules", checkRules, []checkCase{
		{"missing", func(h *Host) { h.Rules.Value.Missing = prefixes("20.1.0.0/16", "2001:db8:20::/48") }, []Check{{
			Result: Failed, Why: "no rule leads lookups of 20.1.0.0/16, 2001:db8:20::/48 to table 1790",
			Fix: "start routed, which adds them and puts them back: systemctl start routed",
		}}},
		{"one ahead, one foreign, one left", func(h *Host) {
			h.Rules.Value = kernel.RuleSurvey{
				Ahead:    []kernel.Rule{{Priority: 100, Table: 254}},
				Foreign:  prefixes("20.1.0.0/16"),
				Unwanted: []kernel.Rule{{Priority: 1790, Table: 1790, To: prefixes("40.1.0.0/16")[0]}},
			}
		}, []Check{
			{
				Result: Warning, Why: "a rule of somebody else decides before those of routed: 100: lookup main",
				Fix: "see what it is for (`ip rule`), and give it a priority above 1790 or remove it",
			},
			{
				Result: Warning,
				Why:    "the rule that leads lookups of 20.1.0.0/16 to table 1790 is not routed's, and may go with whoever added it",
				Fix:    "remove it, routed then adds its own",
			},
			{
				Result: Warning, Why: "a rule of routed is for no remote cluster: 1790: to 40.1.0.0/16 lookup 1790",
				Fix: "start routed, or remove what is left of it: routed flush",
			},
		}},
		{"main", func(h *Host) { h.Owned.Table = config.TableMain }, []Check{{
			Result: Good, Why: "kernel.table is main, which needs no rule, and no rule comes before that of main",
		}}},
		{"unreadable", func(h *Host) { h.Rules.Err = errUnreadable }, []Check{{
			Result: Unknown, Why: "it cannot be read", Fix: "look at them with `ip rule` and `ip -6 rule`",
		}}},
	})
}

func TestTable(t *testing.T) {
	runChecks(t, "table", checkTable, []checkCase{
		{"empty", func(h *Host) { h.Table.Value.Own = nil }, []Check{{
			Result: Warning, Why: "table 1790 holds no route of the mesh",
			Fix: "see `routed status` for what is missing; without a daemon: systemctl start routed",
		}}},
		{"company", func(h *Host) { h.Table.Value.Foreign = []string{"20.1.9.0/26 via 9.111.255.9 dev eth0 proto static"} }, []Check{{
			Result: Warning,
			Why:    "table 1790 is not routed's alone: it holds 1 other routes, such as 20.1.9.0/26 via 9.111.255.9 dev eth0 proto static",
			Fix:    "give routed a table of its own (kernel.table), or remove the others",
		}}},
		{"company in main is no news", func(h *Host) {
			h.Owned.Table, h.Table.Value.Foreign = config.TableMain, []string{"default via 9.111.255.1 dev eth0"}
		}, []Check{{Result: Good, Why: "table 254 holds 1 routes of the mesh"}}},
		{"unreadable", func(h *Host) { h.Table.Err = errUnreadable }, []Check{{
			Result: Unknown, Why: "it cannot be read", Fix: "look at it with `ip route show table 1790`",
		}}},
	})
}

func TestHandMade(t *testing.T) {
	stray := kernel.Stray{
		Prefix: prefixes("20.1.47.128/26")[0], Text: "20.1.47.128/26 via 9.111.255.77 dev eth0 proto boot",
		Command: "ip route delete 20.1.47.128/26 via 9.111.255.77 dev eth0 proto boot",
	}
	held := stray
	held.Held = true
	runChecks(t, "hand-made-routes", checkHandMade, []checkCase{
		{"held", func(h *Host) { h.Strays.Value = []kernel.Stray{held} }, []Check{{
			Result: Warning, Why: "main has " + stray.Text + "; the mesh holds the block, nobody needs it", Fix: stray.Command,
		}}},
		{"not held", func(h *Host) { h.Strays.Value = []kernel.Stray{stray} }, []Check{{
			Result: Warning, Why: "main has " + stray.Text + "; the mesh does not hold the block yet",
			Fix: "once it does (`ip route show table 1790`), run: " + stray.Command,
		}}},
		{"in the place of ours", func(h *Host) {
			h.Owned.Table, h.Strays.Value = config.TableMain, []kernel.Stray{stray}
		}, []Check{{
			Result: Warning, Why: "main has " + stray.Text + ", in the place of the mesh's own route",
			Fix: "once the mesh knows the block (`routed routes` shows a conflict), run: " + stray.Command,
		}}},
		{"unreadable", func(h *Host) { h.Strays.Err = errUnreadable }, []Check{{
			Result: Unknown, Why: "it cannot be read", Fix: "look at main with `ip route` and `ip -6 route`",
		}}},
	})
}

func TestExamine(t *testing.T) {
	r := Examine(goodHost())
	names := map[string]bool{}
	for _, c := range r.Checks {
		names[c.Name] = true
	}
	if r.Failed() || len(names) != len(r.Checks) {
		t.Errorf("%+v", r)
	}
	bad := goodHost()
	bad.Table.Value.Own, bad.Forwarding[0].Value.Value, bad.Capabilities.Err = nil, "0", errUnreadable
	r = Examine(bad)
	var results []Result
	for _, c := range r.Checks {
		results = append(results, c.Result)
	}
	if want := []Result{Failed, Warning, Unknown, Good}; !r.Failed() || !slices.Equal(slices.Compact(results), want) {
		t.Errorf("%v, want %v", results, want)
	}
}

func TestReport(t *testing.T) {
	r := Report{Checks: []Check{
		{Name: "rules", Result: Failed, Why: "no rule", Fix: "add one"},
		{Name: "capabilities", Result: Unknown, Why: "it cannot be read", Fix: "look"},
		{Name: "table", Result: Good, Why: "holds routes"},
	}}
	var b strings.Builder
	if err := r.Text(&b, false); err != nil {
		t.Fatal(err)
	}
	want := "" +
		"failed       rules         no rule\n" +
		"             -> add one\n" +
		"cannot tell  capabilities  it cannot be read\n" +
		"             -> look\n" +
		"good         table         holds routes\n"
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
	b.Reset()
	if err := r.Text(&b, true); err != nil || !strings.HasPrefix(b.String(), "\x1b[31mfailed     \x1b[0m  rules") {
		t.Errorf("%q, %v", b.String(), err)
	}
	got, err := json.Marshal(r)
	wantJSON := `{"checks":[{"name":"rules","result":"failed","why":"no rule","fix":"add one"},` +
		`{"name":"capabilities","result":"cannot tell","why":"it cannot be read","fix":"look"},` +
		`{"name":"table","result":"good","why":"holds routes"}]}`
	if err != nil || string(got) != wantJSON {
		t.Errorf("%s, %v", got, err)
	}
}

// stillFIB is a kernel that can only be looked at.
type stillFIB struct {
	kernel.FIB
	err    error
	tables map[uint32][]kernel.FIBRoute
	rules  []kernel.Rule

	addresses []kernel.Address
}

func (f stillFIB) Rules(context.Context) ([]kernel.Rule, error) { return f.rules, f.err }

func (f stillFIB) Topology(context.Context) (kernel.Topology, error) {
	return kernel.Topology{
		Links:     map[int32]kernel.Link{2: {Index: 2, Name: "eth0.7", Up: true}, 3: {Index: 3, Name: "eth1", Up: true}},
		Addresses: f.addresses,
	}, f.err
}

func (f stillFIB) Routes(_ context.Context, table uint32, yield func([]kernel.FIBRoute)) (kernel.Digest, error) {
	yield(f.tables[table])
	return 0, f.err
}

func (f stillFIB) Lookup(addrs []netip.Addr) []kernel.Answer {
	answers := make([]kernel.Answer, len(addrs))
	for i := range answers {
		answers[i] = kernel.Answer{Route: kernel.FIBRoute{Device: 2}, Err: f.err}
	}
	return answers
}

// sources are those of a host on which nobody changes source addresses.
func sources(cfg *config.Config, fib kernel.FIB, proc fs.FS) Sources {
	return Sources{
		Config: cfg, Owned: goodHost().Owned, FIB: fib, Proc: proc,
		NAT:       func(context.Context) snat.Rules { return snat.Rules{} },
		Neighbors: func(context.Context) ([]kernel.Neighbor, error) { return nil, nil },
	}
}

func TestLook(t *testing.T) {
	cfg := &config.Config{Remotes: []config.Remote{
		{Name: "cluster-2", PodCIDRs: prefixes("20.1.0.0/16")}, {Name: "cluster-3", PodCIDRs: prefixes("2001:db8:20::/48")},
	}}
	block := prefixes("20.1.47.128/26")[0]
	route := kernel.FIBRoute{Prefix: block, Gateway: netip.MustParseAddr("9.111.255.77"), Device: 2, Protocol: 114, Type: 1}
	byHand := route
	byHand.Protocol = 3
	fib := stillFIB{tables: map[uint32][]kernel.FIBRoute{1790: {route}, config.TableMain: {byHand}}}
	proc := fstest.MapFS{
		"self/status":                         {Data: []byte("Name:\trouted\nCapInh:\t0000000000000000\nCapEff:\t000001ffffffffff\n")},
		"sys/net/ipv4/ip_forward":             {Data: []byte("1\n")},
		"sys/net/ipv4/conf/eth0.7/forwarding": {Data: []byte("0\n")},
	}
	h := Look(t.Context(), sources(cfg, fib, proc))
	if !slices.Equal(h.Lookups, prefixes("20.1.0.0/16", "2001:db8:20::/48")) || h.Capabilities.Value != 0x1ffffffffff ||
		len(h.Table.Value.Own) != 1 || len(h.Strays.Value) != 1 || !h.Strays.Value[0].Held || len(h.Rules.Value.Missing) != 2 {
		t.Errorf("%+v", h)
	}
	var keys []string
	for _, s := range h.Forwarding {
		keys = append(keys, s.Key+"="+s.Value.Value)
	}
	want := []string{"net/ipv4/ip_forward=1", "net/ipv4/conf/eth0.7/forwarding=0", "net/ipv6/conf/all/forwarding="}
	if !slices.Equal(keys, want) || !errors.Is(h.Forwarding[2].Value.Err, fs.ErrNotExist) {
		t.Errorf("%v, want %v", keys, want)
	}

	fib.err = errUnreadable
	from := sources(cfg, fib, fstest.MapFS{"self/status": {}})
	from.NAT = func(context.Context) snat.Rules {
		return snat.Rules{Gaps: []snat.Gap{{What: "rules", Err: errUnreadable}}}
	}
	from.Neighbors = func(context.Context) ([]kernel.Neighbor, error) { return nil, errUnreadable }
	h = Look(t.Context(), from)
	for name, err := range map[string]error{"rules": h.Rules.Err, "table": h.Table.Err, "strays": h.Strays.Err} {
		if !errors.Is(err, errUnreadable) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !errors.Is(h.Capabilities.Err, errNoCapabilities) {
		t.Errorf("capabilities: %v", h.Capabilities.Err)
	}
	for _, c := range Examine(h).Checks {
		if c.Result != Unknown && c.Name != "md5-keys" {
			t.Errorf("%+v", c)
		}
	}
}

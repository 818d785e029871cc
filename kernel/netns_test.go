package kernel

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const patience = 10 * time.Second // until a test gives up on a condition

// eventually waits for a condition.
func eventually(tb testing.TB, what string, met func() bool) {
	tb.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !met() {
		select {
		case <-deadline:
			tb.Fatalf("not within %v: %s", patience, what)
		case <-tick.C:
		}
	}
}

// never makes sure that a condition does not come about in a while.
func never(tb testing.TB, what string, met func() bool) {
	tb.Helper()
	neverWithin(tb, 150*time.Millisecond, what, met)
}

func neverWithin(tb testing.TB, span time.Duration, what string, met func() bool) {
	tb.Helper()
	end := time.After(span)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		if met() {
			tb.Fatalf("must not happen: %s", what)
		}
		select {
		case <-end:
			return
		case <-tick.C:
		}
	}
}

// testNet is a network namespace with one link, seen with the eyes of an independent library.
type testNet struct {
	t    testing.TB
	fib  *Netlink
	eye  *netlink.Handle
	near netlink.Link
}

const (
	nearAddr4, nearAddr6 = "192.0.2.1/24", "2001:db8::1/64"
	testTable            = 1790
)

func testConfig() Config {
	return Config{Table: testTable, Protocol: 114, RulePriority: 1790, ResyncInterval: time.Hour}
}

// newTestNet moves the test into a namespace of its own. The thread is never unlocked, so it ends with the test and
// the namespace with it.
func newTestNet(tb testing.TB) *testNet {
	tb.Helper()
	if os.Geteuid() != 0 {
		tb.Skip("SKIPPED: needs root, to make a network namespace")
	}
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		tb.Skipf("SKIPPED: cannot make a network namespace: %v", err)
	}
	fib, err := NewNetlink()
	if err != nil {
		tb.Fatal(err)
	}
	eye, err := netlink.NewHandle()
	if err != nil {
		tb.Fatal(err)
	}
	n := &testNet{t: tb, fib: fib, eye: eye}
	tb.Cleanup(func() { eye.Close(); n.must(fib.Close()) })
	n.near = n.addVeth("near", "far", nearAddr4, nearAddr6)
	return n
}

func (n *testNet) must(err error) {
	n.t.Helper()
	if err != nil {
		n.t.Fatal(err)
	}
}

// addVeth makes a pair of links that are up; the first has the addresses.
func (n *testNet) addVeth(name, peer string, addrs ...string) netlink.Link {
	n.t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	n.must(n.eye.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: peer}))
	for _, end := range []string{peer, name} {
		link, err := n.eye.LinkByName(end)
		n.must(err)
		n.must(n.eye.LinkSetUp(link))
	}
	link, err := n.eye.LinkByName(name)
	n.must(err)
	for _, a := range addrs {
		n.addAddr(link, a)
	}
	return link
}

func (n *testNet) addAddr(link netlink.Link, a string) {
	n.t.Helper()
	n.must(n.eye.AddrAdd(link, testAddr(n.t, a)))
}

func testAddr(tb testing.TB, a string) *netlink.Addr {
	tb.Helper()
	addr, err := netlink.ParseAddr(a)
	if err != nil {
		tb.Fatal(err)
	}
	if addr.IP.To4() == nil {
		addr.Flags = unix.IFA_F_NODAD
	}
	return addr
}

// route is a route for the eye, in the test's table unless changed.
func (n *testNet) route(prefix, via string, proto int) *netlink.Route {
	p := netip.MustParsePrefix(prefix)
	return &netlink.Route{
		Dst:      &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())},
		Gw:       net.ParseIP(via),
		Table:    testTable,
		Protocol: netlink.RouteProtocol(proto),
	}
}

// lines lists a table as "PREFIX via GATEWAY proto N", sorted.
func (n *testNet) lines(table int) []string {
	n.t.Helper()
	filter := &netlink.Route{Table: table}
	routes, err := n.eye.RouteListFiltered(netlink.FAMILY_ALL, filter, netlink.RT_FILTER_TABLE)
	n.must(err)
	var lines []string
	for _, r := range routes {
		if r.Gw != nil {
			lines = append(lines, fmt.Sprintf("%s via %s proto %d", r.Dst, r.Gw, int(r.Protocol)))
		}
	}
	slices.Sort(lines)
	return lines
}

func (n *testNet) has(want ...string) func() bool {
	return func() bool { return slices.Equal(n.lines(testTable), want) }
}

// run starts a reconciler and stops it with the test.
func (n *testNet) run(cfg Config) *Reconciler {
	n.t.Helper()
	return runReconciler(n.t, cfg, n.fib)
}

func runReconciler(tb testing.TB, cfg Config, fib FIB) *Reconciler {
	tb.Helper()
	r := NewReconciler(cfg, fib)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	tb.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			tb.Errorf("Run: %v", err)
		}
	})
	select {
	case <-r.Adopted():
	case err := <-ended:
		ended <- err
		tb.Fatalf("Run ended before it adopted: %v", err)
	}
	return r
}

func wanted(prefix, via string) Change {
	return Change{Route: Route{Prefix: netip.MustParsePrefix(prefix), NextHop: netip.MustParseAddr(via), Group: "c2"}}
}

func unwanted(prefix string) Change {
	return Change{Route: Route{Prefix: netip.MustParsePrefix(prefix)}}
}

// family is one address family's words for the same test.
type family struct{ name, prefix, prefix2, hop, hop2, nowhere, addr string }

func families() []family {
	return []family{
		{"ipv4", "20.1.47.128/26", "20.1.48.0/26", "192.0.2.77", "192.0.2.78", "198.51.100.1", nearAddr4},
		{
			"ipv6", "2001:db8:20::/122", "2001:db8:20::40/122",
			"2001:db8::77", "2001:db8::78", "2001:db8:ffff::1", nearAddr6,
		},
	}
}

func line(prefix, via string, proto int) string {
	return fmt.Sprintf("%s via %s proto %d", prefix, via, proto)
}

func TestKernelInstallReplaceDelete(t *testing.T) {
	for _, f := range families() {
		t.Run(f.name, func(t *testing.T) {
			n := newTestNet(t)
			r := n.run(testConfig())
			r.Set([]Change{wanted(f.prefix, f.hop), wanted(f.prefix2, f.hop)})
			eventually(t, "both routes", n.has(line(f.prefix, f.hop, 114), line(f.prefix2, f.hop, 114)))
			r.Set([]Change{wanted(f.prefix, f.hop2)})
			eventually(t, "the new next hop", n.has(line(f.prefix, f.hop2, 114), line(f.prefix2, f.hop, 114)))
			r.Set([]Change{unwanted(f.prefix)})
			never(t, "a delete before convergence", func() bool { return len(n.lines(testTable)) != 2 })
			r.AllowDelete()
			eventually(t, "the delete", n.has(line(f.prefix2, f.hop, 114)))
			r.Set([]Change{unwanted(f.prefix2)})
			eventually(t, "an empty table", n.has())
			eventually(t, "the counts", func() bool { return r.Status().Changes == Changes{Add: 2, Replace: 1, Delete: 2} })
		})
	}
}

func TestKernelAdoption(t *testing.T) {
	for _, f := range families() {
		t.Run(f.name, func(t *testing.T) {
			n := newTestNet(t)
			n.must(n.eye.RouteAdd(n.route(f.prefix, f.hop, 114)))
			n.must(n.eye.RouteAdd(n.route(f.prefix2, f.hop, 114)))
			r := n.run(testConfig())
			adopted := r.AdoptedRoutes()
			if len(adopted) != 2 || adopted[0].NextHop.String() != f.hop {
				t.Fatalf("adopted %v", adopted)
			}
			r.Set([]Change{wanted(f.prefix, f.hop)})
			eventually(t, "the adopted route is installed", func() bool {
				s := r.Status()
				return len(s.Routes) == 1 && s.Routes[0].Count(StateInstalled) == 1
			})
			if len(n.lines(testTable)) != 2 {
				t.Fatal("a route went before deletes were allowed")
			}
			r.AllowDelete()
			eventually(t, "the stale route goes", n.has(line(f.prefix, f.hop, 114)))
			if c := r.Status().Changes; c.Add != 0 || c.Replace != 0 {
				t.Errorf("an adopted route was written again: %+v", c)
			}
		})
	}
}

func TestKernelRules(t *testing.T) {
	n := newTestNet(t)
	r := n.run(testConfig())
	cidrs := []netip.Prefix{netip.MustParsePrefix("20.1.0.0/16"), netip.MustParsePrefix("2001:db8:20::/48")}
	foreign := netlink.NewRule()
	foreign.Dst, foreign.Table, foreign.Priority, foreign.Family = mustCIDR("20.9.0.0/16"), testTable, 1790, netlink.FAMILY_V4
	n.must(n.eye.RuleAdd(foreign))
	r.SetLookups(cidrs)
	eventually(t, "both rules", func() bool { return len(n.ourRules()) == 2 })
	if got := n.ourRules(); !slices.Equal(got, []string{"20.1.0.0/16", "2001:db8:20::/48"}) {
		t.Fatalf("rules %v", got)
	}
	gone := netlink.NewRule()
	gone.Dst, gone.Table, gone.Priority, gone.Family = mustCIDR("20.1.0.0/16"), testTable, 1790, netlink.FAMILY_V4
	n.must(n.eye.RuleDel(gone))
	eventually(t, "the rule is back", func() bool { return len(n.ourRules()) == 2 && r.Status().Repairs.Rule == 1 })
	r.SetLookups(cidrs[:1])
	never(t, "a rule deleted before convergence", func() bool { return len(n.ourRules()) != 2 })
	r.AllowDelete()
	eventually(t, "the unwanted rule goes", func() bool {
		return slices.Equal(n.ourRules(), []string{"20.1.0.0/16"})
	})
	if !n.hasForeignRule() {
		t.Error("a foreign rule was removed")
	}
}

func mustCIDR(s string) *net.IPNet {
	_, c, err := net.ParseCIDR(s)
	if err != nil {
		panic(err) //nolint:forbidigo // a test's own constant
	}
	return c
}

// ourRules lists the destinations of the rules with our protocol.
func (n *testNet) ourRules() []string {
	n.t.Helper()
	rules, err := n.eye.RuleList(netlink.FAMILY_ALL)
	n.must(err)
	var to []string
	for _, r := range rules {
		if r.Priority == 1790 && r.Protocol == 114 {
			to = append(to, r.Dst.String())
		}
	}
	slices.Sort(to)
	return to
}

func (n *testNet) hasForeignRule() bool {
	rules, err := n.eye.RuleList(netlink.FAMILY_V4)
	n.must(err)
	return slices.ContainsFunc(rules, func(r netlink.Rule) bool { return r.Dst != nil && r.Dst.String() == "20.9.0.0/16" })
}

func TestKernelOverrun(t *testing.T) {
	for _, table := range []uint32{testTable, unix.RT_TABLE_MAIN} {
		for _, ipv6 := range []bool{false, true} {
			t.Run(fmt.Sprintf("table %d ipv6 %v", table, ipv6), func(t *testing.T) {
				n := newTestNet(t)
				n.must(n.fib.events.control(func(fd int) error {
					return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 2048)
				}))
				cfg := testConfig()
				cfg.Table = table
				r := n.run(cfg)
				routes := blocks(2000)
				if ipv6 {
					routes = blocks6(2000)
				}
				r.Set(routes)
				all := func() bool { return len(n.lines(int(table))) == len(routes) }
				eventually(t, "all routes", all)
				eventually(t, "an overrun", func() bool {
					// Deleted by somebody else in one burst, more than the tiny buffer holds.
					n.deleteBurst(table, routes)
					return r.Status().Overruns > 0
				})
				eventually(t, "all routes back", func() bool {
					return all() && r.Status().Routes[0].Count(StateInstalled) == len(routes)
				})
			})
		}
	}
}

// deleteBurst deletes routes the way another daemon would, in one send.
func (n *testNet) deleteBurst(table uint32, routes []Change) {
	n.t.Helper()
	other, err := NewNetlink()
	n.must(err)
	defer other.Close()
	ops := make([]Op, len(routes))
	for i, c := range routes {
		p := c.Route.Prefix
		ops[i] = Op{Kind: OpDeleteRoute, Table: table, Route: FIBRoute{Prefix: p, Protocol: 114, Metric: ownMetric(p)}}
	}
	for _, err := range other.Apply(ops) {
		if err != nil && !isGone(err) {
			n.t.Fatal(err)
		}
	}
}

// blocks6 makes changes that want n /122 through 2001:db8::77.
func blocks6(n int) []Change {
	changes := make([]Change, n)
	for i := range changes {
		a := netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, 0x20, 13: byte(i >> 10), 14: byte(i >> 2), 15: byte(i << 6)})
		changes[i] = Change{Route: Route{Prefix: netip.PrefixFrom(a, 122), NextHop: netip.MustParseAddr("2001:db8::77"), Group: "c2"}}
	}
	return changes
}

// blocks makes changes that want n /26 through 192.0.2.77.
func blocks(n int) []Change {
	changes := make([]Change, n)
	for i := range changes {
		a := netip.AddrFrom4([4]byte{byte(20 + i>>18), byte(i >> 10), byte(i >> 2), byte(i << 6)})
		changes[i] = Change{Route: Route{Prefix: netip.PrefixFrom(a, 26), NextHop: netip.MustParseAddr("192.0.2.77"), Group: "c2"}}
	}
	return changes
}

func TestKernelFlush(t *testing.T) {
	n := newTestNet(t)
	foreign := n.route("20.9.0.0/26", "192.0.2.9", unix.RTPROT_STATIC)
	n.must(n.eye.RouteAdd(foreign))
	n.must(n.eye.RouteAdd(n.route("20.1.0.0/26", "192.0.2.77", 114)))
	n.must(n.eye.RouteAdd(n.route("2001:db8:20::/122", "2001:db8::77", 114)))
	metric := n.route("20.1.0.0/26", "192.0.2.78", 114)
	metric.Priority = 7
	n.must(n.eye.RouteAdd(metric))
	rule := Op{Kind: OpAddRule, Rule: testConfig().owner().rule(netip.MustParsePrefix("20.1.0.0/16"))}
	n.must(n.fib.Apply([]Op{rule})[0])
	removed, err := Flush(context.Background(), testConfig(), n.fib)
	if err != nil || removed != (Counts{Routes: 3, Rules: 1}) {
		t.Fatalf("Flush: %+v, %v", removed, err)
	}
	if !n.has(line("20.9.0.0/26", "192.0.2.9", unix.RTPROT_STATIC))() || len(n.ourRules()) != 0 {
		t.Fatalf("left: %v %v", n.lines(testTable), n.ourRules())
	}
}

func TestKernelApplyTellsEachError(t *testing.T) {
	n := newTestNet(t)
	o := testConfig().owner()
	good := func(i int) Op {
		c := blocks(i + 1)[i].Route
		return Op{Kind: OpAddRoute, Table: testTable, Route: o.target(c.Prefix, c.NextHop, way{device: int32(n.near.Attrs().Index)})}
	}
	bad := good(1)
	bad.Route.Gateway = netip.MustParseAddr("198.51.100.9")
	gone := good(2)
	gone.Kind = OpDeleteRoute
	errs := n.fib.Apply([]Op{good(0), bad, gone, good(3), good(0)})
	for i, want := range []error{nil, unix.ENETUNREACH, unix.ESRCH, nil, unix.EEXIST} {
		if !errors.Is(errs[i], want) {
			t.Errorf("op %d: %v, want %v", i, errs[i], want)
		}
	}
	var refused *OpError
	if !errors.As(errs[1], &refused) || refused.Text == "" {
		t.Errorf("no words of the kernel in %v", errs[1])
	}
	if got := len(n.lines(testTable)); got != 2 {
		t.Errorf("%d routes, want 2", got)
	}
}

func TestKernelLocalBlocks(t *testing.T) {
	n := newTestNet(t)
	block := func(prefix string, proto int) *netlink.Route {
		r := n.route(prefix, "", proto)
		r.Gw, r.Table, r.Type = nil, unix.RT_TABLE_MAIN, unix.RTN_BLACKHOLE
		return r
	}
	n.must(n.eye.RouteAdd(block("10.1.5.0/26", unix.RTPROT_BIRD)))
	n.must(n.eye.RouteAdd(block("10.1.6.0/26", unix.RTPROT_STATIC)))
	n.must(n.eye.RouteAdd(block("10.9.6.0/26", unix.RTPROT_BIRD)))
	ctx, cancel := context.WithCancel(t.Context())
	lists := make(chan []netip.Prefix)
	ended := make(chan error, 1)
	inside := prefixes("10.1.0.0/16", "2001:db8:1::/48")
	n.goInside(func() { ended <- WatchLocalBlocks(ctx, inside, slog.New(slog.DiscardHandler), lists) })
	expect := func(want ...string) {
		t.Helper()
		select {
		case got := <-lists:
			if !slices.Equal(got, prefixes(want...)) {
				t.Fatalf("blocks %v, want %v", got, want)
			}
		case <-time.After(patience):
			t.Fatalf("no list; want %v", want)
		}
	}
	expect("10.1.5.0/26")
	n.must(n.eye.RouteAdd(block("2001:db8:1::/122", 80)))
	expect("10.1.5.0/26", "2001:db8:1::/122")
	n.must(n.eye.RouteDel(block("10.1.5.0/26", unix.RTPROT_BIRD)))
	expect("2001:db8:1::/122")
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

// goInside runs f in a goroutine whose thread is in the test's namespace.
func (n *testNet) goInside(f func()) {
	n.t.Helper()
	ns, err := os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
	n.must(err)
	entered := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
		entered <- err
		if err == nil {
			f()
		}
	}()
	n.must(<-entered)
	n.must(ns.Close())
}

func prefixes(list ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func TestKernelDefaultAddress(t *testing.T) {
	n := newTestNet(t)
	if _, err := n.fib.DefaultAddress(t.Context(), false); !errors.Is(err, ErrNoDefaultRoute) {
		t.Fatalf("without a default route: %v", err)
	}
	leaving := testAddr(t, "2001:db8::99/64") // deprecated; in a dump the latest comes first
	leaving.ValidLft = 3600
	n.must(n.eye.AddrAdd(n.near, leaving))
	for _, c := range []struct{ prefix, via, want string }{
		{"0.0.0.0/0", "192.0.2.254", "192.0.2.1"},
		{"::/0", "2001:db8::fe", "2001:db8::1"},
	} {
		r := n.route(c.prefix, c.via, unix.RTPROT_STATIC)
		r.Table = unix.RT_TABLE_MAIN
		n.must(n.eye.RouteAdd(r))
		got, err := n.fib.DefaultAddress(t.Context(), c.want == "2001:db8::1")
		if err != nil || got.String() != c.want {
			t.Errorf("default address %v, %v; want %s", got, err, c.want)
		}
	}
	n.must(n.eye.AddrDel(n.near, testAddr(t, nearAddr6)))
	if got, err := n.fib.DefaultAddress(t.Context(), true); err != nil || got.String() != "2001:db8::99" {
		t.Errorf("with a deprecated address alone: %v, %v", got, err)
	}
	topology, err := n.fib.Topology(t.Context())
	n.must(err)
	if device, ok := topology.OnLink(netip.MustParseAddr("192.0.2.77")); !ok || device != "near" {
		t.Errorf("192.0.2.77 is on %q, %v", device, ok)
	}
	if _, ok := topology.OnLink(netip.MustParseAddr("198.51.100.1")); ok {
		t.Error("198.51.100.1 is on a link")
	}
}

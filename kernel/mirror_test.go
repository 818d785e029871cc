package kernel

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// TestKernelMirrorFollowsEvents has somebody else change the table in every way that netlink offers and follows it by
// events alone. After each change the loop's mirror equals a dump, order within a place included, or the loop has asked
// for a dump itself: a mirror that is wrong and does not know it would keep a route unrepaired until the next full compare.
func TestKernelMirrorFollowsEvents(t *testing.T) {
	n := newTestNet(t)
	n.addVeth("near2", "far2", "198.51.100.1/24", "2001:db8:1::1/64")
	rapid.Check(t, func(rt *rapid.T) {
		m := newMirrorRun(n, rt)
		defer m.close()
		for range rapid.IntRange(1, 12).Draw(rt, "changes") {
			m.change()
			m.follow()
			m.compare()
		}
	})
}

// mirrorRun is a loop that wants nothing and only looks.
type mirrorRun struct {
	*testNet
	rt     *rapid.T
	loop   *loop
	fib    *Netlink
	cancel context.CancelFunc
	marks  int
	done   []string // the changes, for people
}

func newMirrorRun(n *testNet, rt *rapid.T) *mirrorRun {
	n.emptyTable()
	fib, err := NewNetlink()
	n.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	l := newLoop(NewReconciler(testConfig(), fib))
	n.must(l.start(ctx))
	return &mirrorRun{testNet: n, rt: rt, loop: l, fib: fib, cancel: cancel}
}

func (m *mirrorRun) close() {
	m.cancel()
	m.loop.close()
	m.must(m.fib.Close())
}

func (n *testNet) emptyTable() {
	n.t.Helper()
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		routes, err := n.eye.RouteListFiltered(family, &netlink.Route{Table: testTable}, netlink.RT_FILTER_TABLE)
		n.must(err)
		for _, r := range routes {
			if err := n.eye.RouteDel(&r); err != nil && !isGone(err) {
				n.t.Fatal(err)
			}
		}
	}
}

// change does something that the kernel may refuse.
func (m *mirrorRun) change() {
	verbs := map[string]func(*netlink.Route) error{
		"add": m.eye.RouteAdd, "append": m.eye.RouteAppend, "replace": m.eye.RouteReplace, "change": m.eye.RouteChange,
		"prepend": m.eye.RouteAddEcmp, // NLM_F_CREATE alone, which is what `ip route prepend` sends
		"delete":  m.eye.RouteDel,
	}
	verb := rapid.SampledFrom([]string{"add", "append", "prepend", "replace", "change", "delete", "delete"}).Draw(m.rt, "verb")
	r := m.draw()
	if there := m.dump(); verb == "delete" && len(there) > 0 && rapid.Bool().Draw(m.rt, "existing") {
		p := rapid.SampledFrom(there).Draw(m.rt, "there")
		r = &netlink.Route{Dst: ipNet(p.Prefix), Table: testTable, Priority: int(p.Metric), Protocol: netlink.RouteProtocol(p.Protocol)}
	}
	m.done = append(m.done, fmt.Sprintf("%s %v: %v", verb, r, verbs[verb](r)))
}

// draw makes a route of a kind that others may put into our table.
func (m *mirrorRun) draw() *netlink.Route {
	f := rapid.SampledFrom(families()).Draw(m.rt, "family")
	far, src := "198.51.100.77", "192.0.2.1"
	if f.name == "ipv6" {
		far, src = "2001:db8:1::77", "2001:db8::1"
	}
	r := m.route(rapid.SampledFrom([]string{f.prefix, f.prefix2}).Draw(m.rt, "prefix"), "",
		rapid.SampledFrom([]int{114, unix.RTPROT_STATIC}).Draw(m.rt, "protocol"))
	r.Priority = rapid.SampledFrom([]int{0, 0, 7}).Draw(m.rt, "metric")
	hop := func() net.IP {
		return net.ParseIP(rapid.SampledFrom([]string{f.hop, f.hop2, far}).Draw(m.rt, "hop"))
	}
	switch rapid.SampledFrom([]string{"via", "via", "via", "device", "multipath", "blackhole", "source"}).Draw(m.rt, "kind") {
	case "via":
		r.Gw = hop()
	case "source":
		r.Gw, r.Src = hop(), net.ParseIP(src)
	case "device":
		r.LinkIndex, r.Scope = m.near.Attrs().Index, netlink.SCOPE_LINK
	case "blackhole":
		r.Type = unix.RTN_BLACKHOLE
	case "multipath":
		r.MultiPath = []*netlink.NexthopInfo{{Gw: hop()}, {Gw: hop()}}
	}
	return r
}

// follow hands the loop all events up to a mark that is set after the change.
func (m *mirrorRun) follow() {
	m.marks++
	mark := m.route(fmt.Sprintf("203.0.113.%d/32", m.marks), "192.0.2.77", unix.RTPROT_STATIC)
	m.must(m.eye.RouteAdd(mark))
	seen := netip.MustParsePrefix(mark.Dst.String())
	for m.loop.entries[seen] == nil {
		select {
		case batch, ok := <-m.loop.events:
			m.loop.onEvents(context.Background(), batch, ok)
		case <-time.After(patience):
			m.rt.Fatalf("no event of %v after\n%s", seen, strings.Join(m.done, "\n"))
		}
	}
}

func (m *mirrorRun) dump() []FIBRoute {
	routes, err := readTable(context.Background(), m.fib, testTable)
	m.must(err)
	return routes
}

func (m *mirrorRun) compare() {
	if m.loop.nextResync().Before(time.Now().Add(time.Minute)) {
		m.loop.resyncRegularly()
		m.must(m.loop.adopt(context.Background()))
	}
	have := make(map[netip.Prefix][]FIBRoute)
	for _, r := range m.dump() {
		have[r.Prefix] = append(have[r.Prefix], r)
	}
	for _, f := range families() {
		for _, p := range prefixes(f.prefix, f.prefix2) {
			var mirror []FIBRoute
			if e := m.loop.entries[p]; e != nil {
				mirror = m.loop.routes(e)
			}
			if !sameOrder(mirror, have[p]) {
				m.rt.Fatalf("after\n%s\nmirror %+v\ntable  %+v", strings.Join(m.done, "\n"), mirror, have[p])
			}
		}
	}
}

// sameOrder compares two lists of the routes of a prefix, the order within each place included: that of different
// metrics is of no matter.
func sameOrder(a, b []FIBRoute) bool {
	byMetric := func(x, y FIBRoute) int { return int(x.Metric) - int(y.Metric) }
	a, b = slices.Clone(a), slices.Clone(b)
	slices.SortStableFunc(a, byMetric)
	slices.SortStableFunc(b, byMetric)
	return slices.Equal(a, b)
}

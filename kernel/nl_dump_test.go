package kernel

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// TestKernelInterruptedDump changes the links while they are dumped: the result must not pass for complete, and the
// next dump on the same socket must.
func TestKernelInterruptedDump(t *testing.T) {
	n := newTestNet(t)
	for i := range 60 { // their links fill several datagrams
		n.addVeth(fmt.Sprintf("a%d", i), fmt.Sprintf("b%d", i))
	}
	seen := 0
	err := n.fib.query.links(t.Context(), func(Link) {
		if seen++; seen == 1 {
			n.addVeth("late", "later")
		}
	})
	if !errors.Is(err, ErrInterrupted) {
		t.Errorf("error %v after %d links, want %v", err, seen, ErrInterrupted)
	}
	topology, err := n.fib.Topology(t.Context())
	n.must(err)
	if len(topology.Links) != 1+2+2*60+2 { // lo, near and far, those above, the late
		t.Errorf("%d links", len(topology.Links))
	}
}

// TestKernelDumpGivenUp ends a dump by its context and asks for another on the same socket.
func TestKernelDumpGivenUp(t *testing.T) {
	n := newTestNet(t)
	for _, err := range n.fib.Apply(benchOps(n)[:3000]) {
		n.must(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	pieces := 0
	_, err := n.fib.Routes(ctx, testTable, func([]FIBRoute) { pieces++; cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v after %d pieces", err, pieces)
	}
	routes, err := readTable(t.Context(), n.fib, testTable)
	if err != nil || len(routes) != 3000 {
		t.Errorf("%d routes, %v", len(routes), err)
	}
}

// TestKernelErrnos makes sure that the kernel's errnos come through the library.
func TestKernelErrnos(t *testing.T) {
	n := newTestNet(t)
	rule := testConfig().owner().rule(netip.MustParsePrefix("20.1.0.0/16"))
	route := Op{Kind: OpAddRoute, Table: testTable, Route: n.target("20.1.0.0/26", "192.0.2.77")}
	errs := n.fib.Apply([]Op{
		{Kind: OpAddRule, Rule: rule},
		{Kind: OpAddRule, Rule: rule},
		route,
		{Kind: OpDeleteRule, Rule: rule},
		{Kind: OpDeleteRule, Rule: rule},
		route,
	})
	for i, want := range []error{nil, unix.EEXIST, nil, nil, unix.ENOENT, unix.EEXIST} {
		var refused *OpError
		if !errors.Is(errs[i], want) || want != nil && !errors.As(errs[i], &refused) {
			t.Errorf("operation %d: %v, want %v", i, errs[i], want)
		}
	}
	for _, a := range []string{"203.0.113.1", "2001:db8:ffff::1"} {
		if got := n.fib.Lookup([]netip.Addr{netip.MustParseAddr(a)}); !errors.Is(got[0].Err, unix.ENETUNREACH) {
			t.Errorf("lookup of %s: %+v", a, got)
		}
	}
}

// TestKernelTopologyFollowsEvents compares what events tell of addresses of several kinds with what a dump tells:
// were they read differently, an address that goes would not be found.
func TestKernelTopologyFollowsEvents(t *testing.T) {
	n := newTestNet(t)
	events, err := n.fib.Watch(t.Context(), testTable)
	n.must(err)
	peer := testAddr(t, "192.0.2.200/32")
	peer.Peer = mustCIDR("198.51.100.9/32")
	peer6 := testAddr(t, "2001:db8:7::1/128")
	peer6.Peer = mustCIDR("2001:db8:8::1/128")
	added := []*netlink.Addr{testAddr(t, "203.0.113.1/25"), testAddr(t, "2001:db8:9::1/64"), peer, peer6}
	for _, a := range added {
		n.must(n.eye.AddrAdd(n.near, a))
	}
	told := Topology{Links: make(map[int32]Link)}
	for len(told.Addresses) < len(added) {
		for _, e := range <-events {
			if e.Kind == EventAddress && !e.Gone && !e.Address.Local.IsLinkLocalUnicast() {
				told.setAddress(e.Address)
			}
		}
	}
	dumped, err := n.fib.Topology(t.Context())
	n.must(err)
	for _, a := range told.Addresses {
		if !slices.Contains(dumped.Addresses, a) {
			t.Errorf("an event told of %+v, a dump of %+v", a, dumped.Addresses)
		}
	}
}

// TestKernelForeignRulesAreSeen reads rules that the library's own list cannot tell from ours.
func TestKernelForeignRulesAreSeen(t *testing.T) {
	n := newTestNet(t)
	o := testConfig().owner()
	blackhole := netlinkRule(o.rule(netip.MustParsePrefix("20.1.0.0/16")))
	blackhole.Type = unix.FR_ACT_BLACKHOLE
	n.must(n.eye.RuleAdd(blackhole))
	unsigned := netlinkRule(o.rule(netip.MustParsePrefix("20.2.0.0/16")))
	unsigned.Protocol = 0
	n.must(n.eye.RuleAdd(unsigned))
	rules, err := n.fib.Rules(t.Context())
	n.must(err)
	for _, r := range rules {
		if o.ownsRule(r) {
			t.Errorf("taken for ours: %+v", r)
		}
	}
}

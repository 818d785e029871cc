package kernel

import (
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// The benchmarks here set what we do ourselves beside what the library offers for it, on the same kernel: the ratios
// in docs/design/netlink.md. Each has its namespace and its sockets on the thread of one goroutine, so it has no
// sub-benchmarks.

const compareRoutes = 10_000

func libraryRoutes(n *testNet) []*netlink.Route {
	routes := make([]*netlink.Route, compareRoutes)
	for i, c := range blocks(compareRoutes) {
		routes[i] = n.route(c.Route.Prefix.String(), c.Route.NextHop.String(), 114)
		routes[i].LinkIndex = n.near.Attrs().Index
	}
	return routes
}

func perRoute(b *testing.B) {
	b.Helper()
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/compareRoutes, "ns/route")
}

func BenchmarkWriteLibrary(b *testing.B) {
	n := newTestNet(b)
	routes := libraryRoutes(n)
	ops := benchOps(n)[:compareRoutes]
	b.ReportAllocs()
	for b.Loop() {
		for _, r := range routes {
			n.must(n.eye.RouteAdd(r))
		}
		b.StopTimer()
		applyInSizes(b, n.fib, ops, writeBatch, OpDeleteRoute)
		b.StartTimer()
	}
	perRoute(b)
}

func BenchmarkWriteOwn(b *testing.B) {
	n := newTestNet(b)
	ops := benchOps(n)[:compareRoutes]
	b.ReportAllocs()
	for b.Loop() {
		applyInSizes(b, n.fib, ops, writeBatch, OpAddRoute)
		b.StopTimer()
		applyInSizes(b, n.fib, ops, writeBatch, OpDeleteRoute)
		b.StartTimer()
	}
	perRoute(b)
}

// BenchmarkDumpLibrary is BenchmarkDump with netlink.Handle.
func BenchmarkDumpLibrary(b *testing.B) {
	n := newTestNet(b)
	applyInSizes(b, n.fib, benchOps(n), 2000, OpAddRoute)
	filter := &netlink.Route{Table: testTable}
	b.ReportAllocs()
	for b.Loop() {
		count := 0
		err := n.eye.RouteListFilteredIter(unix.AF_INET, filter, netlink.RT_FILTER_TABLE, func(netlink.Route) bool {
			count++
			return true
		})
		if err != nil || count != benchRoutes {
			b.Fatalf("%d routes, %v", count, err)
		}
	}
}

// BenchmarkEventsLibrary reads the events of a bulk change as netlink.RouteSubscribe does.
func BenchmarkEventsLibrary(b *testing.B) {
	n := newTestNet(b)
	ops := benchOps(n)[:compareRoutes]
	s, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_IPV4_ROUTE)
	n.must(err)
	defer s.Close()
	n.must(s.SetReceiveBufferSize(watchBuffer, true))
	kind := OpAddRoute
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		applyInSizes(b, n.fib, ops, writeBatch, kind)
		kind = otherKind(kind)
		b.StartTimer()
		for got := 0; got < compareRoutes; {
			messages, _, err := s.Receive()
			n.must(err)
			for _, m := range messages {
				_, err := nl.ParseRouteAttr(m.Data[unix.SizeofRtMsg:])
				n.must(err)
				got++
			}
		}
	}
	perRoute(b)
}

func BenchmarkEventsOwn(b *testing.B) {
	n := newTestNet(b)
	ops := benchOps(n)[:compareRoutes]
	filter, err := eventFilter(noPort, testTable)
	n.must(err)
	w := n.fib.takeWatch()
	defer w.file.Close()
	n.must(w.join(filter, unix.RTNLGRP_IPV4_ROUTE))
	kind := OpAddRoute
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		applyInSizes(b, n.fib, ops, writeBatch, kind)
		kind = otherKind(kind)
		b.StartTimer()
		for got := 0; got < compareRoutes; {
			n.must(w.read(eventBatch, func(m message) {
				if e, ok := decodeEvent(m, testTable); ok && e.Kind == EventRoute {
					got++
				}
			}))
		}
	}
	perRoute(b)
}

func otherKind(k OpKind) OpKind {
	if k == OpAddRoute {
		return OpDeleteRoute
	}
	return OpAddRoute
}

// BenchmarkLookupLibrary asks for one route at a time.
func BenchmarkLookupLibrary(b *testing.B) {
	n := newTestNet(b)
	b.ReportAllocs()
	for b.Loop() {
		_, err := n.eye.RouteGet(net.ParseIP("192.0.2.77"))
		n.must(err)
	}
}

// BenchmarkLookupOwn asks for as many as the sampled checks do; the time is that of one.
func BenchmarkLookupOwn(b *testing.B) {
	n := newTestNet(b)
	addrs := slices.Repeat([]netip.Addr{netip.MustParseAddr("192.0.2.77")}, lookupBatch)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if i%lookupBatch == 0 {
			n.must(n.fib.Lookup(addrs)[0].Err)
		}
	}
}

package peering_test

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"routed/peering"
)

// The benchmarks know a Mesh from outside only: what one step costs the loop that owns it, and what a table of 100,000
// paths takes. Cost has to follow the change: one block at 100,000 costs what it costs at 1,000.

const (
	benchPaths  = 100_000
	benchUpdate = 500 // announcements in an Update, about as many as a BGP message holds and a speaker hands over at once
)

func benchNode() netip.Addr { return netip.AddrFrom4([4]byte{9, 111, 255, 77}) }

func benchBlock(i int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(20 + i>>18), byte(i >> 10), byte(i >> 2), byte(i << 6)}), 26)
}

// benchMesh is a mesh with one remote peer, whose session is up, and count blocks of it. It converged long ago.
func benchMesh(tb testing.TB, count int) (m *peering.Mesh, now time.Time) {
	tb.Helper()
	now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	self := netip.AddrFrom4([4]byte{9, 111, 255, 21})
	m = peering.NewMesh(peering.Config{
		Cluster: "cluster-1", ASN: 64512, PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")},
		NodeAddrs: []netip.Addr{self}, Retention: time.Hour, ConvergenceDeadline: time.Minute, OwnGrace: 2 * time.Second,
	}, now)
	m.SetRoster(now, peering.Roster{Clusters: []peering.Cluster{{
		Name: "cluster-2", PodCIDRs: []netip.Prefix{netip.MustParsePrefix("20.0.0.0/6")},
		Lengths: peering.Lengths{IPv4: peering.Range{Min: 20, Max: 32}},
		Peers: []peering.Peer{{
			Addr: benchNode(), Role: peering.RoleRemote, Cluster: "cluster-2", ASN: 64512, Families: peering.IPv4,
		}},
	}}})
	m.Apply(now, peering.Update{Peer: benchNode(), Session: peering.SessionUp, Families: peering.IPv4})
	wanted := 0
	for _, u := range benchFeed(count) {
		wanted += len(m.Apply(now, u).Routes)
	}
	if wanted != count {
		tb.Fatalf("%d of %d blocks are wanted", wanted, count)
	}
	m.Apply(now, peering.Update{Peer: benchNode(), EndOfRIB: peering.IPv4})
	now = now.Add(time.Hour)
	m.Tick(now)
	return m, now
}

// benchFeed is a peer's first feed. Each call makes it anew: a Mesh owns the slices it is given.
func benchFeed(count int) []peering.Update {
	var feed []peering.Update
	for from := 0; from < count; from += benchUpdate {
		u := peering.Update{Peer: benchNode()}
		for i := from; i < min(from+benchUpdate, count); i++ {
			u.Announce = append(u.Announce, peering.Announcement{Prefix: benchBlock(i), NextHop: benchNode(), ASPath: []uint32{}})
		}
		feed = append(feed, u)
	}
	return feed
}

// BenchmarkFeed is the first feed of 100,000 blocks into an empty mesh.
func BenchmarkFeed(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		m, now := benchMesh(b, 0)
		feed := benchFeed(benchPaths)
		runtime.GC()
		b.StartTimer()
		for _, u := range feed {
			m.Apply(now, u)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchPaths, "ns/path")
}

// BenchmarkFeedAgain is the same feed once more, of which nothing is new: what a peer sends that lost its session.
func BenchmarkFeedAgain(b *testing.B) {
	m, now := benchMesh(b, benchPaths)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		feed := benchFeed(benchPaths)
		b.StartTimer()
		for _, u := range feed {
			if ch := m.Apply(now, u); len(ch.Routes) != 0 {
				b.Fatalf("%d changes by a feed that brings nothing new", len(ch.Routes))
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchPaths, "ns/path")
}

// BenchmarkOneBlock announces one new block and withdraws it, in a mesh that is full already.
func BenchmarkOneBlock(b *testing.B) {
	for _, count := range []int{1000, benchPaths} {
		b.Run(fmt.Sprintf("at-%d", count), func(b *testing.B) {
			m, now := benchMesh(b, count)
			block := benchBlock(count)
			b.ReportAllocs()
			for b.Loop() {
				up := m.Apply(now, peering.Update{
					Peer: benchNode(), Announce: []peering.Announcement{{Prefix: block, NextHop: benchNode(), ASPath: []uint32{}}},
				})
				down := m.Apply(now, peering.Update{Peer: benchNode(), Withdraw: []netip.Prefix{block}})
				if len(up.Routes) != 1 || len(down.Routes) != 1 {
					b.Fatalf("%d and %d changes", len(up.Routes), len(down.Routes))
				}
			}
		})
	}
}

// BenchmarkSessionDown loses a session that brought 100,000 blocks: all turn stale, none is lost.
func BenchmarkSessionDown(b *testing.B) {
	m, now := benchMesh(b, benchPaths)
	b.ReportAllocs()
	for b.Loop() {
		if ch := m.Apply(now, peering.Update{Peer: benchNode(), Session: peering.SessionDown}); len(ch.Routes) != 0 {
			b.Fatalf("%d routes lost with the session", len(ch.Routes))
		}
		b.StopTimer()
		m.Apply(now, peering.Update{Peer: benchNode(), Session: peering.SessionUp, Families: peering.IPv4})
		for _, u := range benchFeed(benchPaths) {
			m.Apply(now, u)
		}
		m.Apply(now, peering.Update{Peer: benchNode(), EndOfRIB: peering.IPv4})
		b.StartTimer()
	}
}

// BenchmarkExpire ends the retention of 100,000 blocks at once.
func BenchmarkExpire(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		m, now := benchMesh(b, benchPaths)
		m.Apply(now, peering.Update{Peer: benchNode(), Session: peering.SessionDown})
		now = now.Add(time.Hour)
		b.StartTimer()
		if ch := m.Tick(now); len(ch.Routes) != benchPaths {
			b.Fatalf("%d routes expired", len(ch.Routes))
		}
	}
}

// BenchmarkStatus takes a picture of a mesh with 100,000 blocks, and lists them.
func BenchmarkStatus(b *testing.B) {
	m, _ := benchMesh(b, benchPaths)
	b.Run("status", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			m.Status()
		}
	})
	b.Run("routes", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			n := 0
			for range m.Routes() {
				n++
			}
			if n != benchPaths {
				b.Fatalf("%d routes", n)
			}
		}
	})
}

// BenchmarkMemory is what a mesh holds for each of 100,000 blocks. One iteration is enough: -benchtime 1x.
func BenchmarkMemory(b *testing.B) {
	for b.Loop() {
		before := heap()
		m, _ := benchMesh(b, benchPaths)
		b.ReportMetric(float64(heap()-before)/benchPaths, "B/path")
		runtime.KeepAlive(m)
	}
}

func heap() uint64 {
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}

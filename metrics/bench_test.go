package metrics

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"routed/kernel"
	"routed/peering"
)

const (
	benchPeers   = 1_000
	benchBlocks  = 100   // of each
	benchRefused = 1_024 // of each, where they are hostile: as many as a Mesh keeps
)

func benchPeer(i int) netip.Addr { return netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}) }

func benchBlock(i int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(20 + i>>18), byte(i >> 10), byte(i >> 2), byte(i << 6)}), 26)
}

// benchMesh is a mesh with 1,000 sessions and 100,000 blocks; each peer announces as many prefixes besides that are refused.
func benchMesh(b *testing.B, refused int) *peering.Mesh {
	b.Helper()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	m := peering.NewMesh(peering.Config{
		Cluster: "cluster-1", ASN: 64512, PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")},
		NodeAddrs: []netip.Addr{netip.MustParseAddr("9.111.255.21")}, Retention: time.Hour, ConvergenceDeadline: time.Minute,
	}, now)
	remote := peering.Cluster{
		Name: "cluster-2", PodCIDRs: []netip.Prefix{netip.MustParsePrefix("20.0.0.0/6")},
		Lengths: peering.Lengths{IPv4: peering.Range{Min: 20, Max: 32}}, Limits: peering.Limits{PerNode: 256, Total: 200_000},
	}
	for i := range benchPeers {
		remote.Peers = append(remote.Peers, peering.Peer{
			Addr: benchPeer(i), Role: peering.RoleRemote, Cluster: remote.Name, Name: fmt.Sprintf("worker-%d", i), ASN: 64512, Families: peering.IPv4,
		})
	}
	m.SetRoster(now, peering.Roster{Clusters: []peering.Cluster{remote}})
	for i := range benchPeers {
		u := peering.Update{Peer: benchPeer(i), Session: peering.SessionUp, Families: peering.IPv4}
		m.Apply(now, u)
		u = peering.Update{Peer: benchPeer(i), EndOfRIB: peering.IPv4}
		for j := range benchBlocks {
			u.Announce = append(u.Announce, peering.Announcement{Prefix: benchBlock(i*benchBlocks + j), NextHop: benchPeer(i), ASPath: []uint32{}})
		}
		for j := range refused {
			foreign := netip.PrefixFrom(netip.AddrFrom4([4]byte{77, byte(j >> 8), byte(j), 0}), 24)
			u.Announce = append(u.Announce, peering.Announcement{Prefix: foreign, NextHop: benchPeer(i), ASPath: []uint32{}})
		}
		m.Apply(now, u)
	}
	if n := m.Status().RoutesWanted; n != benchPeers*benchBlocks {
		b.Fatalf("%d routes", n)
	}
	return m
}

// BenchmarkScrape is GET /metrics of a daemon with 1,000 sessions and 100,000 routes, the picture of the mesh included.
func BenchmarkScrape(b *testing.B) {
	for name, refused := range map[string]int{"sound": 0, "hostile": benchRefused} {
		m := benchMesh(b, refused)
		status := kernel.Status{Adopted: true, Routes: []kernel.GroupStatus{{Group: "cluster-2", Wanted: benchPeers * benchBlocks}}}
		registry, err := NewRegistry(Build{Version: "bench"}, NewTimings(), NewCollector(func() (Snapshot, error) {
			return Snapshot{Mesh: m.Status(), Kernel: status}, nil
		}, Options{}))
		if err != nil {
			b.Fatal(err)
		}
		handler := promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				w := httptest.NewRecorder()
				handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
				if n, err := io.Copy(io.Discard, w.Body); err != nil || n < 100*benchPeers {
					b.Fatalf("%d bytes, %v", n, err)
				}
			}
		})
		b.Run(name+"-picture", func(b *testing.B) { // what of it is a turn of the mesh's loop
			b.ReportAllocs()
			for b.Loop() {
				m.Status()
			}
		})
	}
}

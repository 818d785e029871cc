package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"routed/page"
	"routed/peering"
)

// Before the kernel's table is read the mesh loop does not turn, and the page says so at once.
func TestStatusPageOfADaemonThatStarts(t *testing.T) {
	r := newRig(t, "{hostsFile: hosts}").start()
	h, err := page.NewHandler(page.Config{Read: r.look, Within: time.Minute, Log: r.log})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", http.NoBody))
	if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "has not been read yet") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// A page shows sums: with a hundred times the routes it costs the same.
func BenchmarkStatusPage(b *testing.B) {
	const nodes = 500
	for _, routes := range []int{nodes, 200 * nodes} {
		b.Run(fmt.Sprintf("routes=%d", routes), func(b *testing.B) {
			r := largeRig(b, nodes, routes/nodes)
			p, err := page.New()
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				mesh, err := r.meshStatus(b.Context())
				if err != nil {
					b.Fatal(err)
				}
				speaker := r.daemon.speaker.Status()
				if err := p.Write(io.Discard, r.statusOf(mesh, speaker), peersOf(mesh, speaker), 0); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// largeRig is a daemon that holds so many blocks of each of so many remote nodes.
func largeRig(tb testing.TB, nodes, blocks int) *rig {
	tb.Helper()
	r := newRig(tb, "{hostsFile: hosts}")
	var hosts strings.Builder
	addrs := make([]netip.Addr, nodes)
	for i := range addrs {
		addrs[i] = netip.AddrFrom4([4]byte{9, 111, byte(i / 200), byte(1 + i%200)})
		fmt.Fprintf(&hosts, "%s node-%d\n", addrs[i], i)
	}
	r.write("hosts", hosts.String())
	r.write("routed.yaml", strings.Replace(fmt.Sprintf(rigConfig, "{hostsFile: hosts}"), "20.1.0.0/16", "20.0.0.0/8", 1))
	r.start()
	for i, addr := range addrs {
		u := peering.Update{Peer: addr, Session: peering.SessionUp, Families: peering.IPv4, EndOfRIB: peering.IPv4}
		for j := range blocks {
			block := netip.PrefixFrom(netip.AddrFrom4([4]byte{20, byte(i / 256), byte(i), byte(j)}), 32)
			u.Announce = append(u.Announce, peering.Announcement{Prefix: block, NextHop: addr, ASPath: []uint32{}})
		}
		r.loop.feed(u)
	}
	r.eventually(func() error {
		var wanted int
		err := r.loop.do(context.Background(), func(time.Time) { wanted = r.loop.mesh.Status().RoutesWanted })
		if err == nil && wanted != nodes*blocks {
			err = fmt.Errorf("%d routes, want %d", wanted, nodes*blocks)
		}
		return err
	})
	return r
}

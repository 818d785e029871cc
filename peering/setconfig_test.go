package peering

import (
	"net/netip"
	"testing"
	"time"
)

// A shorter retention ends what has already outlived it, a longer one holds for what is stale now.
func TestSetRetention(t *testing.T) {
	for _, tc := range []struct {
		name    string
		d       time.Duration
		kept    bool // at once
		expires time.Duration
	}{
		{"the same", time.Hour, true, time.Hour},
		{"shorter, over already", 10 * time.Minute, false, 0},
		{"shorter, not over", 45 * time.Minute, true, 45 * time.Minute},
		{"longer", 2 * time.Hour, true, 2 * time.Hour},
	} {
		t.Run(tc.name, func(t *testing.T) {
			x := newTester(t, nodeA)
			x.up(nodeA, blockA)
			x.eor(nodeA)
			x.down(nodeA)
			lost := x.now
			x.after(30 * time.Minute)
			x.take(x.m.SetRetention(x.now, tc.d))
			if !tc.kept {
				x.want(nil)
				return
			}
			x.want(map[netip.Prefix]netip.Addr{blockA: nodeA})
			x.after(lost.Add(tc.expires).Sub(x.now) - time.Second)
			x.want(map[netip.Prefix]netip.Addr{blockA: nodeA})
			if next := x.m.nextExpiry; next.After(lost.Add(tc.expires)) {
				t.Errorf("to be looked at %s after the loss, want %s", next.Sub(lost), tc.expires)
			}
			x.after(time.Second)
			x.want(nil)
		})
	}
}

// A range that services leave can become the pods' of another cluster by the same reload.
func TestSetServiceCIDRs(t *testing.T) {
	services, roster := pfx("20.2.0.0/16"), testRoster(nodeA)
	moved := pfx("20.2.47.128/26")
	x := newTester(t, nodeA)
	x.m.SetServiceCIDRs([]netip.Prefix{services})
	x.up(nodeA, moved)
	x.want(nil)
	roster.Clusters[0].PodCIDRs = append(roster.Clusters[0].PodCIDRs, services)
	x.take(x.m.SetRoster(x.now, roster))
	x.want(nil)
	x.m.SetServiceCIDRs(nil)
	roster = testRoster(nodeA)
	x.take(x.m.SetRoster(x.now, roster))
	roster.Clusters[0].PodCIDRs = append(roster.Clusters[0].PodCIDRs, services)
	x.take(x.m.SetRoster(x.now, roster))
	x.want(map[netip.Prefix]netip.Addr{moved: nodeA})
}

package peering

import (
	"maps"
	"net/netip"
	"testing"
	"time"
)

// The reflectors of cluster-2. Their addresses come after those of every node.
var (
	reflector1 = ip("9.111.255.251")
	reflector2 = ip("9.111.255.252")
)

// reflectedRoster has reflectors in the place of the nodes of cluster-2.
func reflectedRoster(reflectors ...netip.Addr) Roster {
	r := testRoster(reflectors...)
	c := &r.Clusters[0]
	c.NodeCIDRs = []netip.Prefix{pfx("9.111.255.0/24"), pfx("fd00:9::/64")}
	for i := range c.Peers {
		c.Peers[i].Role = RoleReflector
	}
	return r
}

func newReflectedTester(t *testing.T) *tester {
	t.Helper()
	x := newTester(t)
	x.take(x.m.SetRoster(x.now, reflectedRoster(reflector1, reflector2)))
	return x
}

// seed is what both reflectors pass on: a block of each of two nodes.
func seed() []Announcement {
	return append(announce(nodeA, blockA), announce(nodeB, blockB)...)
}

func (x *tester) reflect(reflector netip.Addr, paths ...Announcement) {
	x.Helper()
	x.apply(Update{Peer: reflector, Session: SessionUp, Families: IPv4})
	x.apply(Update{Peer: reflector, Announce: paths})
	x.eor(reflector)
}

func TestReflectorPolicy(t *testing.T) {
	r := reflectedRoster(reflector1)
	r.Clusters[0].PodCIDRs = append(r.Clusters[0].PodCIDRs, pfx("fd00:20::/48"))
	m := NewMesh(testConfig(), t0)
	m.SetRoster(t0, r)
	for _, tc := range []struct {
		name, prefix string
		hop          netip.Addr
		want         Reason
	}{
		{"a node's block", "20.1.47.128/26", nodeA, ""},
		{"a block of a node that the reflector runs on", "20.1.47.128/26", reflector1, ""},
		{"an IPv6 block", "fd00:20::40/122", ip("fd00:9::77"), ""},
		{"no next hop", "20.1.47.128/26", netip.Addr{}, ReasonNoNextHop},
		{"our address as next hop", "20.1.47.128/26", self, ReasonOwnAddress},
		{"a next hop somewhere else", "20.1.47.128/26", ip("8.8.8.8"), ReasonNextHopRange},
		{"a next hop of the other family", "20.1.47.128/26", ip("fd00:9::77"), ReasonNextHopRange},
		{"another family's block", "fd00:20::40/122", nodeA, ReasonNextHopRange},
		{"a block of our own cluster, reflected", "10.1.43.0/26", nodeA, ReasonOwnRange},
		{"another cluster's block", "30.1.0.0/26", nodeA, ReasonOutsideRange},
		{"default route", "0.0.0.0/0", nodeA, ReasonDefault},
		{"too short", "20.1.0.0/16", nodeA, ReasonLength},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v := m.judge(m.peers[reflector1], Announcement{Prefix: pfx(tc.prefix), NextHop: tc.hop, ASPath: []uint32{}})
			if v.reason != tc.want {
				t.Errorf("verdict %q (%s), want %q", v.reason, v.detail, tc.want)
			}
		})
	}
}

func TestTwoReflectorsSayTheSame(t *testing.T) {
	x := newReflectedTester(t)
	x.reflect(reflector1, seed()...)
	x.reflect(reflector2, seed()...)
	x.want(routes{blockA: nodeA, blockB: nodeB})
	c := x.m.Status().Clusters[0]
	if c.Conflicts != 0 || c.Blocks[0].Fresh != 2 {
		t.Errorf("%d conflicts, blocks %+v: one path twice is no conflict and no second block", c.Conflicts, c.Blocks)
	}
	if !c.Reflected || c.NodesKnown != 2 || c.NodesUp != 2 {
		t.Errorf("reflected %v, %d of %d up", c.Reflected, c.NodesUp, c.NodesKnown)
	}
	x.apply(Update{Peer: reflector1, Withdraw: []netip.Prefix{blockA}})
	x.want(routes{blockA: nodeA, blockB: nodeB}) // the other has not heard of it yet
	x.apply(Update{Peer: reflector2, Withdraw: []netip.Prefix{blockA}})
	x.want(routes{blockB: nodeB})
}

func TestReflectorsDisagreeWhileABlockMoves(t *testing.T) {
	x := newReflectedTester(t)
	x.reflect(reflector1, seed()...)
	x.reflect(reflector2, seed()...)
	x.apply(Update{Peer: reflector1, Announce: announce(nodeC, blockA)})
	if c := x.m.Status().Clusters[0]; c.Conflicts != 1 {
		t.Errorf("%d conflicts, want 1: two next hops", c.Conflicts)
	}
	x.apply(Update{Peer: reflector2, Announce: announce(nodeC, blockA)})
	x.want(routes{blockA: nodeC, blockB: nodeB})
	if c := x.m.Status().Clusters[0]; c.Conflicts != 0 {
		t.Errorf("%d conflicts, want none", c.Conflicts)
	}
}

func TestEitherReflectorIsEnough(t *testing.T) {
	for _, lost := range []netip.Addr{reflector1, reflector2} {
		other := reflector1
		if lost == reflector1 {
			other = reflector2
		}
		t.Run(lost.String(), func(t *testing.T) {
			x := newReflectedTester(t)
			x.reflect(reflector1, seed()...)
			x.reflect(reflector2, seed()...)
			if ch := x.apply(Update{Peer: lost, Session: SessionDown}); len(ch.Routes) != 0 || ch.Events[0].Count != 0 {
				t.Errorf("losing one changed %v and said %+v", ch.Routes, ch.Events)
			}
			if b := x.m.Status().Clusters[0].Blocks[0]; b.Fresh != 2 || b.Stale != 0 {
				t.Errorf("blocks %+v, want both fresh", b)
			}
			x.after(2 * time.Hour) // longer than retention
			x.want(routes{blockA: nodeA, blockB: nodeB})

			x.down(other) // both are lost: retention
			if b := x.m.Status().Clusters[0].Blocks[0]; b.Fresh != 0 || b.Stale != 2 {
				t.Errorf("blocks %+v, want both stale", b)
			}
			x.after(time.Hour - 1)
			x.want(routes{blockA: nodeA, blockB: nodeB})
			x.after(1)
			x.want(routes{})
		})
	}
}

func TestAReflectorComesBackWithOtherRoutes(t *testing.T) {
	x := newReflectedTester(t)
	x.reflect(reflector1, seed()...)
	x.reflect(reflector2, seed()...)
	x.down(reflector1)
	x.down(reflector2)
	x.reflect(reflector1, announce(nodeA, blockA)...) // blockB has gone meanwhile, as far as this one knows
	x.want(routes{blockA: nodeA, blockB: nodeB})      // the other may still have a client that this one lost
	x.reflect(reflector2, announce(nodeA, blockA)...)
	x.want(routes{blockA: nodeA, blockB: nodeB}) // and the clients of both may be late
	if next := x.next(); !next.Equal(x.now.Add(reflectorGrace)) {
		t.Errorf("Next() = %s, want the end of the grace", next)
	}
	x.after(reflectorGrace)
	x.want(routes{blockA: nodeA})
}

func TestTheClientsOfAReflectorComeLate(t *testing.T) {
	x := newReflectedTester(t)
	x.reflect(reflector1, seed()...)
	x.reflect(reflector2, seed()...)
	for _, r := range []netip.Addr{reflector1, reflector2} {
		x.down(r)
	}
	x.reflect(reflector1) // none of its clients is back
	x.after(reflectorGrace - 1)
	x.apply(Update{Peer: reflector1, Announce: announce(nodeA, blockA)})
	x.down(reflector1) // with it goes its End-of-RIB
	x.after(time.Hour - reflectorGrace)
	x.want(routes{blockA: nodeA, blockB: nodeB})
	x.after(reflectorGrace - 1)
	x.want(routes{blockA: nodeA}) // stale since a later loss than blockB
}

func TestAdoptedRoutesOfAReflectedCluster(t *testing.T) {
	adopt := func(t *testing.T) *tester {
		t.Helper()
		x := newReflectedTester(t)
		x.take(x.m.Adopt(x.now, []RouteChange{
			{Prefix: blockA, NextHop: nodeA},
			{Prefix: blockB, NextHop: nodeB},
			{Prefix: pfx("20.1.1.0/26"), NextHop: ip("8.8.8.8")}, // outside nodeCIDRs
			{Prefix: pfx("172.16.0.0/26"), NextHop: nodeA},       // outside podCIDRs
			{Prefix: pfx("20.1.2.0/26"), NextHop: self},          // ours
		}))
		x.want(routes{blockA: nodeA, blockB: nodeB})
		if c := x.m.Status().Clusters[0]; c.Blocks[0].Stale != 2 || c.Conflicts != 0 {
			t.Errorf("blocks %+v, %d conflicts", c.Blocks, c.Conflicts)
		}
		return x
	}
	t.Run("both reflectors say the same", func(t *testing.T) {
		x := adopt(t)
		all := maps.Clone(x.table)
		x.reflect(reflector1, seed()...)
		x.reflect(reflector2, seed()...)
		x.want(all)
		if b := x.m.Status().Clusters[0].Blocks[0]; b.Fresh != 2 || b.Stale != 0 {
			t.Errorf("blocks %+v", b)
		}
	})
	t.Run("a block that is gone goes when both have spoken", func(t *testing.T) {
		x := adopt(t)
		x.reflect(reflector1, announce(nodeA, blockA)...)
		x.after(reflectorGrace)
		x.want(routes{blockA: nodeA, blockB: nodeB})
		x.reflect(reflector2, announce(nodeA, blockA)...)
		x.after(reflectorGrace)
		x.want(routes{blockA: nodeA})
	})
	t.Run("one reflector is gone for good", func(t *testing.T) {
		x := adopt(t)
		x.reflect(reflector1, announce(nodeA, blockA)...)
		x.after(time.Hour)
		x.want(routes{blockA: nodeA})
	})
	t.Run("no reflector comes", func(t *testing.T) {
		x := adopt(t)
		x.after(time.Hour - 1)
		x.want(routes{blockA: nodeA, blockB: nodeB})
		x.after(1)
		x.want(routes{})
	})
	t.Run("the cluster leaves the roster", func(t *testing.T) {
		x := adopt(t)
		x.take(x.m.SetRoster(x.now, testRoster()))
		x.want(routes{})
	})
}

func TestConvergenceWaitsForBothReflectors(t *testing.T) {
	x := newReflectedTester(t)
	x.up(bird, ownBlock)
	x.eor(bird)
	x.reflect(reflector1, seed()...)
	if x.m.Converged() {
		t.Fatal("converged although the other may know more")
	}
	x.reflect(reflector2, seed()...)
	if !x.m.Converged() {
		t.Fatal("not converged")
	}
}

func TestLimitsBehindReflectors(t *testing.T) {
	x := newReflectedTester(t)
	r := reflectedRoster(reflector1, reflector2)
	r.Clusters[0].Limits = Limits{PerNode: 2, Total: 3}
	x.take(x.m.SetRoster(x.now, r))
	a := []netip.Prefix{pfx("20.1.0.0/26"), pfx("20.1.0.64/26"), pfx("20.1.0.128/26")}
	b := []netip.Prefix{pfx("20.1.1.0/26"), pfx("20.1.1.64/26")}
	want := routes{a[0]: nodeA, a[1]: nodeA, b[0]: nodeB}
	for _, reflector := range []netip.Addr{reflector1, reflector2} {
		x.reflect(reflector, append(announce(nodeA, a...), announce(nodeB, b...)...)...)
		x.want(want) // what both announce counts once
	}
	for _, p := range x.m.Status().Clusters[0].Peers {
		if p.Rejected[ReasonLimitNode] != 1 || p.Rejected[ReasonLimitCluster] != 1 || p.Accepted[0] != 3 {
			t.Errorf("%s: rejected %v, accepted %v", p.Peer.Addr, p.Rejected, p.Accepted)
		}
	}
	if c := x.m.Status().Clusters[0]; c.Prefixes != 3 || c.Fullest != 2 {
		t.Errorf("%d prefixes, %d of the node that has the most, want 3 and 2", c.Prefixes, c.Fullest)
	}
	// A block that moves to a node which has its share already is one too many there.
	x.apply(Update{Peer: reflector1, Announce: announce(nodeA, b[0])})
	if got := x.m.Status().Clusters[0].Peers[0].Rejected[ReasonLimitNode]; got != 2 {
		t.Errorf("%d refused for the node's limit, want 2", got)
	}
	x.want(want)
}

func TestWiderNodeCIDRsAdmitAndNarrowerOnesExclude(t *testing.T) {
	x := newReflectedTester(t)
	x.reflect(reflector1, append(seed(), announce(ip("9.112.0.1"), pfx("20.1.3.0/26"))...)...)
	x.want(routes{blockA: nodeA, blockB: nodeB})
	r := reflectedRoster(reflector1, reflector2)
	r.Clusters[0].NodeCIDRs = []netip.Prefix{pfx("9.112.0.0/24"), netip.PrefixFrom(nodeA, 32)}
	x.take(x.m.SetRoster(x.now, r))
	x.want(routes{blockA: nodeA, pfx("20.1.3.0/26"): ip("9.112.0.1")})
}

func TestTheBrakeSeesNodesBehindReflectors(t *testing.T) {
	cfg := testConfig()
	cfg.Brake = Brake{SharePercent: 50, Hold: 30 * time.Second}
	for _, tc := range []struct {
		name string
		gone []netip.Prefix // withdrawn by both reflectors
		held int
	}{
		{"every node", []netip.Prefix{blockA, blockB}, 2},
		{"one of them", []netip.Prefix{blockA}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			x := &tester{T: t, m: NewMesh(cfg, t0), now: t0, table: map[netip.Prefix]netip.Addr{}}
			x.take(x.m.SetRoster(x.now, reflectedRoster(reflector1, reflector2)))
			x.reflect(reflector1, seed()...)
			x.reflect(reflector2, seed()...)
			x.withdraw(reflector1, tc.gone...)
			x.wantHeld(0) // the other reflector has them all
			x.withdraw(reflector2, tc.gone...)
			x.wantHeld(tc.held)
		})
	}
	t.Run("reflectors that restart without their clients", func(t *testing.T) {
		x := &tester{T: t, m: NewMesh(cfg, t0), now: t0, table: map[netip.Prefix]netip.Addr{}}
		x.take(x.m.SetRoster(x.now, reflectedRoster(reflector1, reflector2)))
		for _, r := range []netip.Addr{reflector1, reflector2} {
			x.reflect(r, seed()...)
		}
		for _, r := range []netip.Addr{reflector1, reflector2} {
			x.down(r)
		}
		for _, r := range []netip.Addr{reflector1, reflector2} {
			x.reflect(r)
		}
		x.wantHeld(0)
		x.after(reflectorGrace)
		x.wantHeld(2)
		x.after(10 * time.Second)
		x.apply(Update{Peer: reflector2, Announce: seed()})
		x.wantHeld(0)
		x.want(routes{blockA: nodeA, blockB: nodeB})
	})
}

package peering

import (
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var sixA = pfx("fd00:20::40/122")

// other is the IPv6 address of a node in these tests.
func other(a netip.Addr) netip.Addr {
	v4, v6 := a.As4(), [16]byte{0: 0xfd}
	copy(v6[12:], v4[:])
	return netip.AddrFrom16(v6)
}

// dualRoster is testRoster with nodes of both families, whose session carries both.
func dualRoster(nodes ...netip.Addr) Roster {
	r := testRoster(nodes...)
	c := &r.Clusters[0]
	c.PodCIDRs = append(c.PodCIDRs, pfx("fd00:20::/48"))
	for i := range c.Peers {
		c.Peers[i].Families, c.Peers[i].Other = IPv4|IPv6, other(c.Peers[i].Addr)
	}
	return r
}

// twoSessions is dualRoster with a session for each family.
func twoSessions(nodes ...netip.Addr) Roster {
	r := dualRoster(nodes...)
	c := &r.Clusters[0]
	for i, p := range c.Peers {
		p.Name = p.Addr.String()
		v4, v6 := p, p
		v4.Families, v4.Other = IPv4, netip.Addr{}
		v6.Families, v6.Addr, v6.Other = IPv6, p.Other, netip.Addr{}
		c.Peers[i] = v4
		c.Peers = append(c.Peers, v6)
	}
	return r
}

// upBoth brings a session with both families up, each block with the next hop of its family.
func (x *tester) upBoth(peer netip.Addr, blocks ...netip.Prefix) {
	u := Update{Peer: peer, Session: SessionUp, Families: IPv4 | IPv6}
	for _, b := range blocks {
		hop := peer
		if b.Addr().Is6() {
			hop = other(peer)
		}
		u.Announce = append(u.Announce, announce(hop, b)...)
	}
	x.apply(u)
}

// A node whose other address no list has may name one inside nodeCIDRs, and none when there are none.
func TestNextHopOfTheOtherFamilyInsideNodeCIDRs(t *testing.T) {
	for _, tc := range []struct {
		name  string
		cidrs []netip.Prefix
		hop   netip.Addr
		want  Reason
	}{
		{"inside", []netip.Prefix{pfx("fd00::/64")}, other(nodeA), ""},
		{"outside", []netip.Prefix{pfx("fd00:1::/64")}, other(nodeA), ReasonNextHopRange},
		{"no range", nil, other(nodeA), ReasonNextHopRange},
		{"IPv4", []netip.Prefix{pfx("9.0.0.0/8")}, nodeA, ReasonNextHopRange},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := dualRoster(nodeA)
			r.Clusters[0].NodeCIDRs, r.Clusters[0].Peers[0].Other = tc.cidrs, netip.Addr{}
			m := NewMesh(testConfig(), t0)
			m.SetRoster(t0, r)
			v := m.judge(m.peers[nodeA], Announcement{Prefix: sixA, NextHop: tc.hop, ASPath: []uint32{}})
			if v.reason != tc.want {
				t.Errorf("verdict %q (%s), want %q", v.reason, v.detail, tc.want)
			}
			own := m.judge(m.peers[nodeA], Announcement{Prefix: blockA, NextHop: nodeB, ASPath: []uint32{}})
			if own.reason != ReasonNextHop {
				t.Errorf("in its own family a node may name another: verdict %q", own.reason)
			}
		})
	}
}

// What was refused for want of the address comes when a list has it: the peer will not say it again.
func TestTheOtherAddressIsLearnedLater(t *testing.T) {
	x := newTester(t, nodeA)
	r := dualRoster(nodeA)
	r.Clusters[0].Peers[0].Other = netip.Addr{}
	x.take(x.m.SetRoster(x.now, r))
	x.upBoth(nodeA, blockA, sixA)
	x.want(routes{blockA: nodeA})
	x.take(x.m.SetRoster(x.now, dualRoster(nodeA)))
	x.want(routes{blockA: nodeA, sixA: other(nodeA)})
}

// A restart adopts the routes of both families, whichever way the sessions carry them.
func TestAdoptBothFamilies(t *testing.T) {
	left := []RouteChange{{Prefix: blockA, NextHop: nodeA}, {Prefix: sixA, NextHop: other(nodeA)}}
	unknown := dualRoster(nodeA, nodeB)
	unknown.Clusters[0].NodeCIDRs = []netip.Prefix{pfx("fd00::/64")}
	for i := range unknown.Clusters[0].Peers {
		unknown.Clusters[0].Peers[i].Other = netip.Addr{}
	}
	for name, r := range map[string]Roster{
		"one session": dualRoster(nodeA, nodeB), "two sessions": twoSessions(nodeA, nodeB), "nodeCIDRs": unknown,
	} {
		t.Run(name, func(t *testing.T) {
			x := newTester(t)
			x.take(x.m.SetRoster(x.now, r))
			x.take(x.m.Adopt(x.now, left))
			x.want(routes{blockA: nodeA, sixA: other(nodeA)})
		})
	}
}

// Two sessions with a node become one and two again without a route being lost in between.
func TestSessionsBecomeOneAndTwoAgain(t *testing.T) {
	both := routes{blockA: nodeA, sixA: other(nodeA)}
	x := newTester(t)
	x.take(x.m.SetRoster(x.now, twoSessions(nodeA)))
	x.up(nodeA, blockA)
	x.apply(Update{Peer: other(nodeA), Session: SessionUp, Families: IPv6, Announce: announce(other(nodeA), sixA)})
	x.want(both)
	if c := x.m.Status().Clusters[0]; c.NodesKnown != 1 || c.NodesUp != 1 {
		t.Errorf("%d of %d nodes are up, want 1 of 1", c.NodesUp, c.NodesKnown)
	}

	x.take(x.m.SetRoster(x.now, dualRoster(nodeA)))
	x.want(both)
	x.down(nodeA)
	x.want(both)
	x.upBoth(nodeA, blockA, sixA)
	x.apply(Update{Peer: nodeA, EndOfRIB: IPv4 | IPv6})
	x.after(2 * time.Hour)
	x.want(both)

	x.take(x.m.SetRoster(x.now, twoSessions(nodeA)))
	x.down(nodeA)
	x.up(nodeA, blockA)
	x.eor(nodeA)
	x.want(both)
	if c := x.m.Status().Clusters[0]; c.NodesKnown != 1 || c.NodesUp != 0 {
		t.Errorf("with one session of two %d of %d nodes are up, want 0 of 1", c.NodesUp, c.NodesKnown)
	}
	x.apply(Update{Peer: other(nodeA), Session: SessionUp, Families: IPv6, EndOfRIB: IPv6})
	x.after(2 * time.Hour)
	x.want(routes{blockA: nodeA}) // the second session does not bring it again
}

// At its limit a node may give a prefix that it has another next hop.
func TestAnotherNextHopIsNoPrefixMore(t *testing.T) {
	x := newTester(t)
	r := dualRoster(nodeA)
	c := &r.Clusters[0]
	c.Limits.PerNode, c.NodeCIDRs, c.Peers[0].Other = 1, []netip.Prefix{pfx("fd00::/64")}, netip.Addr{}
	x.take(x.m.SetRoster(x.now, r))
	for _, hop := range []netip.Addr{other(nodeA), other(nodeB)} {
		x.apply(Update{Peer: nodeA, Session: SessionUp, Families: IPv4 | IPv6, Announce: announce(hop, sixA)})
		x.want(routes{sixA: hop})
	}
}

// TestFamiliesProperties lets nodes of both families do anything in any order, with one session each or two, and changes the
// way in between: no route is lost by that or by a lost session, and none leads to a node of another family.
func TestFamiliesProperties(t *testing.T) {
	nodes := []netip.Addr{nodeA, nodeB}
	rapid.Check(t, func(t *rapid.T) {
		addrs := append(slices.Clone(nodes), other(nodeA), other(nodeB))
		peer, hop := rapid.SampledFrom(addrs), rapid.SampledFrom(append(addrs, self))
		block := rapid.SampledFrom([]netip.Prefix{blockA, blockB, sixA, pfx("fd00:20::80/122"), pfx("20.1.47.130/32"), pfx("fd00:20::45/128")})
		m, now, one := NewMesh(testConfig(), t0), t0, true
		table := map[netip.Prefix]netip.Addr{}
		step := func(ch Changes) {
			for _, r := range ch.Routes {
				if table[r.Prefix] = r.NextHop; !r.NextHop.IsValid() {
					delete(table, r.Prefix)
				}
			}
		}
		keeps := func(t *rapid.T, what string, f func()) {
			before := maps.Clone(table)
			f()
			for p := range before {
				if !table[p].IsValid() {
					t.Fatalf("%s lost %s", what, p)
				}
			}
		}
		roster := func() Roster {
			if one {
				return dualRoster(nodes...)
			}
			return twoSessions(nodes...)
		}
		step(m.SetRoster(now, roster()))
		t.Repeat(map[string]func(*rapid.T){
			"another way": func(t *rapid.T) {
				one = !one
				keeps(t, "another way", func() { step(m.SetRoster(now, roster())) })
			},
			"session": func(t *rapid.T) {
				u := Update{Peer: peer.Draw(t, "peer"), Session: SessionUp, Families: IPv4 | IPv6}
				if rapid.Bool().Draw(t, "down") {
					u.Session = SessionDown
				}
				keeps(t, "a session", func() { step(m.Apply(now, u)) })
			},
			"announce": func(t *rapid.T) {
				step(m.Apply(now, Update{Peer: peer.Draw(t, "peer"), Announce: announce(hop.Draw(t, "hop"), block.Draw(t, "block"))}))
			},
			"withdraw": func(t *rapid.T) {
				step(m.Apply(now, Update{Peer: peer.Draw(t, "peer"), Withdraw: []netip.Prefix{block.Draw(t, "block")}}))
			},
			"end of RIB": func(t *rapid.T) {
				step(m.Apply(now, Update{Peer: peer.Draw(t, "peer"), EndOfRIB: rapid.SampledFrom([]Families{IPv4, IPv6}).Draw(t, "family")}))
			},
			"adopt": func(t *rapid.T) {
				step(m.Adopt(now, []RouteChange{{Prefix: block.Draw(t, "block"), NextHop: hop.Draw(t, "hop")}}))
			},
			"time": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(1, 5000).Draw(t, "seconds")) * time.Second)
				step(m.Tick(now))
			},
			"": func(t *rapid.T) {
				wanted := map[netip.Prefix]netip.Addr{}
				for r := range m.Routes() {
					wanted[r.Prefix] = r.NextHop
					if r.NextHop.Is4() != r.Prefix.Addr().Is4() || r.NextHop == self || r.NextHop != r.Peer && r.NextHop != other(r.Peer) {
						t.Fatalf("an unlawful route is wanted: %+v", r)
					}
				}
				if !maps.Equal(wanted, table) {
					t.Fatalf("the changes add up to %v, the mesh wants %v", table, wanted)
				}
				for _, p := range m.peers {
					stale := 0
					for b := range p.blocks {
						if b.of(p).stale() {
							stale++
						}
					}
					if stale != p.nstale || p.count[0]+p.count[1] != len(p.blocks) {
						t.Fatalf("peer %s counts %d stale of %v, has %d of %d", p.Addr, p.nstale, p.count, stale, len(p.blocks))
					}
				}
			},
		})
	})
}

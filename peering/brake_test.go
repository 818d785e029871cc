package peering

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// brakeTester has a cluster of so many nodes with one block each, everything heard, and a brake of 50 % and 30 s.
func brakeTester(t *testing.T, nodes int) (*tester, []netip.Addr, []netip.Prefix) {
	t.Helper()
	addrs, blocks := make([]netip.Addr, nodes), make([]netip.Prefix, nodes)
	for i := range nodes {
		addrs[i] = netip.AddrFrom4([4]byte{9, 111, 1, byte(i + 1)})
		blocks[i] = netip.PrefixFrom(netip.AddrFrom4([4]byte{20, 1, byte(i + 1), 0}), 26)
	}
	cfg := testConfig()
	cfg.Brake = Brake{SharePercent: 50, Hold: 30 * time.Second}
	x := &tester{T: t, m: NewMesh(cfg, t0), now: t0, table: map[netip.Prefix]netip.Addr{}}
	x.take(x.m.SetRoster(x.now, testRoster(addrs...)))
	x.up(bird)
	x.eor(bird)
	for i, a := range addrs {
		x.up(a, blocks[i])
		x.eor(a)
	}
	return x, addrs, blocks
}

func (x *tester) withdraw(peer netip.Addr, blocks ...netip.Prefix) Changes {
	x.Helper()
	return x.apply(Update{Peer: peer, Withdraw: blocks})
}

func (x *tester) wantHeld(n int) {
	x.Helper()
	c := x.m.Status().Clusters[0]
	if c.Held != n || c.HeldUntil.IsZero() == (n > 0) {
		x.Fatalf("%d held until %s, want %d", c.Held, c.HeldUntil, n)
	}
	marked := 0
	for r := range x.m.Routes() {
		if !r.HeldSince.IsZero() {
			marked++
		}
	}
	if marked != n {
		x.Fatalf("%d routes marked as held, want %d", marked, n)
	}
}

func kinds(ch Changes) []EventKind {
	var out []EventKind
	for _, e := range ch.Events {
		out = append(out, e.Kind)
	}
	return out
}

func TestAClusterThatWithdrawsEverythingIsHeldBack(t *testing.T) {
	for _, nodes := range []int{2, 3, 10, 100} {
		t.Run(fmt.Sprintf("%d nodes", nodes), func(t *testing.T) {
			x, addrs, blocks := brakeTester(t, nodes)
			all := maps.Clone(x.table)
			var events []Event
			for i, a := range addrs { // within a second, each by an UPDATE of its own
				events = append(events, x.withdraw(a, blocks[i]).Events...)
				x.after(time.Second / time.Duration(nodes))
			}
			x.want(all)
			x.wantHeld(nodes)
			if len(events) != 1 || events[0].Kind != EventHeld || !events[0].Warn || events[0].Cluster != "cluster-2" {
				t.Errorf("events %+v, want one that the brake is on", events)
			}
			until := x.m.Status().Clusters[0].HeldUntil
			if next := x.next(); !next.Equal(until) {
				t.Errorf("Next() = %s, want %s", next, until)
			}
			x.after(until.Sub(x.now) - 1)
			x.want(all)
			ch := x.after(1)
			x.want(routes{})
			x.wantHeld(0)
			if len(ch.Events) != 1 || ch.Events[0].Kind != EventReleased || ch.Events[0].Count != nodes || !ch.Events[0].Warn {
				t.Errorf("events %+v, want one that the brake let go of %d", ch.Events, nodes)
			}
			if next := x.next(); !next.IsZero() {
				t.Errorf("Next() = %s, nothing waits any more", next)
			}
		})
	}
}

func TestWithdrawalsThatActAtOnce(t *testing.T) {
	for _, tc := range []struct {
		name  string
		nodes int
		do    func(x *tester, addrs []netip.Addr, blocks []netip.Prefix)
		left  int
	}{
		{"a node of three its only block", 3, func(x *tester, a []netip.Addr, b []netip.Prefix) {
			x.withdraw(a[0], b[0])
		}, 2},
		{"the only node", 1, func(x *tester, a []netip.Addr, b []netip.Prefix) { x.withdraw(a[0], b[0]) }, 0},
		{"one node that has nearly all", 2, func(x *tester, a []netip.Addr, b []netip.Prefix) {
			more := []netip.Prefix{pfx("20.1.100.0/26"), pfx("20.1.101.0/26"), pfx("20.1.102.0/26")}
			x.apply(Update{Peer: a[0], Announce: announce(a[0], more...)})
			x.withdraw(a[0], append(more, b[0])...)
		}, 1},
		{"exactly half of the blocks", 4, func(x *tester, a []netip.Addr, b []netip.Prefix) {
			x.withdraw(a[0], b[0])
			x.withdraw(a[1], b[1])
		}, 2},
		{"node after node, slowly", 4, func(x *tester, a []netip.Addr, b []netip.Prefix) {
			for i := range a {
				x.withdraw(a[i], b[i])
				x.after(fallWindow)
			}
		}, 0},
		{"blocks that move", 4, func(x *tester, a []netip.Addr, b []netip.Prefix) {
			for i := range a[:3] {
				x.withdraw(a[i], b[i])
				x.apply(Update{Peer: a[3], Announce: announce(a[3], b[i])})
			}
		}, 4},
		{"blocks that somebody else announces, too", 4, func(x *tester, a []netip.Addr, b []netip.Prefix) {
			x.apply(Update{Peer: a[3], Announce: announce(a[3], b[:3]...)})
			for i := range a[:3] {
				x.withdraw(a[i], b[i])
			}
		}, 4},
		{"blocks that are renumbered", 4, func(x *tester, a []netip.Addr, b []netip.Prefix) {
			for i := range a {
				x.apply(Update{Peer: a[i], Announce: announce(a[i], netip.PrefixFrom(b[i].Addr().Next(), 32))})
				x.withdraw(a[i], b[i])
			}
		}, 4},
		{"nodes that leave the roster", 3, func(x *tester, a []netip.Addr, _ []netip.Prefix) {
			x.take(x.m.SetRoster(x.now, testRoster(a[0])))
		}, 1},
		{"what a narrower range excludes", 3, func(x *tester, a []netip.Addr, b []netip.Prefix) {
			r := testRoster(a...)
			r.Clusters[0].PodCIDRs = []netip.Prefix{b[0]}
			x.take(x.m.SetRoster(x.now, r))
		}, 1},
		{"retention that runs out", 3, func(x *tester, a []netip.Addr, _ []netip.Prefix) {
			for _, n := range a {
				x.down(n)
			}
			x.after(time.Hour)
		}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			x, addrs, blocks := brakeTester(t, tc.nodes)
			tc.do(x, addrs, blocks)
			if len(x.table) != tc.left {
				t.Errorf("%d routes left, want %d: %v", len(x.table), tc.left, x.table)
			}
			x.wantHeld(0)
		})
	}
}

func TestEveryKindOfWithdrawalIsBraked(t *testing.T) {
	for name, withdraw := range map[string]func(x *tester, node netip.Addr, block netip.Prefix){
		"explicit": func(x *tester, node netip.Addr, block netip.Prefix) { x.withdraw(node, block) },
		"a refused announcement in its place": func(x *tester, node netip.Addr, block netip.Prefix) {
			x.apply(Update{Peer: node, Announce: announce(self, block)})
		},
		"an End-of-RIB without it": func(x *tester, node netip.Addr, _ netip.Prefix) {
			x.down(node)
			x.up(node)
			x.eor(node)
		},
	} {
		t.Run(name, func(t *testing.T) {
			x, addrs, blocks := brakeTester(t, 3)
			all := maps.Clone(x.table)
			for i := range addrs {
				withdraw(x, addrs[i], blocks[i])
			}
			x.want(all)
			x.wantHeld(3)
			x.after(30 * time.Second)
			x.want(routes{})
		})
	}
}

func TestWhatEndsAHeldWithdrawal(t *testing.T) {
	held := func(t *testing.T) (*tester, []netip.Addr, []netip.Prefix) {
		t.Helper()
		x, addrs, blocks := brakeTester(t, 3)
		for i := range addrs {
			x.withdraw(addrs[i], blocks[i])
		}
		x.wantHeld(3)
		return x, addrs, blocks
	}
	t.Run("the node announces it again", func(t *testing.T) {
		x, addrs, blocks := held(t)
		if ch := x.apply(Update{Peer: addrs[0], Announce: announce(addrs[0], blocks[0])}); len(ch.Routes) > 0 {
			t.Errorf("the kernel is told %v about a route that never left", ch.Routes)
		}
		x.wantHeld(2)
		x.after(30 * time.Second)
		x.want(routes{blocks[0]: addrs[0]})
	})
	t.Run("another node announces it", func(t *testing.T) {
		x, addrs, blocks := held(t)
		x.apply(Update{Peer: addrs[1], Announce: announce(addrs[1], blocks[0])})
		x.wantHeld(2)
		x.after(30 * time.Second)
		x.want(routes{blocks[0]: addrs[1]})
	})
	t.Run("all are announced again", func(t *testing.T) {
		x, addrs, blocks := held(t)
		var last Changes
		for i := range addrs {
			last = x.apply(Update{Peer: addrs[i], Announce: announce(addrs[i], blocks[i])})
		}
		x.wantHeld(0)
		if !slices.Equal(kinds(last), []EventKind{EventReleased}) {
			t.Errorf("events %v, want that the brake is off", kinds(last))
		}
		x.after(25 * time.Second) // and the next fall is held for the whole time
		for i := range addrs {
			x.withdraw(addrs[i], blocks[i])
		}
		x.wantHeld(3)
		if until := x.m.Status().Clusters[0].HeldUntil; !until.Equal(x.now.Add(30 * time.Second)) {
			t.Errorf("held until %s, want the whole hold from %s", until, x.now)
		}
	})
	t.Run("the node leaves the roster", func(t *testing.T) {
		x, addrs, blocks := held(t)
		x.take(x.m.SetRoster(x.now, testRoster(addrs[0])))
		x.want(routes{blocks[0]: addrs[0]})
		x.wantHeld(1)
	})
	t.Run("nothing: neither a lost session nor its return", func(t *testing.T) {
		x, addrs, _ := held(t)
		all := maps.Clone(x.table)
		for _, a := range addrs {
			x.down(a)
			x.up(a)
			x.eor(a)
		}
		x.want(all)
		x.wantHeld(3)
	})
}

func TestWhileTheBrakeIsOnEveryWithdrawalIsHeld(t *testing.T) {
	x, addrs, blocks := brakeTester(t, 5)
	for i := range 3 {
		x.withdraw(addrs[i], blocks[i])
	}
	x.wantHeld(3)
	x.after(20 * time.Second)
	x.withdraw(addrs[3], blocks[3])
	x.wantHeld(4)
	x.after(10 * time.Second)
	x.want(routes{blocks[4]: addrs[4]})
}

func TestTheFirstPartOfAFallComesBack(t *testing.T) {
	x, addrs, blocks := brakeTester(t, 3)
	x.withdraw(addrs[0], blocks[0])
	x.want(routes{blocks[1]: addrs[1], blocks[2]: addrs[2]}) // so far it is a node that withdraws
	x.after(fallWindow - 1)
	x.withdraw(addrs[1], blocks[1])
	x.want(routes{blocks[0]: addrs[0], blocks[1]: addrs[1], blocks[2]: addrs[2]})
	x.wantHeld(2)
}

func TestWhatIsGoneFromTheRosterDoesNotComeBack(t *testing.T) {
	x, addrs, blocks := brakeTester(t, 3)
	x.withdraw(addrs[0], blocks[0])
	x.take(x.m.SetRoster(x.now, testRoster(addrs[1:]...)))
	x.withdraw(addrs[1], blocks[1])
	x.want(routes{blocks[1]: addrs[1], blocks[2]: addrs[2]})
	x.wantHeld(1)
}

func TestNoBrake(t *testing.T) {
	for _, b := range []Brake{{}, {SharePercent: 100, Hold: time.Minute}} {
		x, addrs, blocks := brakeTester(t, 3)
		x.m.cfg.Brake = b
		for i := range addrs {
			x.withdraw(addrs[i], blocks[i])
		}
		x.want(routes{})
		x.wantHeld(0)
	}
}

func TestHeldPrefixesTakeNobodysPlace(t *testing.T) {
	x, addrs, blocks := brakeTester(t, 3)
	r := testRoster(addrs...)
	r.Clusters[0].Limits = Limits{PerNode: 1, Total: 3}
	x.take(x.m.SetRoster(x.now, r))
	for i := range addrs {
		x.withdraw(addrs[i], blocks[i])
	}
	x.wantHeld(3)
	x.apply(Update{Peer: addrs[0], Announce: announce(addrs[0], pfx("20.1.200.0/26"))})
	if x.table[pfx("20.1.200.0/26")] != addrs[0] {
		t.Error("a held prefix, which its node has withdrawn, counted against the limits")
	}
	if p := x.m.Status().Clusters[0].Peers[1]; p.Received[0] != 0 || p.Accepted[0] != 0 {
		t.Errorf("received %v, accepted %v of a peer that has withdrawn everything", p.Received, p.Accepted)
	}
}

func TestFamiliesFallApart(t *testing.T) {
	x, addrs, blocks := brakeTester(t, 4)
	x.take(x.m.SetRoster(x.now, dualRoster(addrs...)))
	six := make([]netip.Prefix, len(addrs))
	for i, a := range addrs {
		six[i] = pfx(fmt.Sprintf("fd00:20::%d:0/122", i+1))
		x.apply(Update{Peer: a, Announce: announce(other(a), six[i])})
	}
	for i, a := range addrs { // half of all blocks, but all of a family
		x.withdraw(a, six[i])
	}
	x.wantHeld(4)
	x.withdraw(addrs[0], blocks[0]) // the other family has its own brake
	x.wantHeld(4)
	if len(x.table) != 7 {
		t.Errorf("%d routes, want 7", len(x.table))
	}
}

// A fall is noticed by what it takes: the cost of a step must not grow with what the cluster has.
func TestABrakeThatRestsLooksAtNothing(t *testing.T) {
	x, addrs, blocks := brakeTester(t, 3)
	x.withdraw(addrs[0], blocks[0])
	if len(x.m.brakes) != 1 {
		t.Fatalf("%d brakes watch, want one", len(x.m.brakes))
	}
	if next, want := x.next(), x.now.Add(fallWindow); !next.Equal(want) {
		t.Errorf("Next() = %s, want the end of the window, %s", next, want)
	}
	x.after(fallWindow)
	if len(x.m.brakes) != 0 {
		t.Error("a brake with nothing to watch is still looked at")
	}
}

func TestTheEventSaysWhatHappened(t *testing.T) {
	x, addrs, blocks := brakeTester(t, 3)
	x.withdraw(addrs[0], blocks[0])
	ch := x.withdraw(addrs[1], blocks[1])
	for _, want := range []string{"2 of 3 ipv4 blocks", "by 2 nodes", "within 5s", "50 %", "30s"} {
		if len(ch.Events) != 1 || !strings.Contains(ch.Events[0].Detail, want) {
			t.Errorf("events %+v, want %q", ch.Events, want)
		}
	}
}

package peering

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// The seed's addresses: this node is the first of cluster-1; cluster-2 has three.
var (
	t0    = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	self  = ip("9.111.255.21")
	bird  = ip("127.0.0.1")
	nodeA = ip("9.111.255.77")
	nodeB = ip("9.111.255.152")
	nodeC = ip("9.111.255.155")

	ownBlock = pfx("10.1.198.128/26")
	blockA   = pfx("20.1.47.128/26")
	blockB   = pfx("20.1.58.192/26")
)

func ip(s string) netip.Addr    { return netip.MustParseAddr(s) }
func pfx(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func testConfig() Config {
	return Config{
		Cluster: "cluster-1", ASN: 64512, PodCIDRs: []netip.Prefix{pfx("10.1.0.0/16")}, NodeAddrs: []netip.Addr{self},
		Retention: time.Hour, ConvergenceDeadline: time.Minute, OwnGrace: 2 * time.Second,
	}
}

func testRoster(nodes ...netip.Addr) Roster {
	c := Cluster{
		Name: "cluster-2", PodCIDRs: []netip.Prefix{pfx("20.1.0.0/16")},
		Lengths: Lengths{IPv4: Range{20, 32}, IPv6: Range{116, 128}}, Limits: Limits{PerNode: 256, Total: 100000},
	}
	for _, n := range nodes {
		c.Peers = append(c.Peers, Peer{Addr: n, Role: RoleRemote, Cluster: c.Name, ASN: 64512, Families: IPv4})
	}
	return Roster{
		BIRD:     []Peer{{Addr: bird, Role: RoleBIRD, Cluster: "cluster-1", ASN: 64512, Families: IPv4}},
		Clusters: []Cluster{c},
	}
}

// tester drives a Mesh and holds every step's Changes against the Mesh's own account of itself.
type tester struct {
	*testing.T
	m     *Mesh
	now   time.Time
	table map[netip.Prefix]netip.Addr // what the Changes added up to
}

// next is when the Mesh has something to do, beside telling what is new.
func (x *tester) next() time.Time {
	due := x.m.nextNews
	x.m.nextNews = time.Time{}
	defer func() { x.m.nextNews = due }()
	return x.m.Next()
}

func newTester(t *testing.T, nodes ...netip.Addr) *tester {
	t.Helper()
	x := &tester{T: t, m: NewMesh(testConfig(), t0), now: t0, table: map[netip.Prefix]netip.Addr{}}
	x.take(x.m.SetRoster(x.now, testRoster(nodes...)))
	return x
}

func (x *tester) take(ch Changes) Changes {
	x.Helper()
	seen := map[netip.Prefix]bool{}
	for _, r := range ch.Routes {
		if seen[r.Prefix] {
			x.Fatalf("two changes of %s in one step: %v", r.Prefix, ch.Routes)
		}
		seen[r.Prefix] = true
		if r.NextHop.IsValid() {
			x.table[r.Prefix] = r.NextHop
		} else {
			delete(x.table, r.Prefix)
		}
	}
	return ch
}

func (x *tester) apply(u Update) Changes {
	x.Helper()
	u.At = x.now
	return x.take(x.m.Apply(x.now, u))
}

func (x *tester) up(peer netip.Addr, blocks ...netip.Prefix) {
	x.Helper()
	x.apply(Update{Peer: peer, Session: SessionUp, Families: IPv4})
	x.apply(Update{Peer: peer, Announce: announce(peer, blocks...)})
}

func (x *tester) eor(peer netip.Addr) { x.Helper(); x.apply(Update{Peer: peer, EndOfRIB: IPv4}) }
func (x *tester) down(peer netip.Addr) {
	x.Helper()
	x.apply(Update{Peer: peer, Session: SessionDown, Reason: "gone"})
}

func (x *tester) after(d time.Duration) Changes {
	x.Helper()
	x.now = x.now.Add(d)
	return x.take(x.m.Tick(x.now))
}

func (x *tester) want(routes map[netip.Prefix]netip.Addr) {
	x.Helper()
	if diff := cmp.Diff(routes, x.table, cmpopts.EquateComparable(netip.Prefix{}, netip.Addr{}), cmpopts.EquateEmpty()); diff != "" {
		x.Fatalf("wanted routes (-want +got):\n%s", diff)
	}
}

func announce(hop netip.Addr, blocks ...netip.Prefix) []Announcement {
	if hop == bird {
		hop = self
	}
	var out []Announcement
	for _, b := range blocks {
		out = append(out, Announcement{Prefix: b, NextHop: hop, ASPath: []uint32{}})
	}
	return out
}

type routes = map[netip.Prefix]netip.Addr

func TestRoutesFollowAnnouncements(t *testing.T) {
	x := newTester(t, nodeA, nodeB)
	x.up(nodeA, blockA)
	x.up(nodeB, blockB)
	x.want(routes{blockA: nodeA, blockB: nodeB})
	x.apply(Update{Peer: nodeA, Withdraw: []netip.Prefix{blockA}})
	x.want(routes{blockB: nodeB})
	if ch := x.apply(Update{Peer: nodeB, Announce: announce(nodeB, blockB)}); len(ch.Routes) != 0 {
		t.Errorf("a repeated announcement changed %v", ch.Routes)
	}
}

func TestUpdateOfAStrangerIsIgnored(t *testing.T) {
	x := newTester(t, nodeA)
	if ch := x.apply(Update{Peer: nodeB, Session: SessionUp, Announce: announce(nodeB, blockB)}); !cmp.Equal(ch, Changes{}) {
		t.Errorf("a stranger changed %+v", ch)
	}
}

func TestLostSessionKeepsRoutesForRetention(t *testing.T) {
	x := newTester(t, nodeA, nodeB)
	x.up(nodeA, blockA)
	x.down(nodeA)
	x.want(routes{blockA: nodeA})
	x.after(time.Hour - time.Second)
	x.want(routes{blockA: nodeA})
	if s := x.m.Status().Clusters[0].Blocks[0]; s.Stale != 1 || s.Fresh != 0 {
		t.Errorf("counts %+v, want one stale", s)
	}
	if next := x.next(); !next.Equal(t0.Add(time.Minute)) && !next.Equal(t0.Add(time.Hour)) {
		t.Errorf("Next() = %s", next)
	}
	x.after(time.Second)
	x.want(routes{})
}

func TestStaleRouteGoesWhenAnotherNodeAnnouncesTheBlock(t *testing.T) {
	x := newTester(t, nodeA, nodeB)
	x.up(nodeA, blockA)
	x.down(nodeA)
	x.up(nodeB, blockA)
	x.want(routes{blockA: nodeB})
	x.apply(Update{Peer: nodeB, Withdraw: []netip.Prefix{blockA}})
	x.want(routes{}) // the stale path of nodeA has not waited behind it
}

func TestSessionBackWithoutTheBlockDropsItAtEndOfRIB(t *testing.T) {
	x := newTester(t, nodeA)
	x.up(nodeA, blockA, blockB)
	x.eor(nodeA)
	x.down(nodeA)
	x.up(nodeA, blockB)
	x.want(routes{blockA: nodeA, blockB: nodeA})
	x.eor(nodeA)
	x.want(routes{blockB: nodeA})
}

func TestEndOfRIBOfOneFamilySparesTheOther(t *testing.T) {
	x := newTester(t, nodeA)
	x.take(x.m.SetRoster(x.now, dualRoster(nodeA)))
	x.upBoth(nodeA, blockA, sixA)
	x.down(nodeA)
	x.apply(Update{Peer: nodeA, Session: SessionUp, Families: IPv4 | IPv6, EndOfRIB: IPv4})
	x.want(routes{sixA: other(nodeA)})
}

func TestTwoNodesAnnounceOneBlock(t *testing.T) {
	x := newTester(t, nodeA, nodeB)
	x.up(nodeB, blockA)
	ch := func() Changes {
		x.apply(Update{Peer: nodeA, Session: SessionUp, Families: IPv4})
		return x.apply(Update{Peer: nodeA, Announce: announce(nodeA, blockA)})
	}()
	x.want(routes{blockA: nodeA}) // the lower address
	if !slices.ContainsFunc(ch.Events, func(e Event) bool { return e.Kind == EventBlockConflict }) {
		t.Errorf("no conflict event in %+v", ch.Events)
	}
	s := x.m.Status().Clusters[0]
	if s.Conflicts != 1 {
		t.Errorf("%d conflicts, want 1", s.Conflicts)
	}
	if r := slices.Collect(x.m.Routes()); len(r) != 1 || !slices.Equal(r[0].Rivals, []netip.Addr{nodeB}) {
		t.Errorf("routes %+v, want rival %s", r, nodeB)
	}
	x.down(nodeA) // fresh beats stale
	x.want(routes{blockA: nodeB})
	if c := x.m.Status().Clusters[0].Conflicts; c != 0 {
		t.Errorf("%d conflicts after one node left, want 0", c)
	}
}

func TestPeerLeavesTheRoster(t *testing.T) {
	x := newTester(t, nodeA, nodeB)
	x.up(nodeA, blockA)
	x.up(nodeB, blockB)
	x.take(x.m.SetRoster(x.now, testRoster(nodeB)))
	x.want(routes{blockB: nodeB})
	x.take(x.m.SetRoster(x.now, Roster{}))
	x.want(routes{})
}

func TestNarrowerRangeIsJudgedAnewAndWiderOneAdmits(t *testing.T) {
	x := newTester(t, nodeA)
	x.up(nodeA, blockA, blockB)
	narrow := testRoster(nodeA)
	narrow.Clusters[0].PodCIDRs = []netip.Prefix{pfx("20.1.58.0/24")}
	x.take(x.m.SetRoster(x.now, narrow))
	x.want(routes{blockB: nodeA})
	x.take(x.m.SetRoster(x.now, testRoster(nodeA)))
	x.want(routes{blockA: nodeA, blockB: nodeA})
}

func TestAdoptedRoutesAreKeptUntilTheirNodeSpeaks(t *testing.T) {
	x := newTester(t, nodeA, nodeB)
	x.take(x.m.Adopt(x.now, []RouteChange{
		{Prefix: blockA, NextHop: nodeA},
		{Prefix: blockB, NextHop: nodeB},
		{Prefix: pfx("20.1.1.0/26"), NextHop: nodeC},     // no peer
		{Prefix: pfx("172.16.0.0/26"), NextHop: nodeA},   // outside
		{Prefix: pfx("10.1.198.128/26"), NextHop: nodeA}, // our own range
	}))
	x.want(routes{blockA: nodeA, blockB: nodeB})
	x.up(nodeA)
	x.eor(nodeA)
	x.want(routes{blockB: nodeB})
	x.after(time.Hour)
	x.want(routes{})
}

func TestConvergence(t *testing.T) {
	t.Run("when all have spoken", func(t *testing.T) {
		x := newTester(t, nodeA, nodeB)
		x.up(bird, ownBlock)
		x.eor(bird)
		x.up(nodeA)
		x.eor(nodeA)
		x.up(nodeB)
		if x.m.Converged() {
			t.Fatal("converged before the last End-of-RIB")
		}
		x.eor(nodeB)
		if s := x.m.Status(); !s.Converged || s.Deadline {
			t.Fatalf("not converged: %+v", s)
		}
	})
	t.Run("by the deadline, counted from when peers may speak", func(t *testing.T) {
		x := newTester(t, nodeA)
		x.after(30 * time.Second)
		x.up(bird)
		x.eor(bird)
		x.after(time.Minute - time.Second)
		if x.m.Converged() {
			t.Fatal("converged before the deadline")
		}
		ch := x.after(time.Second)
		if s := x.m.Status(); !s.Converged || !s.Deadline {
			t.Fatalf("not converged by deadline: %+v", s)
		}
		if len(ch.Events) != 1 || ch.Events[0].Kind != EventConverged || !ch.Events[0].Warn {
			t.Errorf("events %+v", ch.Events)
		}
	})
}

func TestRejectionEventsAreBounded(t *testing.T) {
	x := newTester(t, nodeA)
	x.up(nodeA)
	events := 0
	for i := range 5000 {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{30, 1, byte(i >> 8), byte(i)}), 32)
		events += len(x.apply(Update{Peer: nodeA, Announce: announce(nodeA, p)}).Events)
	}
	if events != 1 {
		t.Errorf("%d events for one reason within a minute, want 1", events)
	}
	p := x.m.Status().Clusters[0].Peers[0]
	if p.Rejected[ReasonOutsideRange] != 5000 || len(p.LastRejected) != rejectionsKept || p.Received[0] != refusedKept || p.Accepted[0] != 0 {
		t.Errorf("%d counted, %d kept, received %v, accepted %v", p.Rejected[ReasonOutsideRange], len(p.LastRejected), p.Received, p.Accepted)
	}
}

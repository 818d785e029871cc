package peering

import (
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"
)

func TestImportPolicy(t *testing.T) {
	roster := dualRoster(nodeA, nodeB)
	roster.Clusters = append(roster.Clusters, Cluster{
		Name: "cluster-3", PodCIDRs: []netip.Prefix{pfx("30.1.0.0/16")},
		Peers: []Peer{{Addr: nodeC, Role: RoleRemote, Cluster: "cluster-3", ASN: 64513}},
	})
	cfg := testConfig()
	cfg.ServiceCIDRs = []netip.Prefix{pfx("10.0.0.0/24")}
	m := NewMesh(cfg, t0)
	m.SetRoster(t0, roster)

	ibgp := []uint32{}
	for _, tc := range []struct {
		name   string
		peer   netip.Addr
		prefix string
		hop    netip.Addr
		path   []uint32
		want   Reason
	}{
		{"a block", nodeA, "20.1.47.128/26", nodeA, ibgp, ""},
		{"a borrowed address", nodeA, "20.1.47.150/32", nodeA, ibgp, ""},
		{"an IPv6 block", nodeA, "fd00:20::40/122", other(nodeA), ibgp, ""},
		{"an IPv6 block by the IPv4 address", nodeA, "fd00:20::40/122", nodeA, ibgp, ReasonNextHop},
		{"an IPv6 block of another node", nodeA, "fd00:20::40/122", other(nodeB), ibgp, ReasonNextHop},
		{"an IPv4 block by the IPv6 address", nodeA, "20.1.47.128/26", other(nodeA), ibgp, ReasonNextHop},
		{"no next hop", nodeA, "20.1.47.128/26", netip.Addr{}, ibgp, ReasonNoNextHop},
		{"no AS path", nodeA, "20.1.47.128/26", nodeA, nil, ReasonNoASPath},
		{"default route", nodeA, "0.0.0.0/0", nodeA, ibgp, ReasonDefault},
		{"IPv6 default route", nodeA, "::/0", nodeA, ibgp, ReasonDefault},
		{"half of the default route", nodeA, "0.0.0.0/1", nodeA, ibgp, ReasonMartian},
		{"the other half", nodeA, "128.0.0.0/1", nodeA, ibgp, ReasonMartian},
		{"this network", nodeA, "0.1.2.0/24", nodeA, ibgp, ReasonMartian},
		{"loopback address", nodeA, "127.0.0.1/32", nodeA, ibgp, ReasonMartian},
		{"link-local", nodeA, "169.254.0.0/16", nodeA, ibgp, ReasonMartian},
		{"metadata service", nodeA, "169.254.169.254/32", nodeA, ibgp, ReasonMartian},
		{"reserved", nodeA, "250.0.0.0/8", nodeA, ibgp, ReasonMartian},
		{"broadcast", nodeA, "255.255.255.255/32", nodeA, ibgp, ReasonMartian},
		{"IPv6 unspecified", nodeA, "::/128", nodeA, ibgp, ReasonMartian},
		{"IPv6 loopback", nodeA, "::1/128", nodeA, ibgp, ReasonMartian},
		{"IPv6 link-local", nodeA, "fe80::/10", nodeA, ibgp, ReasonMartian},
		{"an IPv6 link-local address", nodeA, "fe80::1/128", nodeA, ibgp, ReasonMartian},
		{"IPv6 multicast", nodeA, "ff02::/16", nodeA, ibgp, ReasonMartian},
		{"IPv6 that covers the loopback", nodeA, "::/8", nodeA, ibgp, ReasonMartian},
		{"not allocated, but no martian", nodeA, "fc00::/7", nodeA, ibgp, ReasonOutsideRange},
		{"our own services", nodeA, "10.0.0.128/25", nodeA, ibgp, ReasonOwnServices},
		{"our own services within a larger one", nodeA, "10.0.0.0/20", nodeA, ibgp, ReasonOwnServices},
		{"next hop unspecified", nodeA, "20.1.47.128/26", ip("0.0.0.0"), ibgp, ReasonMartianNextHop},
		{"IPv6 next hop unspecified", nodeA, "20.1.47.128/26", ip("::"), ibgp, ReasonMartianNextHop},
		{"next hop loopback", nodeA, "20.1.47.128/26", ip("127.0.0.1"), ibgp, ReasonMartianNextHop},
		{"next hop multicast", nodeA, "20.1.47.128/26", ip("224.0.0.5"), ibgp, ReasonMartianNextHop},
		{"next hop link-local", nodeA, "20.1.47.128/26", ip("169.254.1.1"), ibgp, ReasonMartianNextHop},
		{"next hop IPv6 link-local", nodeA, "fd00:20::40/122", ip("fe80::1"), ibgp, ReasonMartianNextHop},
		{"next hop reserved", nodeA, "20.1.47.128/26", ip("255.255.255.255"), ibgp, ReasonMartianNextHop},
		{"next hop IPv4 in IPv6 form", nodeA, "fd00:20::40/122", ip("::ffff:9.111.255.77"), ibgp, ReasonMartianNextHop},
		{"our own range", nodeA, "10.1.198.128/26", nodeA, ibgp, ReasonOwnRange},
		{"our own range within a larger one", nodeA, "10.0.0.0/8", nodeA, ibgp, ReasonOwnRange},
		{"our own address", nodeA, "9.111.255.21/32", nodeA, ibgp, ReasonOwnAddress},
		{"our own subnet", nodeA, "9.111.255.0/24", nodeA, ibgp, ReasonOwnAddress},
		{"our own address as next hop", nodeA, "20.1.47.128/26", self, ibgp, ReasonOwnAddress},
		{"another cluster's range", nodeA, "30.1.0.0/26", nodeA, ibgp, ReasonOutsideRange},
		{"more than the cluster's range", nodeA, "20.0.0.0/8", nodeA, ibgp, ReasonOutsideRange},
		{"loopback", nodeA, "127.0.0.0/8", nodeA, ibgp, ReasonMartian},
		{"multicast", nodeA, "224.0.0.0/4", nodeA, ibgp, ReasonMartian},
		{"the whole range", nodeA, "20.1.0.0/16", nodeA, ibgp, ReasonLength},
		{"too short", nodeA, "20.1.0.0/19", nodeA, ibgp, ReasonLength},
		{"IPv6 too short", nodeA, "fd00:20::/64", nodeA, ibgp, ReasonLength},
		{"another node's next hop", nodeA, "20.1.47.128/26", nodeB, ibgp, ReasonNextHop},
		{"iBGP loop", nodeA, "20.1.47.128/26", nodeA, []uint32{64512}, ReasonASLoop},
		{"eBGP", nodeC, "30.1.4.0/26", nodeC, []uint32{64513}, ""},
		{"eBGP without the peer's AS", nodeC, "30.1.4.0/26", nodeC, []uint32{64999}, ReasonFirstAS},
		{"eBGP with an empty path", nodeC, "30.1.4.0/26", nodeC, ibgp, ReasonFirstAS},
		{"eBGP loop", nodeC, "30.1.4.0/26", nodeC, []uint32{64513, 64512}, ReasonASLoop},
		{"BIRD: own block", bird, "10.1.198.128/26", self, ibgp, ""},
		{"BIRD: another node's block", bird, "10.1.43.0/26", ip("9.111.255.29"), ibgp, ReasonNextHop},
		{"BIRD: a remote block it learned", bird, "20.1.47.128/26", self, ibgp, ReasonOutsideRange},
		{"BIRD: default route", bird, "0.0.0.0/0", self, ibgp, ReasonDefault},
		{"BIRD: with `source address` left out", bird, "10.1.198.128/26", bird, ibgp, ReasonMartianNextHop},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v := m.judge(m.peers[tc.peer], Announcement{Prefix: pfx(tc.prefix), NextHop: tc.hop, ASPath: tc.path})
			if v.reason != tc.want {
				t.Errorf("verdict %q (%s), want %q", v.reason, v.detail, tc.want)
			}
			if v.reason != "" && v.detail == "" {
				t.Error("a refusal without a detail")
			}
		})
	}
}

// A closed set: each reason once, and the page of the metrics knows it.
func TestReasonsAreAClosedSet(t *testing.T) {
	page, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("policy.go")
	if err != nil {
		t.Fatal(err)
	}
	defined := regexp.MustCompile(`Reason = "(\w+)"`).FindAllSubmatch(source, -1)
	seen := map[Reason]bool{}
	for _, r := range Reasons() {
		if seen[r] {
			t.Errorf("%s is listed twice", r)
		}
		seen[r] = true
		if !strings.Contains(string(page), "| `"+string(r)+"` |") {
			t.Errorf("docs/metrics.md does not explain %s", r)
		}
	}
	for _, d := range defined {
		if !seen[Reason(d[1])] {
			t.Errorf("Reasons() does not list %s", d[1])
		}
	}
	if len(defined) != len(seen) {
		t.Errorf("%d reasons are defined, %d listed", len(defined), len(seen))
	}
}

func TestRefusedAnnouncementReplacesTheAcceptedOne(t *testing.T) {
	x := newTester(t, nodeA, nodeB)
	x.up(nodeA, blockA)
	x.apply(Update{Peer: nodeA, Announce: []Announcement{{Prefix: blockA, NextHop: nodeB, ASPath: []uint32{}}}})
	x.want(routes{})
}

func TestLimitsKeepWhatIsHeld(t *testing.T) {
	x := newTester(t, nodeA, nodeB)
	r := testRoster(nodeA, nodeB)
	r.Clusters[0].Limits = Limits{PerNode: 2, Total: 3}
	x.take(x.m.SetRoster(x.now, r))
	x.up(nodeA, pfx("20.1.0.0/26"), pfx("20.1.0.64/26"), pfx("20.1.0.128/26"))
	x.want(routes{pfx("20.1.0.0/26"): nodeA, pfx("20.1.0.64/26"): nodeA})
	x.up(nodeB, pfx("20.1.1.0/26"), pfx("20.1.1.64/26"))
	x.want(routes{pfx("20.1.0.0/26"): nodeA, pfx("20.1.0.64/26"): nodeA, pfx("20.1.1.0/26"): nodeB})
	c := x.m.Status().Clusters[0]
	if c.Prefixes != 3 || c.Fullest != 2 || c.Limits != r.Clusters[0].Limits {
		t.Errorf("%d prefixes, %d of the node that has the most, limits %v", c.Prefixes, c.Fullest, c.Limits)
	}
	if a, b := c.Peers[0], c.Peers[1]; a.Rejected[ReasonLimitNode] != 1 || b.Rejected[ReasonLimitCluster] != 1 {
		t.Errorf("rejected %v and %v", a.Rejected, b.Rejected)
	}
	x.apply(Update{Peer: nodeA, Announce: announce(nodeA, pfx("20.1.0.0/26"))}) // held: no new prefix
	if got := x.m.Status().Clusters[0].Peers[0].Rejected[ReasonLimitNode]; got != 1 {
		t.Errorf("a held prefix ran into the limit: %d", got)
	}
}

func TestALimitThatHasRoomAgainIsFilledUp(t *testing.T) {
	blocks := []netip.Prefix{pfx("20.1.0.0/26"), pfx("20.1.0.64/26"), pfx("20.1.0.128/26"), pfx("20.1.0.192/26")}
	start := func(t *testing.T, l Limits) *tester {
		t.Helper()
		x := newTester(t, nodeA, nodeB)
		r := testRoster(nodeA, nodeB)
		r.Clusters[0].Limits = l
		x.take(x.m.SetRoster(x.now, r))
		return x
	}
	t.Run("of a node", func(t *testing.T) {
		x := start(t, Limits{PerNode: 2})
		x.up(nodeA, blocks[:3]...)
		x.apply(Update{Peer: nodeA, Withdraw: blocks[:1]})
		x.want(routes{blocks[1]: nodeA, blocks[2]: nodeA})
		p := x.m.Status().Clusters[0].Peers[0]
		if p.Received[0] != 2 || p.Accepted[0] != 2 || p.Rejected[ReasonLimitNode] != 1 {
			t.Errorf("received %v, accepted %v, rejected %v", p.Received, p.Accepted, p.Rejected)
		}
	})
	t.Run("of the cluster, by another node", func(t *testing.T) {
		x := start(t, Limits{Total: 2})
		x.up(nodeA, blocks[:2]...)
		x.up(nodeB, blocks[2], blocks[3])
		x.want(routes{blocks[0]: nodeA, blocks[1]: nodeA})
		x.apply(Update{Peer: nodeA, Withdraw: blocks[:2]})
		x.want(routes{blocks[2]: nodeB, blocks[3]: nodeB})
	})
	t.Run("not with what is refused for another reason", func(t *testing.T) {
		x := start(t, Limits{PerNode: 1})
		x.up(nodeA, blocks[0], blocks[1], pfx("30.1.0.0/26"))
		x.apply(Update{Peer: nodeA, Withdraw: blocks[:1]})
		x.want(routes{blocks[1]: nodeA})
		if len(x.m.limited) != 0 {
			t.Error("a peer that waits for nothing is still looked at")
		}
	})
	t.Run("not with what was withdrawn or lost since", func(t *testing.T) {
		x := start(t, Limits{PerNode: 1})
		x.up(nodeA, blocks[:3]...)
		x.apply(Update{Peer: nodeA, Withdraw: blocks[1:2]})
		x.down(nodeA)
		x.up(nodeA)
		x.eor(nodeA)
		x.want(routes{})
	})
}

func TestEchoOfOwnBlocksIsNoTrouble(t *testing.T) {
	x := newTester(t)
	r := testRoster(nodeA)
	r.Clusters[0].Peers[0].ASN = 64513
	x.take(x.m.SetRoster(x.now, r))
	x.up(nodeA)
	tell := func(path []uint32, p string) Changes {
		t.Helper()
		return x.apply(Update{Peer: nodeA, Announce: []Announcement{{Prefix: pfx(p), NextHop: nodeA, ASPath: path}}})
	}
	status := func() PeerStatus { return x.m.Status().Clusters[0].Peers[0] }
	if ch := tell([]uint32{64513, 64512}, "10.1.0.0/26"); len(ch.Events) != 0 {
		t.Errorf("events %+v", ch.Events)
	}
	if s := status(); s.Rejected[ReasonASLoop] != 1 || len(s.LastRejected) != 1 || s.Received[0] != 0 {
		t.Errorf("an echo: %+v", s)
	}
	if ch := tell([]uint32{64513}, "10.1.0.0/26"); len(ch.Events) != 1 { // as its own
		t.Errorf("events %+v", ch.Events)
	}
	if ch := tell([]uint32{64513, 64512}, "20.1.0.0/26"); len(ch.Events) != 1 { // a block of its own range, through us
		t.Errorf("events %+v", ch.Events)
	}
	if s := status(); s.Rejected[ReasonASLoop] != 2 || s.Rejected[ReasonOwnRange] != 1 || s.Received[0] != 2 {
		t.Errorf("received %v, rejected %v", s.Received, s.Rejected)
	}
	tell([]uint32{64513, 64512}, "10.1.0.0/26")
	if s := status(); s.Received[0] != 1 {
		t.Errorf("an echo in the place of what was refused: received %v", s.Received)
	}
	x.want(routes{})
}

package admin

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"routed/guard"
	"routed/kernel"
	"routed/peering"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func addresses() cmp.Option { return cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}) }

func peerStatus() peering.PeerStatus {
	return peering.PeerStatus{
		Peer: peering.Peer{
			Addr: addr("9.111.255.155"), Role: peering.RoleRemote, Cluster: "cluster-2", Name: "worker-1", ASN: 64512,
			Local: addr("9.111.255.21"), Families: peering.IPv4 | peering.IPv6,
		},
		Up: true, Since: ago(time.Hour), Reason: "hold timer expired", Flaps: 2,
		Negotiated: peering.IPv4 | peering.IPv6, EndOfRIB: peering.IPv4,
		Received: [2]int{6, 1}, Accepted: [2]int{3, 1},
		Rejected: map[peering.Reason]uint64{
			peering.ReasonLength: 1, peering.ReasonOutsideRange: 11, peering.ReasonASLoop: 0,
		},
		LastRejected: []peering.Rejection{{
			Prefix: prefix("10.0.0.0/8"), NextHop: addr("9.111.255.155"), Reason: peering.ReasonOutsideRange,
			Detail: "outside", At: ago(time.Second),
		}},
	}
}

func TestPeerFrom(t *testing.T) {
	want := Peer{
		Cluster: "cluster-2", Role: "remote", Name: "worker-1", Address: addr("9.111.255.155"),
		Local: addr("9.111.255.21"), ASN: 64512, Up: true, State: "established", Since: ago(time.Hour), Flaps: 2,
		Families: []string{"ipv4", "ipv6"}, EndOfRIB: []string{"ipv4"},
		Prefixes: []PrefixCount{
			{Family: "ipv4", Received: 6, Accepted: 3, Rejected: 3}, {Family: "ipv6", Received: 1, Accepted: 1},
		},
		Advertised: 4,
		Rejected:   []Count{{Name: "outside_pod_cidrs", Count: 11}, {Name: "prefix_length", Count: 1}},
		LastRejected: []Rejection{{
			Prefix: prefix("10.0.0.0/8"), NextHop: addr("9.111.255.155"), Reason: "outside_pod_cidrs", Detail: "outside",
			At: ago(time.Second),
		}},
	}
	if diff := cmp.Diff(want, PeerFrom(peerStatus(), "Established", 4, ""), addresses()); diff != "" {
		t.Error(diff)
	}
}

func TestPeerFromSaysWhyItIsDown(t *testing.T) {
	p := peerStatus()
	p.Up = false
	if got := PeerFrom(p, "idle", 0, "").DownReason; got != "hold timer expired" {
		t.Errorf("the mesh's reason became %q", got)
	}
	if got := PeerFrom(p, "active", 0, "connection refused").DownReason; got != "connection refused" {
		t.Errorf("the speaker's fresher reason became %q", got)
	}
}

func TestClusterFrom(t *testing.T) {
	up := peerStatus()
	peers := []peering.PeerStatus{up}
	for i := range MaxNodesDown + 4 { // down since i minutes, but number 7 never was up
		p := peering.PeerStatus{
			Peer: peering.Peer{Addr: addr(fmt.Sprintf("9.111.1.%d", i)), Name: fmt.Sprintf("n%d", i)}, Reason: "refused",
		}
		if i != 7 {
			p.Since = ago(time.Duration(i) * time.Minute)
		}
		peers = append(peers, p)
	}
	older := up
	older.LastRejected = []peering.Rejection{{Prefix: prefix("11.0.0.0/8"), At: ago(time.Hour)}}
	peers = append(peers, older)

	got := ClusterFrom(peering.ClusterStatus{
		Name: "cluster-2", PodCIDRs: []netip.Prefix{prefix("20.1.0.0/16")}, NodesKnown: len(peers), NodesUp: 2,
		Blocks: []peering.BlockCount{{Family: peering.IPv4, Fresh: 5, Stale: 2, Held: 3}}, Held: 3, HeldUntil: noon(), Conflicts: 1, Peers: peers,
	}, []RouteCount{{Family: "ipv4", Wanted: 7, Installed: 7}})

	if len(got.NodesDown) != MaxNodesDown || got.NodesDown[0].Name != "n7" || got.NodesDown[1].Name != "n19" {
		t.Errorf("nodes down: %+v", got.NodesDown)
	}
	if got.RejectedNow != 6 || got.RejectedTotal != 24 || got.LastRejected.Prefix != prefix("10.0.0.0/8") {
		t.Errorf("rejected: now %d, in all %d, last %+v", got.RejectedNow, got.RejectedTotal, got.LastRejected)
	}
	got.NodesDown, got.LastRejected, got.RejectedNow, got.RejectedTotal = nil, nil, 0, 0
	want := Cluster{
		Name: "cluster-2", PodCIDRs: []netip.Prefix{prefix("20.1.0.0/16")}, NodesKnown: len(peers), NodesUp: 2,
		Blocks: []BlockCount{{Family: "ipv4", Fresh: 5, Stale: 2, Held: 3}}, Held: 3, HeldUntil: noon(), Conflicts: 1,
		Routes: []RouteCount{{Family: "ipv4", Wanted: 7, Installed: 7}}, Astray: []Astray{},
	}
	if diff := cmp.Diff(want, got, addresses()); diff != "" {
		t.Error(diff)
	}
}

func TestAstrayFrom(t *testing.T) {
	route := func(block, cluster string) kernel.RouteStatus {
		return kernel.RouteStatus{
			Route: kernel.Route{Prefix: prefix(block), NextHop: addr("9.111.255.77"), Group: cluster},
			State: kernel.StateConflict, Err: "held by a foreign route",
		}
	}
	got := AstrayFrom([]kernel.RouteStatus{route("20.1.0.0/26", "cluster-2"), route("30.1.0.0/26", "cluster-3")}, "cluster-2")
	want := []Astray{{Prefix: prefix("20.1.0.0/26"), NextHop: addr("9.111.255.77"), State: RouteConflict, Error: "held by a foreign route"}}
	if diff := cmp.Diff(want, got, addresses()); diff != "" {
		t.Error(diff)
	}
	if got := AstrayFrom(nil, "cluster-2"); got == nil {
		t.Error("a list is never null")
	}
}

func TestRouteFrom(t *testing.T) {
	mesh := peering.RouteStatus{
		Prefix: prefix("20.1.47.128/26"), Cluster: "cluster-2", NextHop: addr("9.111.255.77"), Peer: addr("9.111.255.77"),
		Since: ago(2 * time.Hour), StaleSince: ago(time.Hour), HeldSince: ago(time.Second), Rivals: []netip.Addr{addr("9.111.255.155")},
	}
	want := Route{
		Prefix: prefix("20.1.47.128/26"), Cluster: "cluster-2", NextHop: addr("9.111.255.77"), Device: "eth0",
		State: RouteShadowed, Since: ago(time.Minute), OwnerSince: ago(2 * time.Hour), StaleSince: ago(time.Hour), HeldSince: ago(time.Second),
		Rivals: []netip.Addr{addr("9.111.255.155")}, Error: "another rule",
	}
	got := RouteFrom(mesh, kernel.RouteStatus{
		State: kernel.StateShadowed, Device: "eth0", Since: ago(time.Minute), Err: "another rule",
	})
	if diff := cmp.Diff(want, got, addresses()); diff != "" {
		t.Error(diff)
	}
	if got := RouteFrom(mesh, kernel.RouteStatus{}); got.State != RouteMissing {
		t.Errorf("a route that the kernel's side has not heard of is %s", got.State)
	}
}

// Our words and the metric's label are the same: `routed_routes{state=…}` and `routed routes` must not disagree.
func TestRouteStatesAreTheMetricsLabels(t *testing.T) {
	for s := kernel.StateMissing; s <= kernel.StateShadowed; s++ {
		if got := stateFrom(s); string(got) != s.String() {
			t.Errorf("state %d is %q here and %q there", s, got, s)
		}
	}
}

func TestOwnBlocksFrom(t *testing.T) {
	got := OwnBlocksFrom([]peering.OwnBlock{{Prefix: prefix("10.1.12.0/26"), Source: peering.OwnFromStale, Since: noon()}})
	want := []OwnBlock{{Prefix: prefix("10.1.12.0/26"), Source: "retained", Since: noon()}}
	if diff := cmp.Diff(want, got, addresses()); diff != "" {
		t.Error(diff)
	}
}

func TestKernelFrom(t *testing.T) {
	got := KernelFrom(kernel.Status{
		Adopted: true, DeletesAllowed: true, RulesWanted: 2, RulesPresent: 1, LastResync: ago(time.Second), ResyncInterval: time.Minute,
		LastError: "dump: interrupted", LastErrorAt: ago(time.Minute), Overruns: 3,
		Repairs: kernel.Repairs{Deleted: 1, Changed: 2, Link: 3, Resync: 4, Rule: 5},
		Changes: kernel.Changes{Add: 6, Replace: 7, Delete: 8},
		Errors:  []kernel.ErrorCount{{Op: "add", Errno: "EINVAL", Count: 9}},
	}, 1790, 114)
	want := Kernel{
		Table: 1790, Protocol: 114, Adopted: true, DeletesAllowed: true, RulesWanted: 2, RulesPresent: 1,
		LastResync: ago(time.Second), ResyncSeconds: 60, Overruns: 3,
		LastError: "dump: interrupted", LastErrorAt: ago(time.Minute),
		Repairs: []Count{{"deleted", 1}, {"changed", 2}, {"link", 3}, {"resync", 4}, {"rule", 5}},
		Changes: []Count{{"add", 6}, {"replace", 7}, {"delete", 8}},
		Errors:  []Count{{"add EINVAL", 9}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestGuardFrom(t *testing.T) {
	got := GuardFrom(guard.Status{
		Mode: guard.NFTables, Condition: guard.Failing, Reason: "why", Since: ago(time.Hour), Peers: 3, LastCheck: ago(time.Second),
		Repairs: 4, LastRepair: ago(time.Minute), Errors: 5, LastError: "why", LastErrorAt: ago(2 * time.Second),
	})
	want := Guard{
		Mode: "nftables", State: GuardFailing, Reason: "why", Since: ago(time.Hour), Peers: 3, LastCheck: ago(time.Second),
		Repairs: 4, LastRepair: ago(time.Minute), Failures: 5, LastError: "why", LastErrorAt: ago(2 * time.Second),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, c := range []guard.Condition{guard.Starting, guard.Active, guard.Off, guard.Unavailable, guard.Failing} {
		if got := guardStateFrom(c); string(got) != string(c) || !strings.Contains(readDoc(t), "`"+string(got)+"`") {
			t.Errorf("condition %s is %q, or docs/admin-api.md does not speak of it", c, got)
		}
	}
}

func TestRouteCountsFrom(t *testing.T) {
	v4 := kernel.GroupStatus{Group: "cluster-2", Wanted: 21}
	for state := kernel.StateMissing; state <= kernel.StateShadowed; state++ {
		v4.States[state] = int(state) + 1
	}
	got := RouteCountsFrom([]kernel.GroupStatus{
		{Group: "cluster-1", Wanted: 1}, v4, {Group: "cluster-2", IPv6: true, Wanted: 3},
	}, "cluster-2")
	want := []RouteCount{
		{
			Family: "ipv4", Wanted: 21, Missing: 1, Installed: 2, Mismatched: 3, Conflict: 4, Unresolved: 5, Shadowed: 6,
		},
		{Family: "ipv6", Wanted: 3},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

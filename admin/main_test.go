package admin

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// noon is when every picture of the fixtures is taken.
func noon() time.Time { return time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC) }

func ago(d time.Duration) time.Time { return noon().Add(-d) }

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// healthyStatus is a node of cluster-1 with everything as it should be.
func healthyStatus() Status {
	return Status{
		At: noon(), Ready: true,
		Node: Node{
			Cluster: "cluster-1", Address: addr("9.111.255.21"), RouterID: addr("249.13.4.7"), Release: "0.1.0",
			Started: ago(5 * 24 * time.Hour),
		},
		Mesh: Mesh{
			Converged: true, ConvergedBy: ByEndOfRIB, ConvergedAt: ago(5*24*time.Hour - 2*time.Second),
			RetentionSeconds: 3600, OwnKnown: true,
			OwnBlocks: []OwnBlock{
				{Prefix: prefix("10.1.12.0/26"), Source: "bird", Since: ago(5 * 24 * time.Hour)},
				{Prefix: prefix("10.1.77.64/26"), Source: "bird", Since: ago(3 * time.Hour)},
			},
		},
		BIRD: []Peer{birdPeer()},
		Clusters: []Cluster{{
			Name: "cluster-2", PodCIDRs: []netip.Prefix{prefix("20.1.0.0/16")}, NodesKnown: 3, NodesUp: 3,
			NodesDown: []NodeDown{}, Blocks: []BlockCount{{Family: "ipv4", Fresh: 7}},
			Routes: []RouteCount{{Family: "ipv4", Wanted: 7, Installed: 7}},
		}},
		Kernel: Kernel{
			Table: 1790, Protocol: 114, Adopted: true, DeletesAllowed: true, RulesWanted: 1, RulesPresent: 1,
			LastReconcile: Reconcile{Kind: "change", At: ago(192 * time.Second), DurationSeconds: 0.000451234},
			LastResync:    ago(41 * time.Second), ResyncSeconds: 60,
			Repairs: []Count{{Name: "deleted", Count: 1}}, Changes: []Count{{Name: "add", Count: 9}}, Errors: []Count{},
		},
		HostChecks: []HostCheck{{Name: "masquerade", Result: CheckGood, Why: "packets of pods keep their source address", At: ago(20 * time.Second)}},
		Guard: Guard{
			Mode: "auto", State: GuardActive, Since: ago(5 * 24 * time.Hour), Peers: 3, LastCheck: ago(11 * time.Second),
			Repairs: 2, LastRepair: ago(3 * time.Hour),
		},
		Config: Config{
			File: "/etc/routed/routed.yaml", LastReloadOK: true,
			LastReloadAt: ago(5 * 24 * time.Hour), LastSuccessAt: ago(5 * 24 * time.Hour),
		},
	}
}

func birdPeer() Peer {
	return Peer{
		Cluster: "cluster-1", Role: "bird", Address: addr("127.0.0.1"), Local: addr("127.0.0.1"), ASN: 64512,
		Up: true, State: "established", Since: ago(5 * 24 * time.Hour),
		Families: []string{"ipv4"}, EndOfRIB: []string{"ipv4"},
		Prefixes: []PrefixCount{{Family: "ipv4", Received: 2, Accepted: 2}},
		Rejected: []Count{}, LastRejected: []Rejection{},
	}
}

// degradedStatus has BIRD down, one cluster with trouble of most kinds, and one out of reach.
func degradedStatus() Status {
	s := healthyStatus()
	bird := birdPeer()
	bird.Up, bird.State, bird.Since, bird.DownReason, bird.Flaps = false, "active", ago(192*time.Second),
		"hold timer expired", 1
	s.BIRD = []Peer{bird}
	for i := range s.Mesh.OwnBlocks {
		s.Mesh.OwnBlocks[i].Source = "retained"
	}
	c := &s.Clusters[0]
	c.NodesUp = 2
	c.NodesDown = []NodeDown{{Address: addr("9.111.255.77"), Name: "worker-2", Since: ago(65 * time.Second), Reason: "connection refused"}}
	c.Blocks = []BlockCount{{Family: "ipv4", Fresh: 4, Stale: 2, Held: 1}}
	c.Held, c.HeldUntil = 1, noon().Add(20*time.Second)
	c.Routes = []RouteCount{{Family: "ipv4", Wanted: 7, Installed: 4, Conflict: 1, Unresolved: 2}}
	c.Conflicts, c.RejectedNow, c.RejectedTotal = 1, 3, 12
	c.LastRejected = &Rejection{
		Prefix: prefix("10.0.0.0/8"), NextHop: addr("9.111.255.152"), Reason: "outside_pod_cidrs",
		Detail: "outside cluster cluster-2's pod CIDRs [20.1.0.0/16]", At: ago(7 * time.Second),
	}
	c.Roster = &Roster{
		Server: "https://9.111.255.152:8001", Addresses: 3, LastSuccess: ago(11 * time.Minute), Since: ago(10 * time.Minute),
		Error: "list nodes at https://9.111.255.152:8001: Unauthorized", Failures: 17,
	}
	s.Clusters = append(s.Clusters, Cluster{
		Name: "frankfurt", PodCIDRs: []netip.Prefix{prefix("30.1.0.0/16"), prefix("fd00:30::/48")}, NodesKnown: 40,
		NodesDown: []NodeDown{
			{Address: addr("9.111.1.1"), Name: "fra-1"},
			{Address: addr("9.111.1.2"), Name: "fra-2"},
			{Address: addr("9.111.1.3")},
			{Address: addr("9.111.1.4")},
			{Address: addr("9.111.1.5")},
		},
		Blocks: []BlockCount{{Family: "ipv4"}, {Family: "ipv6"}},
		Routes: []RouteCount{{Family: "ipv4"}, {Family: "ipv6"}},
	})
	s.Kernel.RulesWanted, s.Kernel.RulesPresent = 3, 2
	s.Kernel.LastError, s.Kernel.LastErrorAt = "add route 20.1.47.128/26 via 9.111.255.77: network is unreachable", ago(64*time.Second)
	s.Kernel.Errors = []Count{{Name: "add ENETUNREACH", Count: 2}}
	s.Guard = Guard{
		Mode: "nftables", State: GuardUnavailable, Reason: "not permitted, CAP_NET_ADMIN is needed: look for table inet routed: operation not permitted",
		Since: ago(5 * 24 * time.Hour), Peers: 43, Failures: 7200,
	}
	s.Probe = sampleProbe()
	s.Config.LastReloadOK, s.Config.LastReloadAt = false, ago(30*time.Minute)
	s.Config.LastReloadError = "remotes[0].podCIDRs[1]: \"20.2.0.0/99\" is no prefix\n  12 | - 20.2.0.0/99"
	return s
}

// sampleProbe has one next hop that answers, one behind a narrow link, one that is silent, and too much to probe.
func sampleProbe() *Probe {
	return &Probe{
		IntervalSeconds: 30, RoundSeconds: 50, PodMTU: 1480,
		Targets: []ProbeCount{
			{Cluster: "cluster-2", Kind: "next_hop", Answering: 2, Failing: 1, Narrow: 1, SlowestRTTSeconds: 0.000412, PathMTU: 1400},
			{Cluster: "cluster-2", Kind: "address", Answering: 4, Silent: 2, Unprobed: 1, SlowestRTTSeconds: 0.0021},
		},
		Failing: []ProbeTarget{{
			Cluster: "cluster-2", Kind: "next_hop", Address: addr("9.111.255.77"), NextHop: addr("9.111.255.77"), Since: ago(65 * time.Second),
			Reason: "no answer within 1s",
		}},
		Narrow: []ProbeTarget{{
			Cluster: "cluster-2", Kind: "next_hop", Address: addr("9.111.255.155"), NextHop: addr("9.111.255.155"), Since: ago(time.Hour), PathMTU: 1400,
		}},
	}
}

func samplePeers() Peers {
	down := degradedStatus().BIRD[0]
	down.Prefixes, down.Families, down.EndOfRIB = []PrefixCount{{Family: "ipv4"}}, []string{}, []string{}
	return Peers{At: noon(), Peers: []Peer{
		{
			Cluster: "cluster-2", Role: "remote", Name: "worker-1", Address: addr("9.111.255.155"),
			Local: addr("9.111.255.21"), ASN: 64512, Up: true, State: "established", Since: ago(26 * time.Hour),
			Families: []string{"ipv4"}, EndOfRIB: []string{"ipv4"}, Flaps: 2, Advertised: 2,
			Prefixes: []PrefixCount{{Family: "ipv4", Received: 6, Accepted: 3, Rejected: 3}},
			Rejected: []Count{{Name: "outside_pod_cidrs", Count: 11}, {Name: "prefix_length", Count: 1}},
			LastRejected: []Rejection{
				{
					Prefix: prefix("20.1.0.0/8"), NextHop: addr("9.111.255.155"), Reason: "prefix_length",
					Detail: "cluster cluster-2 may announce lengths /20 to /32", At: ago(2 * time.Hour),
				},
				*degradedStatus().Clusters[0].LastRejected,
			},
		},
		{
			Cluster: "cluster-2", Role: "remote", Name: "worker-2", Address: addr("9.111.255.77"),
			Local: addr("9.111.255.21"), ASN: 64512, State: "connect", DownReason: "connection refused",
			Families: []string{}, EndOfRIB: []string{}, Prefixes: []PrefixCount{{Family: "ipv4"}},
			Rejected: []Count{}, LastRejected: []Rejection{},
		},
		down,
	}}
}

func sampleRoutes() []Route {
	return []Route{
		{
			Prefix: prefix("20.1.47.128/26"), Cluster: "cluster-2", NextHop: addr("9.111.255.77"), Device: "eth0",
			State: RouteInstalled, Since: ago(192 * time.Second), OwnerSince: ago(193 * time.Second),
			HeldSince: ago(10 * time.Second), Rivals: []netip.Addr{},
		},
		{
			Prefix: prefix("20.1.198.0/26"), Cluster: "cluster-2", NextHop: addr("9.111.255.152"), Device: "eth0",
			State: RouteInstalled, Since: ago(30 * time.Hour), OwnerSince: ago(30 * time.Hour),
			StaleSince: ago(12 * time.Minute), Rivals: []netip.Addr{addr("9.111.255.155")},
		},
		{
			Prefix: prefix("fd00:30:0:1::/116"), Cluster: "frankfurt", NextHop: addr("fd00:9::152"),
			State: RouteUnresolved, Since: ago(8 * time.Second), OwnerSince: ago(8 * time.Second), Rivals: []netip.Addr{},
			Error: "no interface that is up has fd00:9::152 in one of its subnets: the route waits until one has",
		},
	}
}

func sampleWhy() Why {
	return Why{
		At: noon(), Node: WhyNode{Cluster: "cluster-1", Address: addr("9.111.255.21")}, Address: addr("20.1.47.150"),
		Cluster: "cluster-2", Block: prefix("20.1.47.128/26"), NextHop: addr("9.111.255.77"), Device: "eth0",
		Steps: []Step{
			{Step: "cluster", State: StepGood, Why: "20.1.0.0/16 is a pod range of cluster-2"},
			{Step: "block", State: StepGood, Why: "20.1.47.128/26, announced by gyliu-ubuntu-1 9.111.255.77"},
			{
				Step: "freshness", State: StepWarning,
				Why:    "stale: it was announced until 12m ago, when the session was lost; it is kept for 48m more",
				Remedy: "bring the session with gyliu-ubuntu-1 9.111.255.77 back before that (`routed peers` says why it is down)",
			},
			{Step: "route", State: StepGood, Why: "20.1.47.128/26 via 9.111.255.77 dev eth0 is wanted"},
			{
				Step: "lookup", State: StepBroken,
				Why:    "the kernel answers otherwise: 0.0.0.0/0 via 9.111.255.1 dev eth0 proto boot, of table main by rule 100: lookup main",
				Remedy: "see what the rule is for (`ip rule`), and give it a priority above 1790 or remove it",
			},
			{Step: "neighbor", State: StepUnknown, Why: "9.111.255.1 has not been asked for on eth0 yet", Remedy: "`ping 9.111.255.1`, then ask again"},
			{
				Step: "ip-forwarding", State: StepBroken, Why: "net/ipv4/ip_forward is 0: packets of pods are dropped",
				Remedy: "sysctl -w net/ipv4/ip_forward=1, and the same in a file in /etc/sysctl.d",
			},
		},
	}
}

// goodWhy is the same way with nothing wrong.
func goodWhy() Why {
	w := sampleWhy()
	w.Steps = []Step{
		w.Steps[0], w.Steps[1],
		{Step: "policy", State: StepGood, Why: "accepted: the block lies inside 20.1.0.0/16, of allowed length, with the node as next hop"},
		{Step: "freshness", State: StepGood, Why: "fresh: the session with gyliu-ubuntu-1 9.111.255.77 has been up for 3h"},
		w.Steps[3],
		{Step: "lookup", State: StepGood, Why: "the kernel answers 20.1.47.128/26 via 9.111.255.77 dev eth0 proto 114, of table 1790 by rule 1790: to 20.1.0.0/16 lookup 1790"},
	}
	return w
}

// golden compares got with a file of testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got; `go test -update` accepts it):\n%s", file, diff)
	}
}

func indented(t *testing.T, v []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := json.Indent(&b, v, "", "  "); err != nil {
		t.Fatalf("no JSON: %v\n%s", err, v)
	}
	return b.Bytes()
}

package metrics

import (
	"bytes"
	"errors"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"routed/guard"
	"routed/kernel"
	"routed/peering"
	"routed/probe"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/expfmt"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

// A reconciler tells a Timings what it does.
var _ kernel.Observer = (*Timings)(nil)

func at(s int64) time.Time { return time.Unix(s, 0) }

func peer(role peering.Role, cluster, addr string) peering.Peer {
	return peering.Peer{Role: role, Cluster: cluster, Addr: netip.MustParseAddr(addr), Families: peering.IPv4}
}

// sample is a node with its BIRD, a cluster of two nodes, one of them down, and a cluster that is new.
func sample() Snapshot {
	k := kernel.GroupStatus{Group: "cluster-2", Wanted: 8}
	k.States[kernel.StateInstalled], k.States[kernel.StateUnresolved] = 7, 1
	return Snapshot{
		Mesh: peering.Status{
			Cluster: "cluster-1",
			BIRD: []peering.PeerStatus{{
				Peer: peer(peering.RoleBIRD, "cluster-1", "127.0.0.1"), Up: true, Since: at(1000), Flaps: 1,
				Received: [2]int{3, 0}, Accepted: [2]int{2, 0},
				Rejected: map[peering.Reason]uint64{peering.ReasonNextHop: 4},
			}},
			Clusters: []peering.ClusterStatus{
				{
					Name: "cluster-2", NodesKnown: 2, NodesUp: 1, Conflicts: 1, Held: 2,
					Limits: peering.Limits{PerNode: 256, Total: 100_000}, Prefixes: 8, Fullest: 5,
					Blocks: []peering.BlockCount{{Family: peering.IPv4, Fresh: 5, Stale: 3, Held: 2}},
					Peers: []peering.PeerStatus{
						{
							Peer: peer(peering.RoleRemote, "cluster-2", "9.111.255.77"), Up: true, Since: at(2000), Flaps: 2,
							Received: [2]int{6, 0}, Accepted: [2]int{5, 0},
							Rejected: map[peering.Reason]uint64{peering.ReasonOutsideRange: 9},
						},
						{
							Peer: peer(peering.RoleRemote, "cluster-2", "9.111.255.152"), Since: at(3000), Flaps: 3,
							Received: [2]int{3, 0}, Accepted: [2]int{3, 0},
							Rejected: map[peering.Reason]uint64{peering.ReasonOutsideRange: 1},
						},
					},
				},
				{Name: "cluster-3", NodesKnown: 1, Blocks: []peering.BlockCount{{Family: peering.IPv6}}},
			},
		},
		Advertised: []Advertised{{Cluster: "cluster-2", Family: peering.IPv4, Count: 2}},
		Kernel: kernel.Status{
			Routes: []kernel.GroupStatus{k}, LastResync: time.UnixMilli(4_000_500), ResyncInterval: time.Minute, Overruns: 1,
			RulesWanted: 2, RulesPresent: 1,
			Repairs: kernel.Repairs{Deleted: 1, Changed: 2, Link: 3, Resync: 4, Rule: 5},
			Changes: kernel.Changes{Add: 6, Replace: 7, Delete: 8},
			Errors:  []kernel.ErrorCount{{Op: "add", Errno: "ENETUNREACH", Count: 9}},
		},
		Guard:      guard.Status{Mode: guard.Auto, Condition: guard.Active},
		Probe:      sampleProbe(),
		Reload:     Reload{Successful: true, LastSuccessAt: at(500)},
		HostChecks: []HostCheck{{Check: "ip-forwarding", Good: 1}, {Check: "masquerade", Failed: 2, Unknown: 1}},
		Rosters: []Roster{
			{Cluster: "cluster-2", LastSuccessAt: at(600), Failures: 3},
			{Cluster: "cluster-3"},
		},
	}
}

// sampleProbe has a next hop that answers, with one address that does and one that does not, and one that does not.
func sampleProbe() probe.Status {
	good, bad := netip.MustParseAddr("9.111.255.77"), netip.MustParseAddr("9.111.255.152")
	target := func(a string, kind probe.Kind, hop netip.Addr, state probe.State) probe.TargetStatus {
		return probe.TargetStatus{
			Target: probe.Target{Addr: netip.MustParseAddr(a), Kind: kind, Cluster: "cluster-2", NextHop: hop, Guessed: kind == probe.Address},
			State:  state,
		}
	}
	answers := func(t probe.TargetStatus, rtt time.Duration, mtu int) probe.TargetStatus {
		t.Success, t.RTT, t.MTU = true, rtt, mtu
		return t
	}
	failing := target("9.111.255.152", probe.NextHop, bad, probe.Failing)
	failing.RTT, failing.MTU, failing.Reason = time.Second, 1300, "no answer within 1s"
	return probe.Status{
		Settings: probe.Settings{Interval: 30 * time.Second}, Round: 30 * time.Second, PodMTU: 1480,
		Targets: []probe.TargetStatus{
			answers(target("9.111.255.77", probe.NextHop, good, probe.Answering), 2*time.Millisecond, 1500),
			failing,
			answers(target("20.1.47.128", probe.Address, good, probe.Answering), 3*time.Millisecond, 0),
			target("20.1.47.192", probe.Address, good, probe.Silent),
			target("20.1.48.0", probe.Address, good, probe.Unprobed),
		},
	}
}

func collect(s Snapshot, o Options) *Collector {
	return NewCollector(func() (Snapshot, error) { return s, nil }, o)
}

func TestASnapshotThatFailsIsAFailedScrape(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(NewCollector(func() (Snapshot, error) { return Snapshot{}, errors.New("the mesh loop does not turn") }, Options{}))
	families, err := reg.Gather()
	if err == nil || len(families) != 0 {
		t.Errorf("gathered %d families and error %v, want none and the snapshot's error", len(families), err)
	}
}

// pedantic is a registry that also compares what is collected with what was described.
func pedantic(t *testing.T, c ...prometheus.Collector) *prometheus.Registry {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	for _, one := range c {
		if err := r.Register(one); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// exposition is what a scrape would say.
func exposition(t *testing.T, g prometheus.Gatherer) []byte {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&b, f); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

func TestGolden(t *testing.T) {
	for name, c := range map[string]*Collector{
		"sample.prom":     collect(sample(), Options{}),
		"sample_few.prom": collect(sample(), Options{NoPeerLabel: true}),
		"just_started.prom": collect(Snapshot{
			Mesh: peering.Status{BIRD: []peering.PeerStatus{{Peer: peer(peering.RoleBIRD, "cluster-1", "127.0.0.1")}}},
		}, Options{}),
	} {
		t.Run(name, func(t *testing.T) {
			got := exposition(t, pedantic(t, c))
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
			if err := testutil.CollectAndCompare(c, bytes.NewReader(want)); err != nil {
				t.Error(err)
			}
		})
	}
}

// Without the peer label a session of the cluster that is down makes it 0, and no time or flap is lost.
func TestNoPeerLabel(t *testing.T) {
	c := collect(sample(), Options{NoPeerLabel: true})
	err := testutil.CollectAndCompare(c, strings.NewReader(`
# HELP routed_bgp_session_established_timestamp_seconds When the BGP session was established; absent while it is not.
# TYPE routed_bgp_session_established_timestamp_seconds gauge
routed_bgp_session_established_timestamp_seconds{cluster="cluster-1",role="bird"} 1000
routed_bgp_session_established_timestamp_seconds{cluster="cluster-2",role="remote"} 2000
# HELP routed_bgp_session_flaps_total How often the BGP session left Established.
# TYPE routed_bgp_session_flaps_total counter
routed_bgp_session_flaps_total{cluster="cluster-1",role="bird"} 1
routed_bgp_session_flaps_total{cluster="cluster-2",role="remote"} 5
# HELP routed_bgp_session_up Whether the BGP session is established.
# TYPE routed_bgp_session_up gauge
routed_bgp_session_up{cluster="cluster-1",role="bird"} 1
routed_bgp_session_up{cluster="cluster-2",role="remote"} 0
`), "routed_bgp_session_up", "routed_bgp_session_flaps_total", "routed_bgp_session_established_timestamp_seconds")
	if err != nil {
		t.Error(err)
	}
}

func TestLint(t *testing.T) {
	problems, err := testutil.GatherAndLint(pedantic(t, collect(sample(), Options{}), NewTimings()))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// names is what the table of docs/metrics.md promises.
func names() []string {
	return []string{
		"routed_build_info",
		"routed_bgp_session_up", "routed_bgp_session_established_timestamp_seconds", "routed_bgp_session_flaps_total",
		"routed_bgp_prefixes", "routed_bgp_prefixes_rejected_total",
		"routed_cluster_nodes", "routed_cluster_blocks", "routed_withdrawals_held", "routed_block_conflicts",
		"routed_prefix_limit", "routed_prefix_limit_used",
		"routed_roster_last_success_timestamp_seconds", "routed_roster_failures_total",
		"routed_routes", "routed_rules", "routed_route_repairs_total", "routed_route_changes_total", "routed_reconcile_errors_total",
		"routed_reconcile_duration_seconds", "routed_convergence_seconds",
		"routed_last_successful_resync_timestamp_seconds", "routed_netlink_overruns_total",
		"routed_resync_interval_seconds",
		"routed_guard_active", "routed_guard_wanted", "routed_host_checks",
		"routed_config_last_reload_successful", "routed_config_last_reload_success_timestamp_seconds",
		"routed_probe_targets", "routed_probe_success", "routed_probe_rtt_seconds", "routed_path_mtu_bytes", "routed_pod_mtu_bytes",
		"routed_probe_possible", "routed_probe_round_seconds",
	}
}

func TestRegistryHasWhatIsDocumented(t *testing.T) {
	build := Build{Version: "0.1.0", Revision: "abc", GoVersion: "go1.26"}
	r, err := NewRegistry(build, collect(sample(), Options{}), NewTimings())
	if err != nil {
		t.Fatal(err)
	}
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), "routed_") {
			got = append(got, f.GetName())
			row := "| `" + f.GetName() + "` | " + strings.ToLower(f.GetType().String())
			if !strings.Contains(string(page), row) {
				t.Errorf("docs/metrics.md has no row that begins %q", row)
			}
		}
	}
	want := names()
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, other := range []string{"go_goroutines", "process_open_fds"} {
		if n, err := testutil.GatherAndCount(r, other); err != nil || n == 0 {
			t.Errorf("%s: %d series, %v", other, n, err)
		}
	}
	if n := strings.Count(string(page), "| `routed_"); n != len(want) {
		t.Errorf("docs/metrics.md has %d rows for %d metrics", n, len(want))
	}
}

func TestRegistryRefusesTheSameTwice(t *testing.T) {
	if _, err := NewRegistry(Build{}, NewTimings(), NewTimings()); err == nil {
		t.Error("registered twice without an error")
	}
}

// Every reason that policy has is there from the start, at 0.
func TestReasonsArePresent(t *testing.T) {
	n := testutil.CollectAndCount(collect(sample(), Options{}), "routed_bgp_prefixes_rejected_total")
	if want := 3 * len(peering.Reasons()); n != want {
		t.Errorf("%d series for our own and two remote clusters, want %d", n, want)
	}
	page, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, reason := range peering.Reasons() {
		if !strings.Contains(string(page), "`"+string(reason)+"`") {
			t.Errorf("docs/metrics.md does not name the reason %s", reason)
		}
	}
}

// With 1,000 nodes, all probed, and 100,000 routes the number of series follows the sessions, not the routes, and without the peer
// label not even these.
func TestCardinalityIsBounded(t *testing.T) {
	s := sample()
	c := &s.Mesh.Clusters[0]
	a := netip.MustParseAddr("9.112.0.0")
	for range 1000 {
		a = a.Next()
		c.Peers = append(c.Peers, peering.PeerStatus{
			Peer: peer(peering.RoleRemote, "cluster-2", a.String()), Up: true, Since: at(1), Received: [2]int{100, 0},
			Accepted: [2]int{100, 0},
		})
	}
	for i := range 2 * 1000 {
		hop := netip.AddrFrom4([4]byte{9, 112, byte(i / 2 >> 8), byte(i / 2)})
		s.Probe.Targets = append(s.Probe.Targets, probe.TargetStatus{
			Target: probe.Target{Addr: hop, Kind: []probe.Kind{probe.NextHop, probe.Address}[i%2], Cluster: "cluster-2", NextHop: hop},
			State:  probe.Answering, Success: true, RTT: time.Millisecond, MTU: 1500,
		})
	}
	c.Blocks[0].Fresh, s.Kernel.Routes[0].Wanted = 100_000, 100_000
	few := testutil.CollectAndCount(collect(s, Options{NoPeerLabel: true}))
	if few > 150 {
		t.Errorf("%d series without the peer label", few)
	}
	if n := testutil.CollectAndCount(collect(s, Options{})); n > few+(3+6)*1003 {
		t.Errorf("%d series with the peer label, %d without", n, few)
	}
}

// A cluster's name that is no UTF-8 is an error of the scrape, not a panic.
func TestBadLabel(t *testing.T) {
	s := sample()
	s.Mesh.Clusters[1].Name = "\xff"
	if _, err := pedantic(t, collect(s, Options{})).Gather(); err == nil {
		t.Error("no error")
	}
}

func TestTimings(t *testing.T) {
	tm := NewTimings()
	if got := tm.Last(); !got.At.IsZero() {
		t.Errorf("Last before anything: %+v", got)
	}
	if n := testutil.CollectAndCount(tm, "routed_reconcile_duration_seconds"); n != 3 {
		t.Errorf("%d kinds from the start", n)
	}
	tm.Reconciled("change", 60*time.Microsecond)
	tm.Reconciled("resync", 250*time.Millisecond)
	tm.Converged(20 * time.Second) // more than the last bucket
	families, err := pedantic(t, tm).Gather()
	if err != nil {
		t.Fatal(err)
	}
	count, sum := map[string]uint64{}, map[string]float64{}
	first := map[string]uint64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			key := f.GetName()
			if l := m.GetLabel(); len(l) == 1 {
				key = f.GetName() + " " + l[0].GetValue()
			}
			count[key], sum[key] = m.GetHistogram().GetSampleCount(), m.GetHistogram().GetSampleSum()
			first[key] = m.GetHistogram().GetBucket()[1].GetCumulativeCount() // up to 100 µs
		}
	}
	want := map[string]uint64{
		"routed_convergence_seconds": 1, "routed_reconcile_duration_seconds change": 1,
		"routed_reconcile_duration_seconds repair": 0, "routed_reconcile_duration_seconds resync": 1,
	}
	if diff := cmp.Diff(want, count); diff != "" {
		t.Error(diff)
	}
	if sum["routed_convergence_seconds"] != 20 || first["routed_reconcile_duration_seconds change"] != 1 ||
		first["routed_reconcile_duration_seconds resync"] != 0 {
		t.Errorf("sums %v, in the second bucket %v", sum, first)
	}
	if got := tm.Last(); got.Kind != "resync" || got.Took != 250*time.Millisecond || got.At.IsZero() {
		t.Errorf("Last: %+v", got)
	}
}

func TestBucketsRise(t *testing.T) {
	b := buckets()
	if !slices.IsSorted(b) || b[0] != 50e-6 || b[len(b)-1] != 10 || !slices.Contains(b, 0.3) {
		t.Errorf("buckets %v", b)
	}
}

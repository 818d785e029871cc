// Package prometheus has no code: it tests the rules, dashboards and examples beside it against the exporter and with
// Prometheus's own promtool.
package prometheus

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"routed/guard"
	"routed/kernel"
	"routed/lab"
	"routed/metrics"
	"routed/peering"
	"routed/probe"
)

func TestMain(m *testing.M) {
	if err := lab.Fetch(context.Background(), lab.Prometheus); err != nil {
		fmt.Fprintln(os.Stderr, "promtool:", err)
	}
	os.Exit(m.Run())
}

// promtool runs it on the input and fails the test with all it says when that is not fine.
func promtool(t *testing.T, input string, args ...string) {
	t.Helper()
	lab.NeedTools(t, lab.Prometheus)
	found, err := lab.Prometheus.Find()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), found.Path(lab.Prometheus.Program), args...)
	cmd.Env = append(os.Environ(), found.Env()...)
	cmd.Stdin = strings.NewReader(input)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func TestRules(t *testing.T) {
	t.Parallel()
	promtool(t, "", "check", "rules", "--lint-fatal", "recording.yaml", "alerts.yaml")
}

func TestAlertsFireWhenTheyShould(t *testing.T) {
	t.Parallel()
	promtool(t, "", "test", "rules", "alerts_test.yaml")
}

func TestScrapeConfig(t *testing.T) {
	t.Parallel()
	promtool(t, "", "check", "config", "--lint-fatal", "prometheus.yaml")
}

func TestExposition(t *testing.T) {
	t.Parallel()
	promtool(t, scrape(t), "check", "metrics")
}

// scrape serves a daemon's metrics as the daemon does, every family with a series, and asks for them.
func scrape(t *testing.T) string {
	t.Helper()
	build := metrics.Build{Version: "v0.1.0", Revision: "abc", GoVersion: "go1.26"}
	registry, err := metrics.NewRegistry(build, metrics.NewTimings(),
		metrics.NewCollector(func() (metrics.Snapshot, error) { return snapshot(), nil }, metrics.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	l, err := metrics.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	fine := func() error { return nil }
	srv := metrics.NewServer(metrics.ServerConfig{
		Registry: registry, Page: http.NotFoundHandler(), Log: slog.New(slog.DiscardHandler), Healthy: fine, Ready: fine,
	})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	resp, err := http.Get("http://" + l.Addr().String() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s, %v: %s", resp.Status, err, body)
	}
	return string(body)
}

func snapshot() metrics.Snapshot {
	peer := func(role peering.Role, cluster, addr string) peering.PeerStatus {
		return peering.PeerStatus{
			Peer: peering.Peer{Role: role, Cluster: cluster, Addr: netip.MustParseAddr(addr), Families: peering.IPv4},
			Up:   true, Since: time.Unix(1000, 0),
		}
	}
	return metrics.Snapshot{
		Mesh: peering.Status{
			BIRD: []peering.PeerStatus{peer(peering.RoleBIRD, "cluster-1", "127.0.0.1")},
			Clusters: []peering.ClusterStatus{{
				Name: "cluster-2", NodesKnown: 1, NodesUp: 1, Limits: peering.Limits{PerNode: 256, Total: 100_000},
				Blocks: []peering.BlockCount{{Family: peering.IPv4, Fresh: 1}},
				Peers:  []peering.PeerStatus{peer(peering.RoleRemote, "cluster-2", "9.111.255.77")},
			}},
		},
		Kernel:  kernel.Status{Errors: []kernel.ErrorCount{{Op: "add", Errno: "EINVAL", Count: 1}}},
		Guard:   guard.Status{Mode: guard.Auto, Condition: guard.Active},
		Rosters: []metrics.Roster{{Cluster: "cluster-2"}},
		Probe:   probes(),

		HostChecks: []metrics.HostCheck{{Check: "masquerade", Good: 1}},
	}
}

func probes() probe.Status {
	hop := netip.MustParseAddr("9.111.255.77")
	return probe.Status{
		Settings: probe.Settings{Interval: 30 * time.Second}, Round: 30 * time.Second, PodMTU: 1480,
		Targets: []probe.TargetStatus{{
			Target: probe.Target{Addr: hop, Kind: probe.NextHop, Cluster: "cluster-2", NextHop: hop},
			State:  probe.Answering, Success: true, RTT: time.Millisecond, MTU: 1500,
		}},
	}
}

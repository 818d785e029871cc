package lab_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"routed/admin"
	"routed/lab"
)

// envAway says how long what goes away in TestAway stays away once everybody has noticed: `make partition` has ten minutes.
// Unset it comes back then.
const envAway = "ROUTED_PARTITION"

// brakeHold is how long the brake holds in TestAway.
const brakeHold = 5 * time.Second

// TestAway takes away what must not cost a route: the other cluster, by the network between or because it says so itself,
// and the local BIRD.
func TestAway(t *testing.T) {
	var away time.Duration
	if s := os.Getenv(envAway); s != "" {
		var err error
		away, err = time.ParseDuration(s)
		must(t, err)
	}
	m := newMesh(t, lab.BIRD{Tool: lab.BIRD2, Peering: lab.Accept})
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout+2*away)
	defer cancel()
	m.ctx = ctx
	for _, node := range m.Nodes() {
		node.EditRouted(func(text string) string {
			return text + fmt.Sprintf("timers: {holdTime: 3s}\nmesh: {withdrawalBrake: {hold: %s}}\n", brakeHold)
		})
	}
	_ = t.Run("ColdStart", m.testColdStart) &&
		t.Run("ClusterPartitioned", func(t *testing.T) { m.testPartition(t, away) }) &&
		t.Run("BIRDAway", func(t *testing.T) { m.testBIRDLongAway(t, away) }) &&
		t.Run("ClusterWithdrawsByMistake", m.testBrakeGivesTime) &&
		t.Run("ClusterWithdraws", m.testBrakeLetsGo)
	m.checkRaces(t)
}

// testPartition cuts the clusters off from each other until every session has died of silence and, with that, for as long
// as told. A daemon that is killed meanwhile adopts its routes. Nothing happens to a route in any kernel.
func (m *mesh) testPartition(t *testing.T, long time.Duration) {
	t.Helper()
	lab.Need(t, lab.Ping)
	monitors, err := m.MonitorAll(m.ctx)
	must(t, err)
	before := m.tables(t, m.Nodes())
	must(t, m.Split(m.ctx, "cluster-2"))
	cut := time.Now()
	m.waitStatus(t, m.Nodes(), "every session to die of silence", func(node *lab.Node, s admin.Status) error {
		c := s.Clusters[0]
		silent := 0
		for _, n := range c.NodesDown {
			if strings.Contains(n.Reason, "hold timer") {
				silent++
			}
		}
		if silent != len(m.RemoteOf(node)) {
			return fmt.Errorf("down: %+v", c.NodesDown)
		}
		return nil
	})
	t.Logf("every session was down after %s", time.Since(cut).Round(time.Millisecond))
	for _, node := range m.Nodes() {
		remote := m.RemoteOf(node)[0].Cluster.Name
		m.wantFirstProblem(t, node, "CRITICAL cluster-unreachable", remote)
		m.wantMetrics(t, node,
			fmt.Sprintf(`routed_cluster_nodes{cluster="%s",state="up"} 0`, remote),
			fmt.Sprintf(`routed_cluster_blocks{cluster="%s",family="ipv4",state="stale"} 3`, remote),
			fmt.Sprintf(`routed_routes{cluster="%s",family="ipv4",state="installed"} 3`, remote))
	}
	node := m.Node("gyliu-icp-1")
	if _, err := node.Ping(m.ctx, m.RemoteOf(node)[0].Spec.Addr); err == nil {
		t.Error("the clusters reach each other")
	}

	must(t, node.KillRouted(m.ctx))
	must(t, node.StartRouted(m.ctx, m.binary, m.bird.Peering))
	m.waitStatus(t, []*lab.Node{node}, "the restarted routed to have adopted its routes", func(_ *lab.Node, s admin.Status) error {
		if b := s.Clusters[0].Blocks; !s.Mesh.OwnKnown || b[0].Stale != 3 {
			return fmt.Errorf("own blocks known: %v, blocks %+v", s.Mesh.OwnKnown, b)
		}
		return nil
	})
	stays(m.ctx, t, long, before.check)

	must(t, m.Join(m.ctx))
	joined := time.Now()
	m.waitHealthy(t)
	t.Logf("healthy %s after the clusters reached each other again", time.Since(joined).Round(time.Millisecond))
	must(t, m.WaitMesh(m.ctx))
	must(t, monitors.Close())
	wantUntouched(t, monitors)
}

// testBIRDLongAway takes a node's BIRD away for as long as told, and restarts its routed while it is away: the node's
// blocks stay announced, first because BIRD had announced them, then because the kernel has BIRD's routes.
func (m *mesh) testBIRDLongAway(t *testing.T, long time.Duration) {
	t.Helper()
	node := m.Node("gyliu-ubuntu-1")
	monitors, err := m.MonitorAll(m.ctx)
	must(t, err)
	before := m.tables(t, m.Nodes())
	must(t, node.KillBIRD(m.ctx))
	m.wantFirstProblem(t, node, "CRITICAL bird-down", "local BIRD")
	m.waitOwn(t, node, "retained")
	stays(m.ctx, t, long, before.check)

	must(t, node.KillRouted(m.ctx))
	must(t, node.StartRouted(m.ctx, m.binary, m.bird.Peering))
	m.waitOwn(t, node, "kernel")
	m.waitStatus(t, m.RemoteOf(node), "its block to be announced again", func(_ *lab.Node, s admin.Status) error {
		if c := s.Clusters[0]; c.NodesUp != 3 || c.Blocks[0].Fresh != 3 {
			return fmt.Errorf("%d nodes up, blocks %+v", c.NodesUp, c.Blocks)
		}
		return nil
	})
	must(t, before.check(m.ctx))

	must(t, node.StartBIRD(m.ctx, m.bird))
	m.waitHealthy(t)
	m.waitOwn(t, node, "bird")
	must(t, monitors.Close())
	for node, monitor := range monitors {
		for _, e := range monitor.Events() {
			if isMesh(e.Route) {
				t.Errorf("%s: %s", node.Spec.Name, e)
			}
		}
	}
}

// waitOwn waits until a node that is ready knows its own blocks from the source that is named.
func (m *mesh) waitOwn(t *testing.T, node *lab.Node, source string) {
	t.Helper()
	m.waitStatus(t, []*lab.Node{node}, "own blocks known from "+source, func(node *lab.Node, s admin.Status) error {
		own := s.Mesh.OwnBlocks
		if !s.Mesh.OwnKnown || len(own) != 1 || own[0].Prefix != node.Blocks()[0] || own[0].Source != source {
			return fmt.Errorf("known %v: %+v", s.Mesh.OwnKnown, own)
		}
		return nil
	})
}

// withdrawAll has every node of cluster-2 withdraw what it has at once, and waits until the brake holds that everywhere.
// What it returns announces everything again.
func (m *mesh) withdrawAll(t *testing.T, before tables) (announce func()) {
	t.Helper()
	birds := func(word string) {
		must(t, lab.Each(m.ctx, m.NodesOf("cluster-2"), func(ctx context.Context, remote *lab.Node) error {
			_, err := remote.Birdc(ctx, word, "static1") // the protocol that has the node's blocks
			return err
		}))
	}
	began := time.Now()
	birds("disable")
	if took := time.Since(began); took > time.Second {
		t.Fatalf("it took %s to have the blocks withdrawn, too long for one fall", took)
	}
	m.waitStatus(t, m.NodesOf("cluster-1"), "the brake", func(_ *lab.Node, s admin.Status) error {
		if c := s.Clusters[0]; c.Held != 3 {
			return fmt.Errorf("%d held", c.Held)
		}
		return nil
	})
	for node := range before {
		m.wantFirstProblem(t, node, "CRITICAL withdrawals-held", "nodes of cluster cluster-2 withdrew 3 of its")
		m.wantMetrics(t, node, `routed_withdrawals_held{cluster="cluster-2"} 3`,
			`routed_cluster_blocks{cluster="cluster-2",family="ipv4",state="held"} 3`)
		warnings := grep(readFile(t, node.RoutedLog()), `"event":"withdrawals-held"`)
		if !strings.Contains(warnings, `"level":"warn"`) || !strings.Contains(warnings, "of 3 ipv4 blocks withdrawn") {
			t.Errorf("%s: the log says %q", node.Spec.Name, warnings)
		}
	}
	must(t, before.check(m.ctx))
	return func() { birds("enable") }
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	must(t, err)
	return string(data)
}

// testBrakeGivesTime: a cluster that takes back in time what it withdrew has lost nothing.
func (m *mesh) testBrakeGivesTime(t *testing.T) {
	before := m.tables(t, m.NodesOf("cluster-1"))
	announce := m.withdrawAll(t, before)
	announce()
	m.waitHealthy(t)
	must(t, before.check(m.ctx))
	for node := range before {
		m.wantMetrics(t, node, `routed_withdrawals_held{cluster="cluster-2"} 0`)
	}
}

// testBrakeLetsGo: one that does not loses its routes when the time is over, all in one step.
func (m *mesh) testBrakeLetsGo(t *testing.T) {
	watchers := m.NodesOf("cluster-1")
	before := m.tables(t, watchers)
	monitors, err := m.MonitorAll(m.ctx)
	must(t, err)
	released := map[*lab.Node]int{}
	for _, node := range watchers {
		released[node] = logged(t, node, "withdrawals-released")
	}
	began := time.Now()
	announce := m.withdrawAll(t, before)
	for _, node := range watchers {
		must(t, lab.WaitFor(m.ctx, "the routes to go", tables{node: {}}.check))
	}
	must(t, monitors.Close())
	for node, hops := range before {
		for block := range hops {
			last, err := lastEvent(monitors[node], block)
			if err != nil {
				t.Errorf("%s: %s: %v", node.Spec.Name, block, err)
				continue
			}
			held := last.At.Sub(began)
			t.Logf("%s: %s went %s after it was withdrawn", node.Spec.Name, block, held.Round(time.Millisecond))
			if !last.Deleted || held < brakeHold || held > brakeHold+2*time.Second {
				t.Errorf("%s: %s after %s, want it to go after %s", node.Spec.Name, last, held, brakeHold)
			}
		}
		if logged(t, node, "withdrawals-released") != released[node]+1 {
			t.Errorf("%s: that the brake let go is not in the log", node.Spec.Name)
		}
	}
	announce()
	must(t, m.WaitMesh(m.ctx))
	m.waitHealthy(t)
}

// lastEvent is what happened last to a route of the mesh.
func lastEvent(monitor *lab.Monitor, block netip.Prefix) (lab.RouteEvent, error) {
	var last lab.RouteEvent
	for _, e := range monitor.Events() {
		if isMesh(e.Route) && e.Route.Dst == block {
			last = e
		}
	}
	if last.At.IsZero() {
		return last, errors.New("nothing happened to it")
	}
	return last, nil
}

package lab_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"

	"routed/lab"
)

// documented is the example of docs/reflectors.md for one tool, as it stands there.
func documented(t *testing.T, language string) string {
	t.Helper()
	page, err := os.ReadFile("../docs/reflectors.md")
	must(t, err)
	_, after, found := strings.Cut(string(page), "```"+language+"\n")
	text, _, closed := strings.Cut(after, "```\n")
	if !found || !closed {
		t.Fatalf("docs/reflectors.md has no example for %s", language)
	}
	return text
}

// prepareFRR changes the sandbox, once for all networks in it.
var prepareFRR = sync.OnceValue(func() error { return lab.PrepareFRR("/run") })

// reflected is the seed's mesh with the two documented reflectors between the clusters.
func reflected(t *testing.T) *mesh {
	t.Helper()
	lab.Need(t, lab.FRR, lab.BIRD2)
	must(t, prepareFRR())
	topology := lab.Seed()
	topology.Reflectors = []lab.ReflectorSpec{
		{Name: "reflector-1", Addr: netip.MustParseAddr("9.111.255.251"), Tool: lab.FRR, Config: documented(t, "frr")},
		{Name: "reflector-2", Addr: netip.MustParseAddr("9.111.255.252"), Tool: lab.BIRD2, Config: documented(t, "bird")},
	}
	ctx, net := buildTopology(t, topology)
	bird := lab.BIRD{Tool: lab.StandIn, Peering: lab.Dial}
	must(t, net.StartBIRDs(ctx, bird))
	for _, r := range net.Reflectors() {
		must(t, r.Start(ctx))
	}
	binary, err := buildRouted()
	must(t, err)
	asker, err := buildRelease()
	must(t, err)
	net.AskWith(asker)
	return &mesh{Network: net, ctx: ctx, bird: bird, binary: binary}
}

// TestReflectors plays a mesh whose clusters meet through the reflectors of docs/reflectors.md, FRR and BIRD: either may
// fail, and both may, for a while.
func TestReflectors(t *testing.T) {
	m := reflected(t)
	_ = t.Run("ColdStart", m.testReflectedStart) &&
		t.Run("PodsReachEachOther", m.testPings) &&
		t.Run("NothingIsRefused", m.testNothingRefused) &&
		t.Run("FRRKilled", func(t *testing.T) { m.testReflectorAway(t, m.Reflectors()[0]) }) &&
		t.Run("BIRDKilled", func(t *testing.T) { m.testReflectorAway(t, m.Reflectors()[1]) }) &&
		t.Run("BothKilled", m.testReflectorsAway) &&
		t.Run("DaemonKilled", m.testReflectedDaemonKilled)
	m.checkRaces(t)
}

func (m *mesh) testReflectedStart(t *testing.T) {
	must(t, lab.Each(m.ctx, m.Nodes(), func(ctx context.Context, node *lab.Node) error { return node.PeerBIRD(ctx) }))
	must(t, lab.Each(m.ctx, m.Nodes(), func(ctx context.Context, node *lab.Node) error {
		return node.StartRouted(ctx, m.binary, m.bird.Peering)
	}))
	must(t, m.WaitMesh(m.ctx))
	m.waitReflectors(t)
}

// waitReflectors waits until every node has its session with every reflector, and all is well.
func (m *mesh) waitReflectors(t *testing.T) {
	t.Helper()
	for _, r := range m.Reflectors() {
		if !r.Running() {
			t.Fatalf("%s does not run, see %s", r.Spec.Name, r.Log())
		}
	}
	must(t, m.WaitHealthy(m.ctx))
}

// The reflectors tell each cluster of the other alone.
func (m *mesh) testNothingRefused(t *testing.T) {
	for _, node := range m.Nodes() {
		out, status, err := node.Routed(m.ctx, "peers")
		must(t, err)
		if status != 0 || strings.Count(out, "9.111.255.25") != 2 || strings.Contains(out, "own_pod_cidrs") {
			t.Errorf("%s: routed peers exits %d and says:\n%s", node.Spec.Name, status, out)
		}
	}
}

// testReflectorAway kills one reflector: nothing is lost, and what changes meanwhile arrives by the other.
func (m *mesh) testReflectorAway(t *testing.T, r *lab.Reflector) {
	t.Helper()
	node, block := m.Node("gyliu-ubuntu-1"), netip.MustParsePrefix("20.1.47.192/26")
	monitors, err := m.MonitorAll(m.ctx)
	must(t, err)

	must(t, r.Kill(m.ctx))
	m.waitDegraded(t, "1 of the 2 reflectors")
	must(t, node.AddBlock(m.ctx, block))
	must(t, m.WaitMesh(m.ctx))
	must(t, node.RemoveBlock(m.ctx, block))
	must(t, m.WaitMesh(m.ctx))
	must(t, r.Start(m.ctx))
	m.waitReflectors(t)
	must(t, m.WaitMesh(m.ctx))

	must(t, monitors.Close())
	if lost := monitors.Lost(func(r lab.Route) bool { return isMesh(r) && r.Dst != block }); len(lost) > 0 {
		t.Errorf("routes were lost:\n%s", strings.Join(lost, "\n"))
	}
}

// testReflectorsAway kills both, and restarts a daemon while they are away: its routes are adopted and stay.
func (m *mesh) testReflectorsAway(t *testing.T) {
	node := m.Node("gyliu-icp-1")
	monitors, err := m.MonitorAll(m.ctx)
	must(t, err)
	for _, r := range m.Reflectors() {
		must(t, r.Kill(m.ctx))
	}
	m.waitDegraded(t, "no reflector of cluster")
	must(t, node.KillRouted(m.ctx))
	must(t, node.StartRouted(m.ctx, m.binary, m.bird.Peering))
	must(t, lab.WaitFor(m.ctx, "the restarted routed to have adopted its routes", func(ctx context.Context) error {
		out, _, err := node.Routed(ctx, "status", "-o", "json")
		if err == nil && !strings.Contains(strings.ReplaceAll(out, " ", ""), `"stale":3`) {
			err = errors.New(out)
		}
		return err
	}))
	for _, r := range m.Reflectors() {
		must(t, r.Start(m.ctx))
	}
	m.waitReflectors(t)
	must(t, m.WaitMesh(m.ctx))
	must(t, monitors.Close())
	if lost := monitors.Lost(isMesh); len(lost) > 0 {
		t.Errorf("routes were lost:\n%s", strings.Join(lost, "\n"))
	}
}

// testReflectedDaemonKilled: reflectors are no routed, but keep over its restart what a daemon announced, as it asked them to.
func (m *mesh) testReflectedDaemonKilled(t *testing.T) {
	node := m.Node("gyliu-ubuntu-1")
	monitors, err := m.MonitorAll(m.ctx)
	must(t, err)
	must(t, node.KillRouted(m.ctx))
	must(t, node.CheckMesh(m.ctx))
	must(t, node.StartRouted(m.ctx, m.binary, m.bird.Peering))
	m.waitReflectors(t)
	must(t, m.WaitMesh(m.ctx))
	must(t, monitors.Close())
	if lost := monitors.Lost(isMesh); len(lost) > 0 {
		t.Errorf("routes were lost:\n%s", strings.Join(lost, "\n"))
	}
}

// waitDegraded waits until every node says so.
func (m *mesh) waitDegraded(t *testing.T, text string) {
	t.Helper()
	must(t, lab.Each(m.ctx, m.Nodes(), func(ctx context.Context, node *lab.Node) error {
		return lab.WaitFor(ctx, "routed to notice", func(ctx context.Context) error {
			out, status, err := node.Routed(ctx, "status")
			if err == nil && (status != 1 || !strings.Contains(out, text)) {
				err = fmt.Errorf("exits %d and says:\n%s", status, out)
			}
			return err
		})
	}))
}

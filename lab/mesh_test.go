package lab_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"routed/lab"

	"github.com/google/go-cmp/cmp"
)

// What the mesh must hold, from a user's point of view. The times are for the daemons as users get them. Those with the race
// detector are slower, and held to the same, but for a cold start: that is of six processes at once.
const (
	coldStartLimit = 5 * time.Second
	blockLimit     = 300 * time.Millisecond
	repairLimit    = 2 * time.Second
	leaveLimit     = time.Second      // from SIGHUP until a node that left the roster has no routes
	healthyLimit   = 30 * time.Second // until every session is up again, whatever happened
)

// The builds of cmd/routed, each compiled once, into a folder that goes with the sandbox. The release is what `make build`
// makes.
var (
	buildRouted  = compiled("1", "-race")
	buildRelease = compiled("0", "-trimpath", "-ldflags", "-s -w")
)

func compiled(cgo string, flags ...string) func() (string, error) {
	return sync.OnceValues(func() (string, error) {
		dir, err := os.MkdirTemp("/run", "routed-")
		if err != nil {
			return "", err
		}
		binary := filepath.Join(dir, "routed")
		args := append([]string{"build", "-o", binary}, flags...)
		build := exec.Command("go", append(args, "routed/cmd/routed")...)
		build.Env = append(os.Environ(), "CGO_ENABLED="+cgo)
		if out, err := build.CombinedOutput(); err != nil {
			return "", fmt.Errorf("%w: %s", err, out)
		}
		return binary, nil
	})
}

// part is how much of the story a mesh plays.
type part int

const (
	brief part = iota // that the daemons find their BIRDs and each other
	most              // what a BIRD has a part in, and how the two meet
	whole
)

// TestMesh plays one mesh from its cold start through everything that happens to it. Each step stands on the one before.
// What a mesh proves that another does not:
//
//   - BIRD 1.6 that is dialled, as with Calico before 3.16, and BIRD 2 that dials play the whole story: between them they
//     have both BIRDs and both ways to meet, in each step.
//   - BIRD 1.6 that dials and BIRD 2 that is dialled play the steps that hang on the pair: how the two find each other at
//     first and after the end of either, and what the one makes of the other's blocks. In what other ways they end they play
//     not: the whole story has both BIRDs and both ways there. What the pods reach and what is repaired by hand is between
//     routed and the kernel.
//   - The stand-in plays it all where a BIRD is missing; where both are there, only as much as shows that it can.
//
// The cold start is timed with the release build. Those who play the whole story go on with the race detector.
func TestMesh(t *testing.T) {
	for _, v := range []struct {
		tool lab.Tool
		mode lab.Peering
		part part
	}{
		{lab.BIRD16, lab.Dial, whole},
		{lab.BIRD16, lab.Accept, most},
		{lab.BIRD2, lab.Dial, most},
		{lab.BIRD2, lab.Accept, whole},
		{lab.StandIn, lab.Dial, understudy()},
		{lab.StandIn, lab.Accept, understudy()},
	} {
		t.Run(v.tool.Package+"/"+v.mode.String(), func(t *testing.T) {
			m := newMesh(t, lab.BIRD{Tool: v.tool, Peering: v.mode})
			m.play(t, v.part)
			m.checkRaces(t)
		})
	}
}

// understudy is the part of the stand-in.
func understudy() part {
	for _, tool := range birds() {
		if _, err := tool.Find(); err != nil {
			return whole
		}
	}
	return brief
}

func (m *mesh) play(t *testing.T, p part) {
	t.Helper()
	_ = t.Run("ColdStart", m.testReleaseColdStart) &&
		(p < whole || t.Run("AllDaemonsUpgraded", m.testUpgrade)) &&
		(p < whole || t.Run("PodsReachEachOther", m.testPings)) &&
		(p < most || t.Run("BIRDIsNotChanged", m.testBIRDUnchanged)) &&
		t.Run("NewBlockAndWithdrawal", m.testBlock) &&
		(p < whole || t.Run("RouteDeletedByHand", m.testRepair)) &&
		(p < whole || t.Run("DaemonKilled", m.testDaemonKilled)) &&
		(p < most || t.Run("DaemonKilledWithABorrowedAddress", m.testBorrowed)) &&
		(p < whole || t.Run("DaemonStopped", m.testDaemonStopped)) &&
		(p < most || t.Run("BIRDStopped", m.testBIRDStopped)) &&
		(p < whole || t.Run("BIRDKilled", m.testBIRDKilled)) &&
		(p < most || t.Run("BIRDKnowsNoRemoteBlock", m.testBIRDKnowsNoRemote))
}

// mesh is a network on its way through the test.
type mesh struct {
	*lab.Network
	ctx    context.Context //nolint:containedctx // the whole test's
	bird   lab.BIRD
	binary string
	before map[string]birdView // without routed
}

func newMesh(t *testing.T, bird lab.BIRD) *mesh {
	t.Helper()
	ctx, net := buildWithBIRD(t, bird)
	binary, err := buildRouted()
	must(t, err)
	asker, err := buildRelease()
	must(t, err)
	net.AskWith(asker)
	m := &mesh{Network: net, ctx: ctx, bird: bird, binary: binary}
	m.before = m.birdState(t)
	return m
}

func (m *mesh) testColdStart(t *testing.T) { m.coldStart(t, m.binary) }

// testReleaseColdStart starts what users get.
func (m *mesh) testReleaseColdStart(t *testing.T) {
	binary, err := buildRelease()
	must(t, err)
	if took := m.coldStart(t, binary); took > coldStartLimit {
		t.Errorf("cold start took %s, limit %s", took, coldStartLimit)
	}
}

// coldStart starts every daemon at once, on nodes that never had one, and tells how long it took until every kernel held
// the mesh.
func (m *mesh) coldStart(t *testing.T, binary string) time.Duration {
	t.Helper()
	must(t, lab.Each(m.ctx, m.Nodes(), func(ctx context.Context, node *lab.Node) error { return node.PeerBIRD(ctx) }))
	began := time.Now()
	must(t, lab.Each(m.ctx, m.Nodes(), func(ctx context.Context, node *lab.Node) error {
		return node.StartRouted(ctx, binary, m.bird.Peering)
	}))
	must(t, m.WaitMesh(m.ctx))
	took := time.Since(began)
	t.Logf("the whole mesh in every kernel after %s", took.Round(time.Millisecond))
	m.waitHealthy(t)
	t.Logf("every session up and every node healthy after %s", time.Since(began).Round(time.Millisecond))
	return took
}

// testUpgrade replaces every daemon by another build, all at once: no kernel loses a route, or has one changed.
func (m *mesh) testUpgrade(t *testing.T) {
	monitors, err := m.MonitorAll(m.ctx)
	must(t, err)
	must(t, lab.Each(m.ctx, m.Nodes(), func(ctx context.Context, node *lab.Node) error {
		if err := node.StopRouted(ctx); err != nil {
			return err
		}
		return node.StartRouted(ctx, m.binary, m.bird.Peering)
	}))
	m.waitHealthy(t)
	must(t, m.WaitMesh(m.ctx))
	must(t, monitors.Close())
	wantUntouched(t, monitors)
}

// wantUntouched checks that nothing happened to the mesh in any kernel, and that none lost a route of BIRD's.
func wantUntouched(t *testing.T, monitors lab.Monitors) {
	t.Helper()
	for node, monitor := range monitors {
		for _, e := range monitor.Events() {
			if isMesh(e.Route) || e.Deleted && ofBlocks(e.Route) {
				t.Errorf("%s: %s", node.Spec.Name, e)
			}
		}
	}
}

func (m *mesh) waitHealthy(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(m.ctx, healthyLimit)
	defer cancel()
	must(t, m.WaitHealthy(ctx))
}

func (m *mesh) testPings(t *testing.T) {
	t.Helper()
	m.pingAll(t)
}

// pingAll has each node, and a pod on it, reach a pod on each node of the other cluster.
func (m *mesh) pingAll(t *testing.T) {
	t.Helper()
	lab.Need(t, lab.Ping)
	for _, from := range m.Nodes() {
		for _, to := range m.RemoteOf(from) {
			if _, err := lab.PodNamespace(from.Spec.Pods[0]).Ping(m.ctx, to.Spec.Pods[0]); err != nil {
				t.Error(err)
			}
			if _, err := from.Ping(m.ctx, to.Spec.Pods[0]); err != nil {
				t.Error(err)
			}
		}
	}
}

// birdView is what a BIRD knows and whom it talks to, routed aside.
type birdView struct {
	Routes   []string
	Sessions []lab.BIRDProtocol
}

func (m *mesh) birdState(t *testing.T) map[string]birdView {
	t.Helper()
	if m.bird.Tool == lab.StandIn {
		return nil
	}
	views := map[string]birdView{}
	for _, node := range m.Nodes() {
		// A session that is not up has no state to compare.
		must(t, lab.WaitFor(m.ctx, "its BIRD's sessions", func(ctx context.Context) error {
			return meshEstablished(ctx, node, len(m.NodesOf(node.Cluster.Name))-1)
		}))
		routes, err := node.BIRDRoutes(m.ctx)
		must(t, err)
		all, err := node.BIRDProtocols(m.ctx)
		must(t, err)
		view := birdView{Routes: routes}
		for _, p := range all {
			if p.Name != lab.RoutedProtocol {
				view.Sessions = append(view.Sessions, p)
			}
		}
		views[node.Spec.Name] = view
	}
	return views
}

// The daemons are there now: BIRD must hold what it held without them, and no session may have been disturbed.
func (m *mesh) testBIRDUnchanged(t *testing.T) {
	if diff := cmp.Diff(m.before, m.birdState(t), sameSince()); diff != "" {
		t.Errorf("BIRD without routed (-) and with it (+):\n%s", diff)
	}
	m.checkBIRDKnowsNoRemote(t)
}

// Nothing that happened made a BIRD learn of the other cluster.
func (m *mesh) testBIRDKnowsNoRemote(t *testing.T) { m.checkBIRDKnowsNoRemote(t) }

// checkBIRDKnowsNoRemote checks that no BIRD has learned a route of another cluster, by `learn` or by BGP.
func (m *mesh) checkBIRDKnowsNoRemote(t *testing.T) {
	t.Helper()
	if m.bird.Tool == lab.StandIn {
		t.Skip("a stand-in has no table to look into")
	}
	for _, node := range m.Nodes() {
		routes, err := node.Birdc(m.ctx, "show", "route")
		must(t, err)
		for _, remote := range m.RemoteOf(node) {
			for _, block := range remote.Blocks() {
				if strings.Contains(routes, block.String()) {
					t.Errorf("BIRD of %s knows %s of %s:\n%s", node.Spec.Name, block, remote.Cluster.Name, routes)
				}
			}
		}
	}
}

func (m *mesh) testBlock(t *testing.T) {
	node, block := m.Node("gyliu-ubuntu-1"), netip.MustParsePrefix("20.1.99.0/26")
	monitors, err := m.MonitorAll(m.ctx)
	must(t, err)

	m.wantBlockAndWithdrawal(t, monitors, node, block)

	must(t, monitors.Close())
	if lost := monitors.Lost(func(r lab.Route) bool { return r.Dst != block && isMesh(r) }); len(lost) > 0 {
		t.Errorf("other routes were lost: %s", strings.Join(lost, "\n"))
	}
}

// wantBlockAndWithdrawal has a node's BIRD announce a block and withdraw it.
func (m *mesh) wantBlockAndWithdrawal(t *testing.T, monitors lab.Monitors, node *lab.Node, block netip.Prefix) {
	t.Helper()
	began := time.Now() // BIRD sends its UPDATE later than this
	must(t, node.AddBlock(m.ctx, block))
	must(t, m.WaitMesh(m.ctx))
	m.wantWithin(t, monitors, node, began, block, false)

	began = time.Now()
	must(t, node.RemoveBlock(m.ctx, block))
	must(t, m.WaitMesh(m.ctx))
	m.wantWithin(t, monitors, node, began, block, true)
}

// wantWithin checks when the block came to, or went from, the kernels of the other clusters.
func (m *mesh) wantWithin(
	t *testing.T, monitors lab.Monitors, node *lab.Node, began time.Time, block netip.Prefix, deleted bool,
) {
	t.Helper()
	match := func(e lab.RouteEvent) bool { return e.Route.Dst == block && isMesh(e.Route) && e.Deleted == deleted }
	for _, remote := range m.RemoteOf(node) {
		var event lab.RouteEvent
		must(t, lab.WaitFor(m.ctx, "the monitor to tell", func(context.Context) error {
			e, ok := monitors[remote].First(began, match)
			if !ok {
				return errors.New("no event")
			}
			event = e
			return nil
		}))
		took := event.At.Sub(began)
		t.Logf("%s: %s deleted=%v after %s", remote.Spec.Name, block, deleted, took.Round(time.Millisecond))
		if took > blockLimit {
			t.Errorf("%s: %s deleted=%v took %s, limit %s", remote.Spec.Name, block, deleted, took, blockLimit)
		}
	}
}

func isMesh(r lab.Route) bool { return r.Table == lab.RoutedTable }

// ofBlocks matches the routes to pod blocks, BIRD's and routed's.
func ofBlocks(r lab.Route) bool { return isMesh(r) || r.Proto == "bird" }

func (m *mesh) testRepair(t *testing.T) {
	node, block := m.Node("gyliu-icp-1"), "20.1.47.128/26"
	_, err := node.IP(m.ctx, "route", "del", block, "table", lab.RoutedTable)
	must(t, err)
	took, err := lab.Within(m.ctx, repairLimit, "the route to come back", node.CheckMesh)
	must(t, err)
	t.Logf("%s was back after %s", block, took.Round(time.Millisecond))
}

func (m *mesh) testDaemonKilled(t *testing.T) {
	m.testDaemonAway(t, (*lab.Node).KillRouted)
}

func (m *mesh) testDaemonStopped(t *testing.T) {
	m.testDaemonAway(t, (*lab.Node).StopRouted)
}

// testDaemonAway takes one daemon away and brings it back: no kernel loses a route, before, during or after.
func (m *mesh) testDaemonAway(t *testing.T, end func(*lab.Node, context.Context) error) {
	t.Helper()
	node := m.Node("gyliu-ubuntu-1")
	monitors, err := m.MonitorAll(m.ctx)
	must(t, err)

	must(t, end(node, m.ctx))
	must(t, lab.Each(m.ctx, m.RemoteOf(node), func(ctx context.Context, remote *lab.Node) error {
		return lab.WaitFor(ctx, "routed to notice", remote.CheckDegraded)
	}))
	must(t, lab.Each(m.ctx, m.Nodes(), func(ctx context.Context, node *lab.Node) error { return node.CheckMesh(ctx) }))
	if _, err := m.Node("gyliu-icp-1").Ping(m.ctx, node.Spec.Pods[0]); err != nil {
		t.Errorf("while the daemon is away: %v", err)
	}

	must(t, node.StartRouted(m.ctx, m.binary, m.bird.Peering))
	m.waitHealthy(t)
	must(t, m.WaitMesh(m.ctx))
	must(t, monitors.Close())
	if lost := monitors.Lost(ofBlocks); len(lost) > 0 {
		t.Errorf("routes were lost:\n%s", strings.Join(lost, "\n"))
	}
}

func (m *mesh) testBIRDStopped(t *testing.T) { m.testBIRDAway(t, (*lab.Node).StopBIRD) }

func (m *mesh) testBIRDKilled(t *testing.T) { m.testBIRDAway(t, (*lab.Node).KillBIRD) }

// testBIRDAway takes one BIRD away and brings it back: nothing flaps anywhere. One thing is BIRD's own: the other BIRDs of
// its cluster drop its block until it is back when it ended with a Cease, or when their new sessions collide.
func (m *mesh) testBIRDAway(t *testing.T, end func(*lab.Node, context.Context) error) {
	t.Helper()
	node := m.Node("gyliu-ubuntu-1")
	monitors, err := m.MonitorAll(m.ctx)
	must(t, err)
	must(t, end(node, m.ctx))
	must(t, lab.WaitFor(m.ctx, "routed to notice", node.CheckDegraded))
	must(t, node.StartBIRD(m.ctx, m.bird))
	if m.bird.Tool != lab.StandIn {
		must(t, lab.WaitFor(m.ctx, "BIRD's sessions", func(ctx context.Context) error {
			return established(ctx, node, len(m.NodesOf(node.Cluster.Name))) // the other nodes, and routed
		}))
	}
	m.waitHealthy(t)
	must(t, m.WaitMesh(m.ctx))
	must(t, m.WaitBIRD(m.ctx))
	must(t, monitors.Close())
	kept := func(r lab.Route) bool { return isMesh(r) || r.Proto == "bird" && r.Via != node.Spec.Addr }
	if lost := monitors.Lost(kept); len(lost) > 0 {
		t.Errorf("routes were lost:\n%s", strings.Join(lost, "\n"))
	}
}

// checkRaces looks for the race detector's reports in what the daemons wrote.
func (m *mesh) checkRaces(t *testing.T) {
	t.Helper()
	for _, node := range m.Nodes() {
		log, err := os.ReadFile(node.RoutedLog())
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Error(err)
		}
		for report := range strings.SplitSeq(string(log), "==================\n") {
			if strings.HasPrefix(report, "WARNING: DATA RACE") {
				t.Errorf("%s: %s", node.Spec.Name, report)
			}
		}
	}
}

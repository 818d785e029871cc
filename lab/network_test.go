package lab_test

import (
	"context"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"routed/lab"
)

// testTimeout bounds one test's waiting; what must be faster says so itself.
const testTimeout = 3 * time.Minute

func build(t *testing.T) (context.Context, *lab.Network) {
	t.Helper()
	return buildTopology(t, lab.Seed())
}

func buildTopology(t *testing.T, topology lab.Topology) (context.Context, *lab.Network) {
	t.Helper()
	lab.Need(t)
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	t.Cleanup(cancel)
	net, err := lab.Build(ctx, topology)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			showLogs(t, net)
		}
		if err := net.Close(); err != nil {
			t.Error(err)
		}
	})
	return ctx, net
}

// showLogs prints the end of every daemon's log; they are gone with the network.
func showLogs(t *testing.T, net *lab.Network) {
	t.Helper()
	var logs []string
	for _, r := range net.Reflectors() {
		logs = append(logs, r.Log())
	}
	for _, node := range net.Nodes() {
		logs = append(logs, node.BIRDLog(), node.RoutedLog())
	}
	for _, path := range logs {
		data, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		lines := strings.Split(strings.TrimSpace(string(data)), "\n")
		t.Logf("%s:\n%s", path, strings.Join(lines[max(0, len(lines)-25):], "\n"))
	}
}

func buildWithBIRD(t *testing.T, bird lab.BIRD) (context.Context, *lab.Network) {
	t.Helper()
	lab.Need(t, bird.Tool)
	ctx, net := build(t)
	must(t, net.StartBIRDs(ctx, bird))
	return ctx, net
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// birds are the BIRDs there are.
func birds() []lab.Tool { return []lab.Tool{lab.BIRD16, lab.BIRD2} }

func TestBuildAndClose(t *testing.T) {
	lab.Need(t)
	before := surroundings(t)
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	for range 3 {
		began := time.Now()
		net, err := lab.Build(ctx, lab.Seed())
		must(t, err)
		t.Logf("built in %s", time.Since(began).Round(time.Millisecond))
		must(t, net.Close())
	}
	if after := surroundings(t); !slices.Equal(without(lines(before), "/run/netns"), without(lines(after), "/run/netns")) {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

func lines(s string) []string { return slices.Collect(strings.Lines(s)) }

func without(lines []string, word string) []string {
	return slices.DeleteFunc(lines, func(s string) bool { return strings.Contains(s, word) })
}

func TestBuildRefusesWhatCannotBe(t *testing.T) {
	lab.Need(t)
	topology := lab.Seed()
	topology.Clusters[1].Nodes[0].Addr = topology.Clusters[0].Nodes[0].Addr
	topology.Clusters[1].Nodes[1].Blocks[0] = netip.MustParsePrefix("30.0.0.0/26")
	_, err := lab.Build(t.Context(), topology)
	if err == nil {
		t.Fatal("built")
	}
	for _, want := range []string{
		"9.111.255.21 is used by gyliu-icp-1 and gyliu-ubuntu-3",
		"gyliu-ubuntu-2: 30.0.0.0/26 is not a block of cluster-2 20.1.0.0/16",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %q", want, err)
		}
	}
}

// The network without any daemon is Calico's: a node reaches its own pod and the other nodes, no other pod.
func TestPodsBehindNodes(t *testing.T) {
	lab.Need(t, lab.Ping)
	ctx, net := build(t)
	must(t, lab.Each(ctx, net.Nodes(), func(ctx context.Context, node *lab.Node) error {
		own := node.Spec.Pods[0]
		if _, err := node.Ping(ctx, own); err != nil {
			return err
		}
		for _, other := range net.Nodes() {
			if _, err := node.Ping(ctx, other.Spec.Addr); err != nil {
				return err
			}
		}
		_, err := lab.PodNamespace(own).Ping(ctx, node.Spec.Addr)
		return err
	}))
	if _, err := net.Node("gyliu-icp-1").Ping(ctx, net.Node("gyliu-icp-2").Spec.Pods[0]); err == nil {
		t.Error("a pod of another node answers although nobody routes to it")
	}
}

// TestBIRDs looks at the network with its BIRDs alone. That their routes outlive them is checked in TestMesh.
func TestBIRDs(t *testing.T) {
	for _, tool := range birds() {
		t.Run(tool.Package, func(t *testing.T) {
			ctx, net := buildWithBIRD(t, lab.BIRD{Tool: tool, Peering: lab.Dial})
			t.Run("MeshWithinClustersOnly", func(t *testing.T) { testBIRDMesh(ctx, t, net) })
			t.Run("BlocksComeAndGo", func(t *testing.T) { testBlocksComeAndGo(ctx, t, net) })
		})
	}
}

func testBIRDMesh(ctx context.Context, t *testing.T, net *lab.Network) {
	t.Helper()
	lab.Need(t, lab.Ping)
	far := netip.MustParseAddr("20.1.47.150")
	for _, node := range net.NodesOf("cluster-1") {
		for _, other := range net.NodesOf("cluster-1") {
			if _, err := lab.PodNamespace(node.Spec.Pods[0]).Ping(ctx, other.Spec.Pods[0]); err != nil {
				t.Errorf("within the cluster: %v", err)
			}
		}
		if _, err := node.Ping(ctx, far); err == nil {
			t.Errorf("%s reaches %s without any route between the clusters", node.Spec.Name, far)
		}
	}
	routes, err := net.Node("gyliu-icp-1").RouteTable(ctx, "main")
	must(t, err)
	wantRoute(t, routes, lab.Route{
		Type: "blackhole", Dst: netip.MustParsePrefix("10.1.198.128/26"), Proto: "bird", Table: "main",
	})
	wantRoute(t, routes, lab.Route{
		Type: "unicast", Dst: netip.MustParsePrefix("10.1.43.0/26"), Via: netip.MustParseAddr("9.111.255.29"),
		Dev: "eth0", Proto: "bird", Table: "main",
	})
}

// wantRoute looks for a route, its metric aside: BIRD 2 sets 32 and BIRD 1.6 none.
func wantRoute(t *testing.T, routes []lab.Route, want lab.Route) {
	t.Helper()
	if !slices.ContainsFunc(routes, func(r lab.Route) bool { r.Metric = 0; return r == want }) {
		t.Errorf("no route %+v in %+v", want, routes)
	}
}

func testBlocksComeAndGo(ctx context.Context, t *testing.T, net *lab.Network) {
	t.Helper()
	node, block := net.Node("gyliu-icp-2"), netip.MustParsePrefix("10.1.77.64/26")
	monitor, err := net.Node("gyliu-icp-3").Monitor(ctx)
	must(t, err)

	must(t, node.AddBlock(ctx, block))
	must(t, net.WaitBIRD(ctx))
	must(t, node.RemoveBlock(ctx, block))
	must(t, net.WaitBIRD(ctx))

	must(t, monitor.Close())
	var seen []bool
	for _, e := range monitor.Events() {
		if e.Route.Dst == block {
			seen = append(seen, e.Deleted)
		}
	}
	if !slices.Equal(seen, []bool{false, true}) {
		t.Errorf("events of %s: deleted %v, want it added and then deleted: %v", block, seen, monitor.Events())
	}
	if err := node.RemoveBlock(ctx, block); err == nil {
		t.Error("a block that is not there was removed")
	}
}

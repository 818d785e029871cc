package lab_test

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routed/admin"
	"routed/lab"
)

// familiesStartLimit is five seconds, and what it takes to start daemons of the race detector on two processors.
const familiesStartLimit = 5*time.Second + 3*time.Second

// threeClusters are dual-stack clusters of different kinds. Those of AS 64512 have iBGP between them and a session for each
// family; the third has eBGP and one session for both. A pod of gyliu-icp-2 has borrowed its addresses from gyliu-icp-1.
func threeClusters() lab.Topology {
	cluster := func(n int, asn uint32, nodes ...lab.NodeSpec) lab.ClusterSpec {
		return lab.ClusterSpec{
			Name: fmt.Sprintf("cluster-%d", n), ASN: asn, Nodes: nodes,
			PodCIDR: prefix("%d.1.0.0/16", 10*n), PodCIDR6: prefix("fd00:%d::/48", 10*n), ServiceCIDR: prefix("%d.0.0.0/24", 10*n),
		}
	}
	node := func(name string, host int, pods ...string) lab.NodeSpec {
		n := lab.NodeSpec{Name: name, Addr: addr("9.111.255.%d", host), Addr6: addr("fd00:9::%d", host)}
		for _, p := range pods {
			n.Pods = append(n.Pods, netip.MustParseAddr(p))
		}
		for _, p := range n.Pods[:2] { // the others are borrowed
			n.Blocks = append(n.Blocks, netip.PrefixFrom(p, p.BitLen()-6).Masked())
		}
		return n
	}
	third := cluster(3, 65003, node("gyliu-third-1", 33, "30.1.7.9", "fd00:30::7:9"))
	third.OneSession = true
	return lab.Topology{
		LAN: prefix("9.111.255.0/24"), LAN6: prefix("fd00:9::/64"),
		Clusters: []lab.ClusterSpec{
			cluster(1, lab.CalicoASN,
				node("gyliu-icp-1", 21, "10.1.198.140", "fd00:10::198:c"),
				node("gyliu-icp-2", 29, "10.1.43.9", "fd00:10::43:9", "10.1.198.141", "fd00:10::198:d")),
			cluster(2, lab.CalicoASN, node("gyliu-ubuntu-1", 77, "20.1.47.150", "fd00:20::47:16")),
			third,
		},
	}
}

func prefix(format string, args ...any) netip.Prefix {
	return netip.MustParsePrefix(fmt.Sprintf(format, args...))
}

func addr(format string, args ...any) netip.Addr {
	return netip.MustParseAddr(fmt.Sprintf(format, args...))
}

// newFamilies is a mesh whose clusters run their BIRDs in different ways.
func newFamilies(t *testing.T, topology lab.Topology, birds map[string]lab.BIRD) *mesh {
	t.Helper()
	lab.Need(t, lab.BIRD16, lab.BIRD2, lab.Ping)
	ctx, net := buildTopology(t, topology)
	must(t, lab.Each(ctx, net.Nodes(), func(ctx context.Context, node *lab.Node) error {
		return node.StartBIRD(ctx, birds[node.Cluster.Name])
	}))
	must(t, net.WaitBIRD(ctx))
	binary, err := buildRouted()
	must(t, err)
	return &mesh{Network: net, ctx: ctx, binary: binary}
}

// TestThreeClusters plays a mesh of three dual-stack clusters.
func TestThreeClusters(t *testing.T) {
	m := newFamilies(t, threeClusters(), map[string]lab.BIRD{
		"cluster-1": {Tool: lab.BIRD16, Peering: lab.Accept},
		"cluster-2": {Tool: lab.BIRD2, Peering: lab.Dial},
		"cluster-3": {Tool: lab.BIRD2, Peering: lab.Accept, OneSession: true},
	})
	_ = t.Run("ColdStart", m.testFamiliesStart) &&
		t.Run("PodsReachEachOther", m.testAllPings) &&
		t.Run("NothingIsPassedOn", m.testNothingPassedOn) &&
		t.Run("BIRDKnowsNoRemoteBlock", m.testBIRDKnowsNoRemote) &&
		t.Run("NewBlockAndWithdrawal", m.testBlocksOfBothFamilies) &&
		t.Run("OneSessionBecomesTwo", func(t *testing.T) { m.testOtherWay(t, false) }) &&
		t.Run("TwoSessionsBecomeOne", func(t *testing.T) { m.testOtherWay(t, true) }) &&
		t.Run("DaemonKilled", func(t *testing.T) { m.testRestart(t, m.Node("gyliu-third-1"), (*lab.Node).KillRouted) }) &&
		t.Run("DaemonStopped", func(t *testing.T) { m.testRestart(t, m.Node("gyliu-icp-2"), (*lab.Node).StopRouted) })
	m.checkRaces(t)
}

// TestIPv6Only plays a mesh of two clusters without any IPv4 address.
func TestIPv6Only(t *testing.T) {
	topology := threeClusters()
	topology.LAN, topology.Clusters = netip.Prefix{}, topology.Clusters[:2]
	topology.Clusters[0].Nodes = topology.Clusters[0].Nodes[:1]
	for i := range topology.Clusters {
		c := &topology.Clusters[i]
		c.PodCIDR, c.ServiceCIDR = netip.Prefix{}, netip.Prefix{}
		n := &c.Nodes[0]
		n.Addr, n.Blocks, n.Pods = netip.Addr{}, n.Blocks[1:], n.Pods[1:]
	}
	m := newFamilies(t, topology, map[string]lab.BIRD{
		"cluster-1": {Tool: lab.BIRD16, Peering: lab.Dial}, "cluster-2": {Tool: lab.BIRD2, Peering: lab.Accept},
	})
	_ = t.Run("ColdStart", m.testFamiliesStart) &&
		t.Run("PodsReachEachOther", m.testAllPings) &&
		t.Run("NothingIsPassedOn", m.testNothingPassedOn) &&
		t.Run("DoctorAndCheck", m.testDoctorOfIPv6) &&
		t.Run("RestartWithoutBIRD", m.testRestartWithoutBIRD)
	m.checkRaces(t)
}

func (m *mesh) testFamiliesStart(t *testing.T) {
	must(t, lab.Each(m.ctx, m.Nodes(), func(ctx context.Context, node *lab.Node) error { return node.PeerBIRD(ctx) }))
	began := time.Now()
	must(t, lab.Each(m.ctx, m.Nodes(), func(ctx context.Context, node *lab.Node) error {
		return node.StartRouted(ctx, m.binary, node.BIRD().Peering)
	}))
	must(t, m.WaitMesh(m.ctx))
	took := time.Since(began)
	t.Logf("the whole mesh in every kernel after %s", took.Round(time.Millisecond))
	if took > familiesStartLimit {
		t.Errorf("cold start took %s, limit %s", took, familiesStartLimit)
	}
	m.waitHealthy(t)
}

// testAllPings has every node, and every pod, reach every pod of the other clusters, of its family.
func (m *mesh) testAllPings(t *testing.T) {
	for _, from := range m.Nodes() {
		for _, to := range m.RemoteOf(from) {
			for _, pod := range to.Spec.Pods {
				sources := []lab.Namespace{from.Namespace}
				for _, own := range from.Spec.Pods {
					if own.Is6() == pod.Is6() {
						sources = append(sources, lab.PodNamespace(own))
					}
				}
				for _, source := range sources {
					if _, err := source.Ping(m.ctx, pod); err != nil {
						t.Errorf("%s: %v", source, err)
					}
				}
			}
		}
	}
}

// testRestart takes a daemon away and brings it back: no kernel loses a route.
func (m *mesh) testRestart(t *testing.T, node *lab.Node, end func(*lab.Node, context.Context) error) {
	t.Helper()
	monitors, err := m.MonitorAll(m.ctx)
	must(t, err)
	must(t, end(node, m.ctx))
	must(t, lab.Each(m.ctx, m.RemoteOf(node), func(ctx context.Context, remote *lab.Node) error {
		return lab.WaitFor(ctx, "routed to notice", remote.CheckDegraded)
	}))
	must(t, m.WaitMesh(m.ctx))
	must(t, node.StartRouted(m.ctx, m.binary, node.BIRD().Peering))
	m.waitHealthy(t)
	must(t, m.WaitMesh(m.ctx))
	must(t, monitors.Close())
	if lost := monitors.Lost(ofBlocks); len(lost) > 0 {
		t.Errorf("routes were lost:\n%s", strings.Join(lost, "\n"))
	}
}

// received is what one session brought and was told, by family.
type received struct {
	Received, Rejected map[string]int
	Advertised         int
}

// testNothingPassedOn: each peer told a node of its own blocks and of no others, and was told no others. That no kernel has more
// is what WaitMesh holds.
func (m *mesh) testNothingPassedOn(t *testing.T) {
	must(t, m.WaitMesh(m.ctx))
	must(t, lab.Each(m.ctx, m.Nodes(), m.checkSessions))
}

// checkSessions returns nil when each session of a node brought and was told just what it should.
func (m *mesh) checkSessions(ctx context.Context, node *lab.Node) error {
	want := map[string]received{}
	for _, remote := range m.RemoteOf(node) {
		maps.Copy(want, sessions(node, remote))
	}
	got, err := peersOf(ctx, node)
	if diff := cmp.Diff(want, got); diff != "" && err == nil {
		err = fmt.Errorf("sessions of %s, want (-) and got (+):\n%s", node.Spec.Name, diff)
	}
	return err
}

// testOtherWay has the sessions with the third cluster carry both families, or one each, from now on: by a reload of each
// daemon, and without a route being lost.
func (m *mesh) testOtherWay(t *testing.T, one bool) {
	t.Helper()
	monitors, err := m.MonitorAll(m.ctx)
	must(t, err)
	m.Topology.Clusters[2].OneSession = one
	for _, node := range m.Nodes() {
		must(t, node.WriteRoutedConfig(node.BIRD().Peering)) // which routed notices
	}
	must(t, lab.Each(m.ctx, m.Nodes(), func(ctx context.Context, node *lab.Node) error {
		return lab.WaitFor(ctx, "the sessions", func(ctx context.Context) error { return m.checkSessions(ctx, node) })
	}))
	m.waitHealthy(t)
	must(t, m.WaitMesh(m.ctx))
	must(t, monitors.Close())
	if lost := monitors.Lost(isMesh); len(lost) > 0 {
		t.Errorf("routes were lost:\n%s", strings.Join(lost, "\n"))
	}
}

// sessions are those of a node with another, by the other's address.
func sessions(node, remote *lab.Node) map[string]received {
	count := func(announced []netip.Prefix, family string) (n int) {
		for _, p := range announced {
			if p.Addr().Is6() == (family == "ipv6") {
				n++
			}
		}
		return n
	}
	out := map[string]received{}
	for _, a := range remote.Spec.Addrs() {
		family := "ipv4"
		if a.Is6() {
			family = "ipv6"
		}
		key := a.String()
		if node.Cluster.OneSession || remote.Cluster.OneSession {
			key = remote.Spec.Addrs()[0].String()
		}
		one, has := out[key]
		if !has {
			one = received{Received: map[string]int{}, Rejected: map[string]int{}}
		}
		one.Received[family], one.Rejected[family] = count(remote.Announced(), family), 0
		one.Advertised += count(node.Announced(), family)
		out[key] = one
	}
	return out
}

// peersOf asks a daemon for its sessions with remote nodes.
func peersOf(ctx context.Context, node *lab.Node) (map[string]received, error) {
	answer, err := admin.NewClient(node.RoutedSocket()).Peers(ctx)
	if err != nil {
		return nil, err
	}
	got := map[string]received{}
	for _, p := range answer.Peers {
		if p.Role == "bird" {
			continue
		}
		one := received{Received: map[string]int{}, Rejected: map[string]int{}, Advertised: p.Advertised}
		for _, f := range p.Prefixes {
			one.Received[f.Family], one.Rejected[f.Family] = f.Received, f.Rejected
		}
		got[p.Address.String()] = one
	}
	return got, nil
}

// testBlocksOfBothFamilies has each kind of BIRD announce a new block of each family and withdraw it.
func (m *mesh) testBlocksOfBothFamilies(t *testing.T) {
	monitors, err := m.MonitorAll(m.ctx)
	must(t, err)
	var all []netip.Prefix
	for name, n := range map[string]int{"gyliu-icp-1": 10, "gyliu-ubuntu-1": 20, "gyliu-third-1": 30} {
		node := m.Node(name)
		for _, block := range []netip.Prefix{prefix("%d.1.99.0/26", n), prefix("fd00:%d::99:0/122", n)} {
			all = append(all, block)
			m.wantBlockAndWithdrawal(t, monitors, node, block)
		}
	}
	must(t, monitors.Close())
	if lost := monitors.Lost(func(r lab.Route) bool { return !slices.Contains(all, r.Dst) && isMesh(r) }); len(lost) > 0 {
		t.Errorf("other routes were lost: %s", strings.Join(lost, "\n"))
	}
}

// testRestartWithoutBIRD: a daemon that starts while its BIRD is away knows its block by the kernel's route, and nobody loses
// a route.
func (m *mesh) testRestartWithoutBIRD(t *testing.T) {
	node := m.Nodes()[0]
	monitors, err := m.MonitorAll(m.ctx)
	must(t, err)
	bird := node.BIRD()
	must(t, node.KillBIRD(m.ctx))
	must(t, node.KillRouted(m.ctx))
	must(t, node.StartRouted(m.ctx, m.binary, node.BIRD().Peering))
	must(t, lab.WaitFor(m.ctx, "the block to be known by the kernel's route, and told", func(ctx context.Context) error {
		status, err := admin.NewClient(node.RoutedSocket()).Status(ctx)
		if err == nil && (len(status.Mesh.OwnBlocks) != 1 || status.Mesh.OwnBlocks[0].Source != "kernel" || status.Clusters[0].NodesUp != 1) {
			err = fmt.Errorf("%+v", status)
		}
		return err
	}))
	must(t, node.StartBIRD(m.ctx, bird))
	m.waitHealthy(t)
	must(t, m.WaitMesh(m.ctx))
	must(t, monitors.Close())
	if lost := monitors.Lost(isMesh); len(lost) > 0 {
		t.Errorf("routes were lost:\n%s", strings.Join(lost, "\n"))
	}
}

// testDoctorOfIPv6: nothing is wrong, and IPv4 is nobody's concern. The node's address need not be said.
func (m *mesh) testDoctorOfIPv6(t *testing.T) {
	node, path := m.Nodes()[0], m.Nodes()[0].RoutedConfigPath()
	config, err := os.ReadFile(path)
	must(t, err)
	said := fmt.Sprintf("node:\n  address6: %q\n", node.Spec.Addr6)
	unsaid := path + ".unsaid"
	must(t, os.WriteFile(unsaid, []byte(strings.Replace(string(config), said, "", 1)), 0o600))
	var outs []string
	for _, run := range []struct {
		command, path string
		never         []string
	}{
		{"doctor", path, []string{"warning", "failed", "ipv4"}},
		{"check", path, []string{"warning", "0.0.0.0", "127.0.0.1 ", "to /32", "invalid"}},
		{"check", unsaid, nil},
	} {
		out, status, err := node.Routed(m.ctx, run.command, "--config", run.path)
		must(t, err)
		if status != 0 || slices.ContainsFunc(run.never, func(s string) bool { return strings.Contains(out, s) }) {
			t.Errorf("routed %s exits %d and says:\n%s", run.command, status, out)
		}
		outs = append(outs, strings.Replace(out, run.path, "", 1))
	}
	if !strings.Contains(string(config), said) || outs[1] != outs[2] {
		t.Errorf("with its address said:\n%s\nand without:\n%s", outs[1], outs[2])
	}
}

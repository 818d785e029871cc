package lab_test

import (
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"routed/admin"
	"routed/lab"
)

// TestIntruders has somebody try to get in who may not. Nothing of it is accepted, and nobody else suffers. First there are
// no passwords, so that what keeps them out is the guard alone; gyliu-ubuntu-1 begins without one.
func TestIntruders(t *testing.T) {
	lab.Need(t, lab.NFT)
	m := newMesh(t, lab.BIRD{Tool: lab.BIRD2, Peering: lab.Dial})
	for _, node := range m.Nodes() {
		node.EditRouted(intruded(""))
	}
	open := m.Node("gyliu-ubuntu-1")
	open.EditRouted(func(text string) string { return intruded("")(text) + "listen: {guard: none}\n" })
	_ = t.Run("ColdStart", m.testColdStart) &&
		t.Run("NotOnTheRoster", m.testStranger) &&
		t.Run("MasqueradedPod", m.testMasqueradedPod) &&
		t.Run("LowTTL", m.testLowTTL) &&
		t.Run("PasswordsByReload", func(t *testing.T) { m.testNewPassword(t, "first") }) &&
		t.Run("Unsigned", m.testUnsigned) &&
		t.Run("NoPasswordOrAWrongOne", m.testWrongPasswords) &&
		t.Run("KeyRefused", m.testKeyRefused)
	m.checkRaces(t)
}

// intruded is the configuration of a node in TestIntruders: with a password, unless that is empty.
func intruded(secret string) func(string) string {
	return func(text string) string {
		if secret != "" {
			text = strings.Replace(text, "    nodes:\n", "    password: "+secret+"\n    nodes:\n", 1)
		}
		return text + "timers: {holdTime: 3s}\n"
	}
}

// What came of a connection attempt.
type attempt string

const (
	silence  attempt = "no answer"
	accepted attempt = "accepted"
	refused  attempt = "refused"
)

// connect opens a TCP connection to a node's BGP port, and tells what came of it within a second.
func (m *mesh) connect(t *testing.T, from lab.Namespace, to *lab.Node) attempt {
	t.Helper()
	script := fmt.Sprintf("exec 3<>/dev/tcp/%s/%d", to.Spec.Addr, lab.RoutedPort)
	err := from.Command(m.ctx, "timeout", "1", "bash", "-c", script).Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return accepted
	case errors.As(err, &exit) && exit.ExitCode() == 124: // timeout's own
		return silence
	case errors.As(err, &exit):
		return refused
	}
	t.Fatal(err)
	return ""
}

func (m *mesh) wantAttempt(t *testing.T, from lab.Namespace, to *lab.Node, want attempt) {
	t.Helper()
	if got := m.connect(t, from, to); got != want {
		t.Errorf("from %s to %s: %s, want %s", from, to.Spec.Name, got, want)
	}
}

// setTTL sets what TTL the packets of a namespace's programs have that do not ask for one.
func (m *mesh) setTTL(t *testing.T, ns lab.Namespace, ttl string) {
	t.Helper()
	out, err := ns.Command(m.ctx, "sh", "-c", "echo "+ttl+" >/proc/sys/net/ipv4/ip_default_ttl").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// rewriteTTL gives what leaves a node for a BGP port, and from one, this TTL; table test is to be deleted.
func (m *mesh) rewriteTTL(t *testing.T, node *lab.Node, ttl int) {
	t.Helper()
	nft(m.ctx, t, node, fmt.Sprintf("table ip test {\nchain hops {\ntype filter hook postrouting priority 300\n"+
		"tcp dport %[1]d ip ttl set %[2]d\ntcp sport %[1]d ip ttl set %[2]d\n}\n}", lab.RoutedPort, ttl))
}

// undisturbed runs f, after which every session of every node that the filter lets through must be the same, and no kernel
// have lost a route.
func (m *mesh) undisturbed(t *testing.T, which func(node *lab.Node, peer string) bool, f func()) {
	t.Helper()
	monitors, err := m.MonitorAll(m.ctx)
	must(t, err)
	before := m.someSessions(t, which)
	f()
	if diff := cmp.Diff(before, m.someSessions(t, which)); diff != "" {
		t.Errorf("sessions before and after (-before +after):\n%s", diff)
	}
	must(t, monitors.Close())
	lasting := func(r lab.Route) bool { return ofBlocks(r) && r.Dst != newBlock && r.Dst != otherBlock }
	if lost := monitors.Lost(lasting); len(lost) > 0 {
		t.Errorf("routes were lost:\n%s", strings.Join(lost, "\n"))
	}
}

// Blocks that come while somebody intrudes: of a node that is not to be heard, and of one that is.
var newBlock, otherBlock = netip.MustParsePrefix("20.1.99.0/26"), netip.MustParsePrefix("20.1.98.0/26")

func (m *mesh) someSessions(t *testing.T, which func(node *lab.Node, peer string) bool) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, node := range m.Nodes() {
		for peer, state := range m.sessions(t, node) {
			if which(node, peer) {
				out[node.Spec.Name+" with "+peer] = state
			}
		}
	}
	return out
}

func all(*lab.Node, string) bool { return true }

// without leaves out the sessions of some nodes with the other cluster.
func sessionsWithout(nodes ...*lab.Node) func(*lab.Node, string) bool {
	return func(node *lab.Node, peer string) bool {
		for _, n := range nodes {
			if node.Cluster != n.Cluster && peer == n.Spec.Addr.String() || node == n && peer != node.Spec.Addr.String() {
				return false
			}
		}
		return true
	}
}

// testStranger: whoever is not on the roster is not answered; without a guard he is hung up on before a word is said.
func (m *mesh) testStranger(t *testing.T) {
	guarded, open := m.Node("gyliu-ubuntu-2"), m.Node("gyliu-ubuntu-1")
	stranger := m.Node("gyliu-ubuntu-3").Namespace // of the same cluster: nobody's remote node
	m.undisturbed(t, all, func() {
		m.setTTL(t, stranger, "255")
		m.wantAttempt(t, stranger, guarded, silence)
		m.wantAttempt(t, lab.Namespace("lan"), guarded, silence)

		script := fmt.Sprintf("exec 3<>/dev/tcp/%s/%d; printf x >&3; cat <&3 | wc -c", open.Spec.Addr, lab.RoutedPort)
		out, err := stranger.Command(m.ctx, "timeout", "5", "bash", "-c", script).Output()
		if err != nil || strings.TrimSpace(string(out)) != "0" {
			t.Errorf("without a guard a stranger was told %s bytes: %v", out, err)
		}
		m.setTTL(t, stranger, "64")
	})
}

// testMasqueradedPod: a pod whose packets leave with the address of its node is not taken for its node. Two guards are in
// its way: that of the node, which forwards nothing to a BGP port, and that of the other end, which sees by the TTL that
// somebody forwarded. To see each alone the other is taken away; with both away the pod gets through.
func (m *mesh) testMasqueradedPod(t *testing.T) {
	node, target := m.Node("gyliu-ubuntu-1"), m.Node("gyliu-icp-1")
	pod := lab.PodNamespace(node.Spec.Pods[0])
	m.setTTL(t, pod, "255")
	nft(m.ctx, t, node, fmt.Sprintf("table ip test {\nchain masquerade_pods {\ntype nat hook postrouting priority srcnat\n"+
		"ip saddr %s tcp dport %d masquerade\n}\n}", node.Spec.Pods[0], lab.RoutedPort))
	m.undisturbed(t, all, func() {
		m.wantAttempt(t, pod, target, silence) // by the TTL, at the other end
		m.rewriteTTL(t, node, 255)
		m.wantAttempt(t, pod, target, accepted) // a TCP connection; the session that is there stays
	})

	node.EditRouted(intruded(""))
	must(t, node.StopRouted(m.ctx))
	must(t, node.StartRouted(m.ctx, m.binary, m.bird.Peering))
	m.waitHealthy(t)
	m.undisturbed(t, all, func() { m.wantAttempt(t, pod, target, silence) }) // at the node itself
	nft(m.ctx, t, node, "delete", "table", "ip", "test")
	m.setTTL(t, pod, "64")
}

// testLowTTL has the packets of one node arrive as though it were further away than configured: its sessions end, and
// what it announces then is not heard.
func (m *mesh) testLowTTL(t *testing.T) {
	far := m.Node("gyliu-ubuntu-1")
	m.undisturbed(t, sessionsWithout(far), func() {
		m.rewriteTTL(t, far, 254)
		m.waitNodesDown(t, far)
		m.announceUnheard(t, far)
		nft(m.ctx, t, far, "delete", "table", "ip", "test")
		must(t, m.WaitMesh(m.ctx))
		must(t, far.RemoveBlock(m.ctx, newBlock))
		must(t, m.WaitMesh(m.ctx))
		m.waitHealthy(t)
	})
}

// waitNodesDown waits until cluster-1 has lost its sessions with these nodes, and them only.
func (m *mesh) waitNodesDown(t *testing.T, down ...*lab.Node) {
	t.Helper()
	m.waitStatus(t, m.NodesOf("cluster-1"), "the sessions to end", func(_ *lab.Node, s admin.Status) error {
		c := s.Clusters[0]
		missing := len(c.NodesDown)
		for _, n := range c.NodesDown {
			for _, d := range down {
				if n.Address == d.Spec.Addr {
					missing--
				}
			}
		}
		if len(c.NodesDown) != len(down) || missing != 0 {
			return fmt.Errorf("down: %+v", c.NodesDown)
		}
		return nil
	})
	for _, node := range m.NodesOf("cluster-1") {
		m.wantFirstProblem(t, node, "WARNING nodes-down", down[0].Spec.Name)
	}
}

// announceUnheard has a node that nobody is to listen to announce newBlock, and one that is heard otherBlock after it.
func (m *mesh) announceUnheard(t *testing.T, unheard *lab.Node) {
	t.Helper()
	heard := m.Node("gyliu-ubuntu-3")
	watchers := m.NodesOf("cluster-1")
	before := m.tables(t, watchers)
	must(t, unheard.AddBlock(m.ctx, newBlock))
	m.waitStatus(t, []*lab.Node{unheard}, "its routed to know the block", func(_ *lab.Node, s admin.Status) error {
		if len(s.Mesh.OwnBlocks) != 2 {
			return fmt.Errorf("%+v", s.Mesh.OwnBlocks)
		}
		return nil
	})
	must(t, heard.AddBlock(m.ctx, otherBlock))
	for node, hops := range before {
		hops[otherBlock] = heard.Spec.Addr
		must(t, lab.WaitFor(m.ctx, "the block of another node", tables{node: hops}.check))
	}
	must(t, heard.RemoveBlock(m.ctx, otherBlock))
	for node, hops := range before {
		delete(hops, otherBlock)
		must(t, lab.WaitFor(m.ctx, "it to go", tables{node: hops}.check))
	}
}

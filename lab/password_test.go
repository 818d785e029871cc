package lab_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"routed/admin"
	"routed/lab"
)

// testNewPassword puts a password in force everywhere by reloads, one cluster after the other.
func (m *mesh) testNewPassword(t *testing.T, secret string) {
	t.Helper()
	monitors, err := m.MonitorAll(m.ctx)
	must(t, err)
	for _, node := range m.Nodes() {
		node.EditRouted(intruded(secret))
		m.reload(t, node)
	}
	m.waitHealthy(t)
	must(t, m.WaitMesh(m.ctx))
	must(t, monitors.Close())
	if lost := monitors.Lost(isMesh); len(lost) > 0 {
		t.Errorf("routes were lost:\n%s", strings.Join(lost, "\n"))
	}
	for _, node := range m.Nodes() {
		out, status, err := node.Routed(m.ctx, "check", "--config", node.RoutedConfigPath())
		if err != nil || status != 0 || strings.Count(out, "signed (TCP MD5)") != 3 {
			t.Errorf("%s: check exits %d, %v: %s", node.Spec.Name, status, err, out)
		}
	}
}

// testUnsigned: a node of the roster that does not sign is not answered, and one that is not on it neither.
func (m *mesh) testUnsigned(t *testing.T) {
	node, target := m.Node("gyliu-ubuntu-1"), m.Node("gyliu-icp-1")
	m.undisturbed(t, all, func() {
		m.setTTL(t, node.Namespace, "255")
		missing := m.counter(t, target, "TCPMD5NotFound")
		m.wantAttempt(t, node.Namespace, target, silence)
		if m.counter(t, target, "TCPMD5NotFound") == missing {
			t.Error("something else than the missing signature kept it out")
		}
		m.setTTL(t, node.Namespace, "64")
	})
}

// counter is one of the counters of TcpExt in /proc/net/netstat of a node.
func (m *mesh) counter(t *testing.T, node *lab.Node, name string) string {
	t.Helper()
	out, err := node.Command(m.ctx, "cat", "/proc/net/netstat").Output()
	must(t, err)
	lines := strings.SplitN(string(out), "\n", 3)
	values := strings.Fields(lines[1])
	for i, key := range strings.Fields(lines[0]) {
		if key == name {
			return values[i]
		}
	}
	t.Fatalf("the kernel does not count %s", name)
	return ""
}

// testWrongPasswords: two nodes get their passwords wrong. Each is held closed until a new password is put in force on all
// nodes.
func (m *mesh) testWrongPasswords(t *testing.T) {
	wrong, none, target := m.Node("gyliu-ubuntu-1"), m.Node("gyliu-ubuntu-2"), m.Node("gyliu-icp-1")
	m.undisturbed(t, sessionsWithout(wrong, none), func() {
		bad, missing := m.counter(t, target, "TCPMD5Failure"), m.counter(t, target, "TCPMD5NotFound")
		wrong.EditRouted(intruded("First"))
		none.EditRouted(intruded(""))
		m.reload(t, wrong)
		m.reload(t, none)
		m.waitNodesDown(t, wrong, none)
		must(t, lab.WaitFor(m.ctx, "both to have tried, and been dropped", func(context.Context) error {
			if m.counter(t, target, "TCPMD5Failure") == bad || m.counter(t, target, "TCPMD5NotFound") == missing {
				return errors.New("not yet")
			}
			return nil
		}))
		m.announceUnheard(t, wrong)
	})
	m.testNewPassword(t, "second")
	must(t, wrong.RemoveBlock(m.ctx, newBlock))
	must(t, m.WaitMesh(m.ctx))
}

// testKeyRefused: where the kernel has no room for all keys the peers without one are held closed, and everybody is told
// what to do: doctor, status and the log. The others are as they were.
func (m *mesh) testKeyRefused(t *testing.T) {
	node, kept := m.Node("gyliu-icp-1"), m.Node("gyliu-ubuntu-1")
	const optmem = "/proc/sys/net/core/optmem_max"
	set := func(bytes string) error {
		out, err := node.Command(m.ctx, "sh", "-c", "echo "+bytes+" >"+optmem).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}
	if err := set("3500"); err != nil { // for some 25 keys
		t.Skipf("the limit is not a network namespace's own on this kernel: %v", err)
	}
	var many []string // between the address of one remote node and those of the others
	for i := 100; i < 129; i++ {
		many = append(many, fmt.Sprintf("9.111.255.%d", i))
	}
	node.EditRouted(func(text string) string {
		text = strings.Replace(text, "    nodes:\n", "    nodes:\n      addresses: ["+strings.Join(many, ", ")+"]\n", 1)
		return intruded("second")(text)
	})
	others := func(n *lab.Node, peer string) bool { return n != node && peer != node.Spec.Addr.String() }
	m.undisturbed(t, others, func() {
		must(t, node.StopRouted(m.ctx))
		must(t, node.StartRouted(m.ctx, m.binary, m.bird.Peering))
		m.waitStatus(t, []*lab.Node{node}, "the session that has a key, alone", func(_ *lab.Node, s admin.Status) error {
			if s.Clusters[0].NodesUp != 1 || s.KeysRefused == 0 {
				return fmt.Errorf("%d nodes up, %d keys refused", s.Clusters[0].NodesUp, s.KeysRefused)
			}
			return nil
		})
		m.wantFirstProblem(t, node, "CRITICAL keys-refused", "net.core.optmem_max is 3500")
		peers := m.sessions(t, node)
		for _, remote := range m.RemoteOf(node) {
			if up := strings.HasPrefix(peers[remote.Spec.Addr.String()], "established"); up != (remote == kept) {
				t.Errorf("the session with %s: %s", remote.Spec.Name, peers[remote.Spec.Addr.String()])
			}
		}
		if logged(t, node, "peer-key-refused") == 0 {
			t.Error("the log does not tell")
		}
		must(t, node.CheckMesh(m.ctx))

		const fix = "sysctl -w net.core.optmem_max="
		m.wantDoctor(t, node, 1, fix)
		out, _, err := node.Routed(m.ctx, "doctor", "--config", node.RoutedConfigPath())
		must(t, err)
		_, after, _ := strings.Cut(out, fix)
		enough, _, _ := strings.Cut(after, ",")
		must(t, set(enough))
		m.wantDoctor(t, node, 0, "net.core.optmem_max has room for the TCP MD5 keys of 32 peers")
		must(t, node.ReloadRouted())
		m.waitStatus(t, []*lab.Node{node}, "the others", func(_ *lab.Node, s admin.Status) error {
			if s.Clusters[0].NodesUp != 3 || s.KeysRefused != 0 {
				return fmt.Errorf("%d nodes up, %d keys refused", s.Clusters[0].NodesUp, s.KeysRefused)
			}
			return nil
		})
	})
	node.EditRouted(intruded("second"))
	m.reload(t, node)
	m.waitHealthy(t)
}

package lab_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routed/lab"
)

// TestOperating is what an operator does with a running mesh: looks at it when something is wrong, changes who is in it,
// and takes routed off a node again.
func TestOperating(t *testing.T) {
	m := newMesh(t, lab.BIRD{Tool: birds()[0], Peering: lab.Dial})
	_ = t.Run("ColdStart", m.testColdStart) &&
		t.Run("Prometheus", m.testPrometheus) &&
		t.Run("StatusBIRDDown", m.testStatusBIRDDown) &&
		t.Run("StatusRemoteDown", m.testStatusRemoteDown) &&
		t.Run("StatusPage", m.testStatusPage) &&
		t.Run("ReloadRoster", m.testReloadRoster) &&
		t.Run("ReloadOfAFile", m.testReloadOfAFile) &&
		t.Run("HundredReloads", m.testHundredReloads) &&
		t.Run("RefusedReload", m.testRefusedReload) &&
		t.Run("PeersAndRoutes", m.testPeersAndRoutes) &&
		t.Run("Why", m.testWhy) &&
		t.Run("Plan", m.testPlan) &&
		t.Run("Guard", m.testGuard) &&
		t.Run("Doctor", m.testDoctor) &&
		t.Run("Probes", m.testProbes) &&
		t.Run("WithoutDaemon", m.testWithoutDaemon) &&
		t.Run("FlushOnExit", m.testFlushOnExit) &&
		t.Run("Flush", m.testFlush)
	m.checkRaces(t)
}

// wantFirstProblem waits until the first problem that `routed status` names is the given one, before all the rest.
func (m *mesh) wantFirstProblem(t *testing.T, node *lab.Node, problem, about string) {
	t.Helper()
	must(t, lab.WaitFor(m.ctx, "status to name "+problem+" first", func(ctx context.Context) error {
		out, status, err := node.Routed(ctx, "status")
		if err != nil {
			return err
		}
		_, after, _ := strings.Cut(out, "\n\n")
		first, rest, _ := strings.Cut(after, "\n\n")
		if status != 1 || !strings.HasPrefix(first, problem) || !strings.Contains(first, about) || !strings.Contains(rest, "THIS NODE") {
			return fmt.Errorf("exits %d and says:\n%s", status, out)
		}
		return nil
	}))
}

func (m *mesh) testStatusBIRDDown(t *testing.T) {
	node := m.Node("gyliu-icp-1")
	must(t, node.StopBIRD(m.ctx))
	m.wantFirstProblem(t, node, "CRITICAL bird-down", "local BIRD")
	must(t, node.StartBIRD(m.ctx, m.bird))
	m.waitHealthy(t)
}

func (m *mesh) testStatusRemoteDown(t *testing.T) {
	node := m.Node("gyliu-icp-1")
	remotes := m.RemoteOf(node)
	must(t, remotes[0].StopRouted(m.ctx))
	m.wantFirstProblem(t, node, "WARNING nodes-down", remotes[0].Spec.Name)
	for _, remote := range remotes[1:] {
		must(t, remote.StopRouted(m.ctx))
	}
	m.wantFirstProblem(t, node, "CRITICAL cluster-unreachable", "cluster-2")
	must(t, node.CheckMesh(m.ctx))
	for _, remote := range remotes {
		must(t, remote.StartRouted(m.ctx, m.binary, m.bird.Peering))
	}
	m.waitHealthy(t)
}

// A node that leaves the hosts file takes its routes along at once; the sessions with the others are left alone.
func (m *mesh) testReloadRoster(t *testing.T) {
	node, leaver := m.Node("gyliu-icp-1"), m.Node("gyliu-ubuntu-1")
	hosts := filepath.Join(node.Dir, "cluster-2.hosts")
	whole, err := os.ReadFile(hosts)
	must(t, err)
	var kept []string
	for line := range strings.Lines(string(whole)) {
		if !strings.Contains(line, leaver.Spec.Name) {
			kept = append(kept, line)
		}
	}
	must(t, os.WriteFile(hosts, []byte(strings.Join(kept, "")), 0o600))
	must(t, node.ReloadRouted())
	took, err := lab.Within(m.ctx, leaveLimit, "the leaver's route to go", func(ctx context.Context) error {
		hops, err := node.NextHops(ctx, lab.RoutedTable)
		if err == nil && len(hops) != len(kept) {
			err = fmt.Errorf("next hops %v, want %d", hops, len(kept))
		}
		return err
	})
	must(t, err)
	t.Logf("its route was gone after %s", took.Round(time.Millisecond))
	must(t, os.WriteFile(hosts, whole, 0o600))
	must(t, node.ReloadRouted())
	must(t, lab.WaitFor(m.ctx, "the leaver's route to come back", node.CheckMesh))
	m.waitHealthy(t)
	m.wantNoFlaps(t, node, leaver)
}

// wantNoFlaps checks that no session of the node but the leaver's went down since the last start.
func (m *mesh) wantNoFlaps(t *testing.T, node, leaver *lab.Node) {
	t.Helper()
	log, err := os.ReadFile(node.RoutedLog())
	must(t, err)
	_, since, reloaded := strings.Cut(string(log), `"event":"reloaded"`)
	if !reloaded {
		t.Fatal("no reload in the log")
	}
	for line := range strings.Lines(since) {
		if strings.Contains(line, `"session-down"`) && !strings.Contains(line, leaver.Spec.Addr.String()) {
			t.Errorf("a session that did not change went down: %s", line)
		}
	}
}

// A hosts file that is replaced is read again without a word to the daemon.
func (m *mesh) testReloadOfAFile(t *testing.T) {
	node := m.Node("gyliu-icp-1")
	hosts := filepath.Join(node.Dir, "cluster-2.hosts")
	whole, err := os.ReadFile(hosts)
	must(t, err)
	replace := func(text string) {
		must(t, os.WriteFile(hosts+".new", []byte(text), 0o600))
		must(t, os.Rename(hosts+".new", hosts))
	}
	first, _, _ := strings.Cut(string(whole), "\n")
	replace(first)
	must(t, lab.WaitFor(m.ctx, "the leavers' routes to go", func(ctx context.Context) error {
		hops, err := node.NextHops(ctx, lab.RoutedTable)
		if err == nil && len(hops) != 1 {
			err = fmt.Errorf("next hops %v, want one", hops)
		}
		return err
	}))
	replace(string(whole))
	must(t, lab.WaitFor(m.ctx, "the leavers' routes to come back", node.CheckMesh))
	m.waitHealthy(t)
}

// A hundred reloads, each of which changes something, while blocks come and go: every session of every node is the one that
// was there before, no route is lost.
func (m *mesh) testHundredReloads(t *testing.T) {
	node, remote := m.Node("gyliu-icp-1"), m.Node("gyliu-ubuntu-1")
	plain, err := os.ReadFile(node.RoutedConfigPath())
	must(t, err)
	before := m.someSessions(t, all)
	monitor, err := node.Monitor(m.ctx)
	must(t, err)
	block := netip.MustParsePrefix("20.1.99.0/26")
	for i := range 100 {
		switch i % 20 {
		case 0:
			must(t, remote.AddBlock(m.ctx, block))
		case 10:
			must(t, remote.RemoveBlock(m.ctx, block))
		}
		text := strings.Replace(string(plain), "    nodes:\n", fmt.Sprintf("    limits: {prefixes: %d}\n    nodes:\n", 1000+i), 1)
		must(t, os.WriteFile(node.RoutedConfigPath(), []byte(text), 0o600))
		m.hangup(t, node)
	}
	must(t, lab.WaitFor(m.ctx, "the mesh", node.CheckMesh))
	if diff := cmp.Diff(before, m.someSessions(t, all)); diff != "" {
		t.Errorf("sessions before and after (-before +after):\n%s", diff)
	}
	must(t, monitor.Close())
	if lost := monitor.Lost(func(r lab.Route) bool { return ofBlocks(r) && r.Dst != block }); len(lost) > 0 {
		t.Errorf("routes lost on the way: %v", lost)
	}
	must(t, os.WriteFile(node.RoutedConfigPath(), plain, 0o600))
	m.waitHealthy(t)
}

// hangup sends SIGHUP and waits for the reload that it causes, which is not one because a file changed.
func (m *mesh) hangup(t *testing.T, node *lab.Node) {
	t.Helper()
	reloads := func() int { return strings.Count(readFile(t, node.RoutedLog()), `"event":"reloaded","cause":"signal"`) }
	seen := reloads()
	must(t, node.ReloadRouted())
	must(t, lab.WaitFor(m.ctx, "the reload", func(context.Context) error {
		if reloads() == seen {
			return errors.New("not reloaded")
		}
		return nil
	}))
}

// sessions gives, for each of the node's sessions, since when it stands and how often it went down.
func (m *mesh) sessions(t *testing.T, node *lab.Node) map[string]string {
	t.Helper()
	out, _, err := node.Routed(m.ctx, "peers", "-o", "json")
	must(t, err)
	var answer struct {
		Peers []struct {
			Address, State, Since string
			Flaps                 uint64
		}
	}
	must(t, json.Unmarshal([]byte(out), &answer))
	sessions := map[string]string{}
	for _, p := range answer.Peers {
		sessions[p.Address] = fmt.Sprintf("%s since %s, %d flaps", p.State, p.Since, p.Flaps)
	}
	return sessions
}

// A configuration that cannot be used changes nothing and is told.
func (m *mesh) testRefusedReload(t *testing.T) {
	node := m.Node("gyliu-icp-1")
	good, err := os.ReadFile(node.RoutedConfigPath())
	must(t, err)
	for _, bad := range []struct{ text, says string }{
		{strings.Replace(string(good), "20.1.0.0/16", "10.1.128.0/17", 1), "podCIDRs"},
		{string(good) + "\nnonsense: 1\n", "nonsense"},
	} {
		must(t, os.WriteFile(node.RoutedConfigPath(), []byte(bad.text), 0o600))
		out, status, err := node.Routed(m.ctx, "check", "--config", node.RoutedConfigPath())
		if err != nil || status != 1 || !strings.Contains(out, bad.says) || !strings.Contains(out, "routed.yaml:") {
			t.Errorf("check of %s exits %d: %s", bad.says, status, out)
		}
		must(t, node.ReloadRouted())
		m.wantFirstProblem(t, node, "WARNING reload-failed", bad.says)
		must(t, node.CheckMesh(m.ctx))
	}
	must(t, os.WriteFile(node.RoutedConfigPath(), good, 0o600))
	must(t, node.ReloadRouted())
	m.waitHealthy(t)
}

func (m *mesh) testPeersAndRoutes(t *testing.T) {
	node := m.Node("gyliu-icp-1")
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"peers"}, []string{"(BIRD)", "gyliu-ubuntu-1", "established"}},
		{[]string{"routes"}, []string{"20.1.47.128/26", "9.111.255.77", "eth0", "installed"}},
		{[]string{"routes", "--cluster", "cluster-2", "-o", "json"}, []string{`"prefix": "20.1.47.128/26"`}},
		{[]string{"status", "-o", "json"}, []string{`"healthy": true`, `"nodes_up": 3`}},
	} {
		out, status, err := node.Routed(m.ctx, c.args...)
		must(t, err)
		for _, want := range c.want {
			if status != 0 || !strings.Contains(out, want) {
				t.Errorf("routed %v exits %d, want 0 and %q in:\n%s", c.args, status, want, out)
			}
		}
	}
	if out, status, err := node.Routed(m.ctx, "routes", "--cluster", "nowhere"); err != nil || status != 1 || !strings.Contains(out, "nowhere") {
		t.Errorf("routes of an unknown cluster: %v, exits %d: %s", err, status, out)
	}
}

// The way to the seed's pod is good at every step. Without its block the step that breaks is named, for an address without a
// pod: that of the pod is then announced by itself.
func (m *mesh) testWhy(t *testing.T) {
	node, remote := m.Node("gyliu-icp-1"), m.Node("gyliu-ubuntu-1")
	pod, block := remote.Spec.Pods[0].String(), remote.Blocks()[0]
	out, status, err := node.Routed(m.ctx, "why", pod)
	if err != nil || status != 0 || !strings.Contains(out, "routed as wanted") || strings.Contains(out, "see above") {
		t.Errorf("why %s: %v, exits %d:\n%s", pod, err, status, out)
	}
	must(t, remote.RemoveBlock(m.ctx, block))
	must(t, lab.WaitFor(m.ctx, "why to name the block", func(ctx context.Context) error {
		out, status, err := node.Routed(ctx, "why", block.Addr().Next().String())
		if err == nil && (status != 1 || !strings.Contains(out, "BROKEN block\n  none of the 3 nodes of cluster-2 announces")) {
			err = fmt.Errorf("exits %d and says:\n%s", status, out)
		}
		return err
	}))
	must(t, remote.AddBlock(m.ctx, block))
	must(t, lab.WaitFor(m.ctx, "the block to come back", node.CheckMesh))
}

// Plan says nothing when all is well, and lists what a hand added.
func (m *mesh) testPlan(t *testing.T) {
	node := m.Node("gyliu-icp-1")
	m.wantPlan(t, node, 0, "")
	_, err := node.IP(m.ctx, "route", "add", "20.1.47.128/26", "via", "9.111.255.77")
	must(t, err)
	m.wantPlan(t, node, 0, "# ip route delete 20.1.47.128/26 via 9.111.255.77 dev eth0 proto boot # held by the mesh")
	_, err = node.IP(m.ctx, "route", "del", "20.1.47.128/26", "via", "9.111.255.77")
	must(t, err)
}

// Where no daemon runs the guard stays, plan has what it has yet to do, and doctor finds what it would mend.
func (m *mesh) testWithoutDaemon(t *testing.T) {
	node := m.Node("gyliu-icp-1")
	var remotes []netip.Addr
	for _, remote := range m.RemoteOf(node) {
		remotes = append(remotes, remote.Spec.Addr)
	}
	must(t, node.StopRouted(m.ctx))
	m.wantGuard(t, node, remotes...) // it stays, for what starts again behind it
	m.wantDoctor(t, node, 0, "main has no route to pods of remote clusters that somebody added by hand")
	_, err := node.IP(m.ctx, "rule", "del", "pref", "1790")
	must(t, err)
	m.wantPlan(t, node, 3, "ip rule add to 20.1.0.0/16 lookup 1790 pref 1790 protocol 114")
	m.wantDoctor(t, node, 1, "no rule leads lookups of 20.1.0.0/16 to table 1790")
	must(t, node.StartRouted(m.ctx, m.binary, m.bird.Peering))
	m.waitHealthy(t)
	m.wantPlan(t, node, 0, "")
}

// wantPlan checks what plan exits with and a line it prints; an empty line: it prints nothing.
func (m *mesh) wantPlan(t *testing.T, node *lab.Node, status int, line string) {
	t.Helper()
	out, got, err := node.Routed(m.ctx, "plan", "--config", node.RoutedConfigPath())
	must(t, err)
	if got != status || (line == "" && out != "") || !strings.Contains(out, line) {
		t.Errorf("plan exits %d, want %d and %q in:\n%s", got, status, line, out)
	}
}

// The doctor finds nothing wrong, then routes that somebody added by hand, whose removal is as told.
func (m *mesh) testDoctor(t *testing.T) {
	node := m.Node("gyliu-icp-1")
	m.wantDoctor(t, node, 0, "main has no route to pods of remote clusters that somebody added by hand")
	for _, block := range []string{"20.1.47.128/26", "20.1.200.0/26"} {
		_, err := node.IP(m.ctx, "route", "add", block, "via", "9.111.255.77")
		must(t, err)
	}
	removal := "ip route delete %s via 9.111.255.77 dev eth0 proto boot\n"
	m.wantDoctor(t, node, 0, "the mesh holds the block, nobody needs it\n         -> "+fmt.Sprintf(removal, "20.1.47.128/26"))
	m.wantDoctor(t, node, 0, "the mesh does not hold the block yet\n         -> "+
		"once it does (`ip route show table 1790`), run: "+fmt.Sprintf(removal, "20.1.200.0/26"))
	for _, block := range []string{"20.1.47.128/26", "20.1.200.0/26"} {
		_, err := node.IP(m.ctx, strings.Fields(fmt.Sprintf(removal, block))[1:]...)
		must(t, err)
	}
}

// wantDoctor checks what doctor exits with and something it prints.
func (m *mesh) wantDoctor(t *testing.T, node *lab.Node, status int, text string) {
	t.Helper()
	out, got, err := node.Routed(m.ctx, "doctor", "--config", node.RoutedConfigPath())
	must(t, err)
	if got != status || !strings.Contains(out, text) {
		t.Errorf("doctor exits %d, want %d and %q in:\n%s", got, status, text, out)
	}
}

// With kernel.onExit: flush a daemon that is stopped takes its routes along; a second one that cannot start takes nothing.
func (m *mesh) testFlushOnExit(t *testing.T) {
	node := m.Node("gyliu-icp-1")
	plain, err := os.ReadFile(node.RoutedConfigPath())
	must(t, err)
	config := filepath.Join(node.Dir, "flush.yaml")
	must(t, os.WriteFile(config, append(plain, "\nkernel: {onExit: flush}\n"...), 0o600))

	if out, status, err := node.Routed(m.ctx, "run", "--config", config); err != nil || status != 1 || !strings.Contains(out, "another routed runs") {
		t.Errorf("a second daemon: %v, exits %d: %s", err, status, out)
	}
	must(t, node.CheckMesh(m.ctx))

	must(t, node.StopRouted(m.ctx))
	daemon := node.Command(m.ctx, m.binary, "run", "--config", config)
	must(t, daemon.Start())
	must(t, lab.WaitFor(m.ctx, "the daemon to answer", func(ctx context.Context) error {
		if out, status, err := node.Routed(ctx, "status"); err != nil || status == 2 {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}))
	must(t, daemon.Process.Signal(syscall.SIGTERM))
	must(t, daemon.Wait())
	hops, err := node.NextHops(m.ctx, lab.RoutedTable)
	must(t, err)
	if tables := nft(m.ctx, t, node, "list", "tables"); len(hops) != 0 || tables != "" {
		t.Errorf("left by a daemon that was to flush: %v %s", hops, tables)
	}
	must(t, node.StartRouted(m.ctx, m.binary, m.bird.Peering))
	m.waitHealthy(t)
}

// Flush leaves nothing of ours and everything else; without a daemon the commands say so.
func (m *mesh) testFlush(t *testing.T) {
	node := m.Node("gyliu-icp-1")
	before, err := node.RouteText(m.ctx, "main")
	must(t, err)
	must(t, node.StopRouted(m.ctx))
	must(t, node.CheckMesh(m.ctx))
	out, status, err := node.Routed(m.ctx, "status")
	must(t, err)
	if status != 2 || !strings.Contains(out, "not reachable") {
		t.Errorf("status without a daemon exits %d: %s", status, out)
	}
	out, status, err = node.Routed(m.ctx, "flush", "--config", node.RoutedConfigPath())
	must(t, err)
	if status != 0 || !strings.Contains(out, "removed 3 routes") || !strings.Contains(out, "1 rules") || !strings.Contains(out, "inet routed") {
		t.Errorf("flush exits %d: %s", status, out)
	}
	if tables := nft(m.ctx, t, node, "list", "tables"); tables != "" {
		t.Errorf("a packet filter is left: %s", tables)
	}
	rules, err := node.IP(m.ctx, "rule")
	must(t, err)
	if strings.Contains(rules, lab.RoutedTable) {
		t.Errorf("a rule is left:\n%s", rules)
	}
	hops, err := node.NextHops(m.ctx, lab.RoutedTable)
	must(t, err)
	after, err := node.RouteText(m.ctx, "main")
	must(t, err)
	if len(hops) != 0 || after != before {
		t.Errorf("left in our table: %v\nmain before:\n%s\nand after:\n%s", hops, before, after)
	}
}

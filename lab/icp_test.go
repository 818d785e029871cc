package lab_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"routed/lab"
)

// icpSite is the seed's two clusters as machines that can be reached by SSH, and the machine that an operator sits at.
type icpSite struct {
	*lab.Network
	ctx      context.Context //nolint:containedctx // the whole test's
	boot     *lab.SSHHost
	machines map[string]*lab.SSHHost // by the node's name
}

// What of the hosts is not as it usually is: another port, another user.
const (
	oddPort = 2222
	oddUser = "icpadmin"
)

// icpTimeout bounds the whole of it: hundreds of commands, over SSH and one after the other.
const icpTimeout = 10 * time.Minute

// TestInstallICP takes deploy/icp/install from the first look to the removal: six hosts with an SSH server each, whose packages,
// files and services are their own, and BIRDs that Calico has told of routed. One host forwards no packets at first.
func TestInstallICP(t *testing.T) {
	s := newICPSite(t)
	_ = t.Run("LooksOnly", s.testDry) &&
		t.Run("UnknownHostKey", s.testHostKey) &&
		t.Run("StopsAtTheFirstThatIsNotHealthy", s.testStops) &&
		t.Run("GoesOn", s.testGoesOn) &&
		t.Run("TwiceIsOnce", s.testTwice) &&
		t.Run("ForeignConfiguration", s.testForeign) &&
		t.Run("Removal", s.testRemoval)
}

func newICPSite(t *testing.T) *icpSite {
	t.Helper()
	lab.NeedSSHHosts(t)
	bird := lab.BIRD{Tool: lab.BIRD16, Peering: lab.Dial}
	if _, err := bird.Tool.Find(); err != nil {
		bird.Tool = lab.StandIn
	}
	_, net := buildWithBIRD(t, bird)
	ctx, cancel := context.WithTimeout(t.Context(), icpTimeout)
	t.Cleanup(cancel)
	s := &icpSite{Network: net, ctx: ctx, machines: map[string]*lab.SSHHost{}}
	s.boot = s.machine(t, "lan")
	public, err := s.boot.NewKey(ctx, "/root/ssh_key")
	must(t, err)
	var known strings.Builder
	for _, node := range net.Nodes() {
		m := s.machine(t, node.Namespace)
		s.machines[node.Spec.Name] = m
		must(t, m.Services())
		must(t, m.Unpack(ctx, lab.SSHD))
		must(t, m.Write("/usr/bin/sudo", 0o755, "#!/bin/sh\n[ \"$1\" = -n ] || exit 1\nshift\nexec \"$@\"\n"))
		port, at := uint16(22), node.Spec.Addr.String()
		if s.odd(node) {
			port, at = oddPort, fmt.Sprintf("[%s]:%d", at, oddPort)
		}
		key, err := m.StartSSH(ctx, port, public, oddUser)
		must(t, err)
		fmt.Fprintf(&known, "%s %s", at, key)
		must(t, node.PeerBIRD(ctx))
	}
	must(t, s.boot.Write("/root/known_hosts", 0o600, known.String()))
	s.prepareBoot(t)
	return s
}

// odd is the host that listens elsewhere, with a user who is not root by name.
func (s *icpSite) odd(node *lab.Node) bool { return node.Spec.Name == "gyliu-icp-3" }

// ill is the host that forwards no packets; two hosts come after it.
func (s *icpSite) ill(node *lab.Node) bool { return node.Spec.Name == "gyliu-ubuntu-1" }

func (s *icpSite) machine(t *testing.T, ns lab.Namespace) *lab.SSHHost {
	t.Helper()
	m, err := lab.NewSSHHost(ns, filepath.Join(s.Dir, "machine-"+string(ns)))
	must(t, err)
	t.Cleanup(func() {
		if err := m.Close(context.WithoutCancel(s.ctx)); err != nil {
			t.Errorf("%s: %v", ns, err)
		}
	})
	return m
}

// prepareBoot has on the boot node what an operator has there: the clusters' own folders, the script, a package, routed.
func (s *icpSite) prepareBoot(t *testing.T) {
	t.Helper()
	must(t, s.boot.Unpack(s.ctx, lab.SSH))
	binary, err := buildRelease()
	must(t, err)
	copyInto(t, s.boot, binary, "/root/routed", 0o755)
	for _, name := range []string{"install", "on-host"} {
		copyInto(t, s.boot, "../deploy/icp/"+name, "/root/icp/"+name, 0o755)
	}
	must(t, s.boot.Write("/root/ssh_config", 0o600, "Host *\n  UserKnownHostsFile /root/known_hosts\n  GlobalKnownHostsFile none\n  IdentityAgent none\n  IdentitiesOnly yes\n"))
	for _, c := range s.Topology.Clusters {
		var inventory strings.Builder
		inventory.WriteString("# of the installer\n[master]\n")
		for i, n := range c.Nodes {
			line := n.Addr.String() + ` ansible_user="root" ansible_ssh_pass="a-secret-of-the-inventory"`
			if s.odd(s.Node(n.Name)) {
				line = fmt.Sprintf("%s ansible_user=%s ansible_port=%d", n.Addr, oddUser, oddPort)
			}
			fmt.Fprintln(&inventory, line)
			if i == 0 {
				fmt.Fprintln(&inventory, "[worker]")
			}
		}
		fmt.Fprintf(&inventory, "\n[proxy]\n%s\n", c.Nodes[0].Addr)
		config := fmt.Sprintf("network_type: calico\nnetwork_cidr: %s\nservice_cluster_ip_range: %s\ndefault_admin_password: a-secret-of-the-cluster\n", c.PodCIDR, c.ServiceCIDR)
		must(t, s.boot.Write("/root/"+c.Name+"/hosts", 0o600, inventory.String()))
		must(t, s.boot.Write("/root/"+c.Name+"/config.yaml", 0o600, config))
	}
	s.makePackage(t, binary)
}

func copyInto(t *testing.T, m *lab.SSHHost, from, to string, mode os.FileMode) {
	t.Helper()
	text, err := os.ReadFile(from)
	must(t, err)
	must(t, m.Write(to, mode, string(text)))
}

// makePackage makes a package with no more in it than the script needs to find: the program and its unit.
func (s *icpSite) makePackage(t *testing.T, binary string) {
	t.Helper()
	const tree = "/root/package"
	arch, err := s.boot.Command(s.ctx, "dpkg", "--print-architecture").Output()
	must(t, err)
	copyInto(t, s.boot, binary, tree+"/usr/bin/routed", 0o755)
	copyInto(t, s.boot, "../deploy/systemd/routed.service", tree+"/lib/systemd/system/routed.service", 0o644)
	must(t, s.boot.Write(tree+"/DEBIAN/control", 0o644, fmt.Sprintf("Package: routed\nVersion: 0.1\nArchitecture: %s\nMaintainer: nobody\nDescription: routed\n", strings.TrimSpace(string(arch)))))
	out, err := s.boot.Command(s.ctx, "dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", tree, "/root/routed_0.1_"+strings.TrimSpace(string(arch))+".deb").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// install runs the script as an operator does, and gives what it printed.
func (s *icpSite) install(t *testing.T, status int, args ...string) string {
	t.Helper()
	const script = `cd /root && exec icp/install --cluster cluster-1=cluster-1 --cluster cluster-2=/root/cluster-2 --package routed_*.deb \
		--calico-version 3.5 --routed /root/routed --identity ssh_key --ssh-config ssh_config "$@"`
	cmd := s.boot.Command(s.ctx, "sh", append([]string{"-c", script, "install"}, args...)...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	t.Logf("install %v exits %d:\n%s", args, cmd.ProcessState.ExitCode(), out)
	if got := cmd.ProcessState.ExitCode(); got != status {
		t.Fatalf("install %v exits %d, want %d", args, got, status)
	}
	if strings.Contains(string(out), "a-secret") {
		t.Error("a password is shown")
	}
	return string(out)
}

func wantText(t *testing.T, text string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(text, want) {
			t.Errorf("it does not say %q", want)
		}
	}
}

// has reports whether there is a file on a host.
func (s *icpSite) has(node *lab.Node, path string) bool {
	_, err := os.Stat(filepath.Join(s.machines[node.Spec.Name].Root, path))
	return err == nil
}

func (s *icpSite) testDry(t *testing.T) {
	out := s.install(t, 0)
	wantText(t, out, "cluster-1, no routed: to do: install routed_0.1_", "write cluster-2.hosts routed.yaml to /etc/routed, start routed", "Nothing was changed")
	for _, node := range s.Nodes() {
		wantText(t, out, node.Spec.Addr.String())
		if s.has(node, "/etc/routed") || s.has(node, "/usr/bin/routed") {
			t.Errorf("%s was changed", node.Spec.Name)
		}
	}
	objects, err := os.ReadFile(filepath.Join(s.boot.Root, "root/routed-icp/cluster-2/calico.yaml"))
	must(t, err)
	wantText(t, string(objects), "cidr: 10.1.0.0/16", "peerIP: 127.0.0.1\n")
}

func (s *icpSite) testHostKey(t *testing.T) {
	must(t, os.Rename(filepath.Join(s.boot.Root, "root/known_hosts"), filepath.Join(s.boot.Root, "root/known_hosts.away")))
	out := s.install(t, 1, "--apply")
	wantText(t, out, "Host key verification failed", "connect to it once by hand (ssh -p 22 root@9.111.255.21)")
	must(t, os.Rename(filepath.Join(s.boot.Root, "root/known_hosts.away"), filepath.Join(s.boot.Root, "root/known_hosts")))
}

// forward turns the forwarding of packets on or off, 1 or 0, on the host that is ill.
func (s *icpSite) forward(t *testing.T, value string) {
	t.Helper()
	for _, node := range s.Nodes() {
		if s.ill(node) {
			must(t, node.Command(s.ctx, "sh", "-c", "echo "+value+" >/proc/sys/net/ipv4/ip_forward").Run())
		}
	}
}

// The three hosts of cluster-1 are done when the ill one's turn is, the two after it are not touched.
func (s *icpSite) testStops(t *testing.T) {
	s.forward(t, "0")
	out := s.install(t, 1, "--apply")
	wantText(t, out, "healthy, but for hosts that have no routed yet (cluster-unreachable", "9.111.255.77     is not healthy; nothing was done on the hosts after it",
		"ip-forwarding", "routed doctor finds what must be mended first")
	for _, node := range s.Nodes() {
		done := node.Cluster.Name == "cluster-1" || s.ill(node)
		if s.has(node, "/usr/bin/routed") != done || s.has(node, "/etc/routed/routed.yaml") != done {
			t.Errorf("%s: want done: %v", node.Spec.Name, done)
		}
	}
}

func (s *icpSite) testGoesOn(t *testing.T) {
	s.forward(t, "1")
	out := s.install(t, 0, "--apply")
	wantText(t, out, "9.111.255.77     healthy", "Every host is healthy.")
	if n := strings.Count(out, "changed:"); n != 2 {
		t.Errorf("%d hosts were changed, want the two that were left", n)
	}
	for _, node := range s.Nodes() {
		must(t, node.CheckMesh(s.ctx))
		if s.has(node, "/tmp/routed-install") || !s.has(node, "/etc/systemd/system/routed.enabled") {
			t.Errorf("%s: not enabled", node.Spec.Name)
		}
		left, err := filepath.Glob(filepath.Join(s.machines[node.Spec.Name].Root, "tmp/*"))
		must(t, err)
		if len(left) > 0 {
			t.Errorf("%s: left behind: %v", node.Spec.Name, left)
		}
	}
}

func (s *icpSite) pid(t *testing.T, node *lab.Node) string {
	t.Helper()
	return readFile(t, filepath.Join(s.machines[node.Spec.Name].Root, "run/routed.pid"))
}

// A second run restarts nothing, and puts a list of hosts right that somebody touched. One with another setting restarts the host,
// and no kernel loses a route.
func (s *icpSite) testTwice(t *testing.T) {
	before := map[string]string{}
	for _, node := range s.Nodes() {
		before[node.Spec.Name] = s.pid(t, node)
	}
	touched := s.machines["gyliu-icp-1"]
	list := readFile(t, filepath.Join(touched.Root, "etc", "routed", "cluster-2.hosts"))
	must(t, touched.Write("/etc/routed/cluster-2.hosts", 0o640, list+"# somebody\n"))
	out := s.install(t, 0, "--apply", "--only", "9.111.255.21", "--only", "9.111.255.29")
	wantText(t, out, "9.111.255.21     changed: cluster-2.hosts\n", "9.111.255.29     cluster-1, routed devel\n")
	if got := readFile(t, filepath.Join(touched.Root, "etc", "routed", "cluster-2.hosts")); got != list {
		t.Errorf("cluster-2.hosts is\n%s", got)
	}
	for _, node := range s.Nodes() {
		if now := s.pid(t, node); now != before[node.Spec.Name] {
			t.Errorf("%s: restarted", node.Spec.Name)
		}
	}
	monitors, err := s.MonitorAll(s.ctx)
	must(t, err)
	must(t, s.boot.Write("/root/more.yaml", 0o600, "mesh: {retention: 2h}\n"))
	out = s.install(t, 0, "--more", "more.yaml", "--only", "9.111.255.155", "--apply")
	wantText(t, out, "to do: write cluster-1.hosts routed.yaml to /etc/routed, restart routed (its routes stay)", "changed: routed.yaml")
	must(t, monitors.Close())
	wantUntouched(t, monitors)
}

func (s *icpSite) testForeign(t *testing.T) {
	m := s.machines["gyliu-icp-1"]
	ours := readFile(t, filepath.Join(m.Root, "etc/routed/routed.yaml"))
	must(t, m.Write("/etc/routed/routed.yaml", 0o640, "# by hand\n"+ours))
	wantText(t, s.install(t, 1, "--apply"), "somebody else wrote")
	must(t, m.Write("/etc/routed/routed.yaml", 0o640, ours))
}

func (s *icpSite) testRemoval(t *testing.T) {
	wantText(t, s.install(t, 0, "--uninstall", "--only", "9.111.255.77"), "to do: remove routed ", "Nothing was changed")
	must(t, s.Node("gyliu-ubuntu-1").CheckMesh(s.ctx))
	wantText(t, s.install(t, 0, "--uninstall", "--apply"), "removed", "on none of these hosts")
	for _, node := range s.Nodes() {
		if s.has(node, "/usr/bin/routed") || s.has(node, "/etc/routed") {
			t.Errorf("%s: something is left", node.Spec.Name)
		}
		hops, err := node.NextHops(s.ctx, lab.RoutedTable)
		must(t, err)
		rules, err := node.IP(s.ctx, "rule")
		must(t, err)
		if len(hops) > 0 || strings.Contains(rules, lab.RoutedTable) {
			t.Errorf("%s: routes %v, rules\n%s", node.Spec.Name, hops, rules)
		}
	}
	wantText(t, s.install(t, 0, "--uninstall", "--apply", "--only", "9.111.255.77"), "no routed\n")
}

// The scripts that run on machines of others, in the judgement of shellcheck.
func TestShellScripts(t *testing.T) {
	lab.NeedTools(t, lab.ShellCheck)
	found, err := lab.ShellCheck.Find()
	must(t, err)
	cmd := exec.Command(found.Path(lab.ShellCheck.Program), "../deploy/icp/install", "../deploy/icp/on-host", "deps.sh")
	cmd.Env = append(os.Environ(), found.Env()...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

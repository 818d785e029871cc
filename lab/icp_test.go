package lab_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"routed/lab"
)

// icpSite is the seed's two clusters as machines that can be reached by SSH, and the boot node that an operator sits at.
type icpSite struct {
	*lab.Network
	ctx      context.Context         //nolint:containedctx // the whole test's
	boot     string                  // the operator's home on the boot node
	ssh      lab.Found               // the SSH client there
	machines map[string]*lab.Machine // by the node's name
}

// What of the hosts is not as it usually is: another port, another user.
const (
	oddPort = 2222
	oddUser = "icpadmin"
)

// icpTimeout bounds the whole of it: hundreds of commands, over SSH and one after the other.
const icpTimeout = 10 * time.Minute

// TestInstallICP takes deploy/icp/install from the first look to the removal: six machines with an SSH server each, the package
// as users get it, and BIRDs that Calico has told of routed. One host forwards no packets at first.
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
	lab.Need(t, lab.SSH, lab.SSHD)
	deb := packageOf(t)
	bird := lab.BIRD{Tool: lab.BIRD16, Peering: lab.Dial}
	if _, err := bird.Tool.Find(); err != nil {
		bird.Tool = lab.StandIn
	}
	_, net := buildWithBIRD(t, bird)
	ctx, cancel := context.WithTimeout(t.Context(), icpTimeout)
	t.Cleanup(cancel)
	s := &icpSite{Network: net, ctx: ctx, machines: map[string]*lab.Machine{}}
	s.prepareBoot(t, deb)
	s.bootMachines(t)
	known := map[string]string{}
	var mu sync.Mutex
	must(t, lab.Each(ctx, net.Nodes(), func(ctx context.Context, node *lab.Node) error {
		line, err := s.openToSSH(ctx, node, readFile(t, filepath.Join(s.boot, "ssh_key.pub")))
		mu.Lock()
		known[node.Spec.Name] = line
		mu.Unlock()
		return errors.Join(err, node.PeerBIRD(ctx))
	}))
	s.put(t, "known_hosts", strings.Join(slices.Collect(maps.Values(known)), ""))
	return s
}

// bootMachines makes every node a machine of its own.
func (s *icpSite) bootMachines(t *testing.T) {
	t.Helper()
	var mu sync.Mutex
	t.Cleanup(func() {
		for name, m := range s.machines {
			if t.Failed() {
				journal, _ := m.Run(context.WithoutCancel(s.ctx), "journalctl", "-b", "--no-pager", "-n", "15")
				t.Logf("%s:\n%s", name, journal)
			}
			if err := m.Close(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
	err := lab.Each(s.ctx, s.Nodes(), func(ctx context.Context, node *lab.Node) error {
		m, err := node.Boot(ctx, "")
		if err == nil {
			mu.Lock()
			s.machines[node.Spec.Name] = m
			mu.Unlock()
		}
		return err
	})
	if errors.Is(err, lab.ErrNoMachine) {
		skip(t, err.Error())
	}
	must(t, err)
}

// openToSSH lets the holder of a key into a machine, and returns the machine's line in known_hosts.
func (s *icpSite) openToSSH(ctx context.Context, node *lab.Node, authorized string) (string, error) {
	m := s.machines[node.Spec.Name]
	port, at := uint16(22), node.Spec.Addr.String()
	if s.odd(node) {
		port, at = oddPort, fmt.Sprintf("[%s]:%d", at, oddPort)
	}
	if err := m.Write("/usr/bin/sudo", 0o755, "#!/bin/sh\n[ \"$1\" = -n ] || exit 1\nshift\nexec \"$@\"\n"); err != nil {
		return "", err
	}
	key, err := m.StartSSH(ctx, port, authorized, oddUser)
	return at + " " + key, err
}

// odd is the host that listens elsewhere, with a user who is not root by name.
func (s *icpSite) odd(node *lab.Node) bool { return node.Spec.Name == "gyliu-icp-3" }

// ill is the host that forwards no packets; two hosts come after it.
func (s *icpSite) ill(node *lab.Node) bool { return node.Spec.Name == "gyliu-ubuntu-1" }

// prepareBoot has on the boot node what an operator has there: the clusters' own folders, the script, the package, and the
// program out of it.
func (s *icpSite) prepareBoot(t *testing.T, deb string) {
	t.Helper()
	s.boot = filepath.Join(s.Dir, "boot")
	must(t, os.Mkdir(s.boot, 0o700))
	client := filepath.Join(s.Dir, "ssh-client") // not below /root, which is another one there
	must(t, os.Mkdir(client, 0o755))
	found, err := lab.SSH.Find()
	must(t, err)
	s.ssh, err = found.CopyTo(s.ctx, client)
	must(t, err)
	s.run(t, `ssh-keygen -q -t ed25519 -N "" -C boot -f ssh_key`)
	s.put(t, filepath.Base(deb), readFile(t, deb))
	s.run(t, `dpkg-deb --fsys-tarfile routed_*.deb | tar -xf - --strip-components=3 ./usr/bin/routed`)
	for _, name := range []string{"install", "on-host"} {
		s.put(t, "icp/"+name, readFile(t, "../deploy/icp/"+name))
	}
	s.put(t, "ssh_config", "Host *\n  UserKnownHostsFile /root/known_hosts\n  GlobalKnownHostsFile none\n  IdentityAgent none\n  IdentitiesOnly yes\n")
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
		s.put(t, c.Name+"/hosts", inventory.String())
		s.put(t, c.Name+"/config.yaml", config)
	}
}

// put writes a file of the operator's home.
func (s *icpSite) put(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(s.boot, name)
	must(t, os.MkdirAll(filepath.Dir(path), 0o700))
	must(t, os.WriteFile(path, []byte(text), 0o700))
}

// command prepares a script to run on the boot node: this host in the LAN's namespace, with a /root and a /tmp of its own.
func (s *icpSite) command(script string, args ...string) *exec.Cmd {
	const enter = `mount --bind "$0" /root && mount -t tmpfs tmpfs /tmp && cd /root && script=$1 && shift && exec sh -c "$script" install "$@"`
	cmd := lab.Namespace("lan").Command(s.ctx, "sh", append([]string{"-c", enter, s.boot, script}, args...)...)
	path := os.Getenv("PATH")
	if program := s.ssh.Path(lab.SSH.Program); filepath.IsAbs(program) {
		path = filepath.Dir(program) + ":" + path
	}
	cmd.Env = append(os.Environ(), append(s.ssh.Env(), "HOME=/root", "PATH="+path)...)
	return cmd
}

func (s *icpSite) run(t *testing.T, script string) {
	t.Helper()
	if out, err := s.command(script).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", script, err, out)
	}
}

// install runs the script as an operator does, and gives what it printed.
func (s *icpSite) install(t *testing.T, status int, args ...string) string {
	t.Helper()
	const script = `exec icp/install --cluster cluster-1=cluster-1 --cluster cluster-2=/root/cluster-2 --package routed_*.deb \
		--calico-version 3.5 --routed /root/routed --identity ssh_key --ssh-config ssh_config "$@"`
	cmd := s.command(script, args...)
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
	_, err := os.Stat(s.machines[node.Spec.Name].Path(path))
	return err == nil
}

func (s *icpSite) testDry(t *testing.T) {
	out := s.install(t, 0)
	wantText(t, out, "cluster-1, no routed: to do: install routed_0.0.1-1_", "write cluster-2.hosts routed.yaml to /etc/routed, start routed", "Nothing was changed")
	for _, node := range s.Nodes() {
		wantText(t, out, node.Spec.Addr.String())
		if s.has(node, "/etc/routed") || s.has(node, "/usr/bin/routed") {
			t.Errorf("%s was changed", node.Spec.Name)
		}
	}
	objects := readFile(t, filepath.Join(s.boot, "routed-icp/cluster-2/calico.yaml"))
	wantText(t, objects, "cidr: 10.1.0.0/16", "peerIP: 127.0.0.1\n")
}

func (s *icpSite) testHostKey(t *testing.T) {
	must(t, os.Rename(filepath.Join(s.boot, "known_hosts"), filepath.Join(s.boot, "known_hosts.away")))
	out := s.install(t, 1, "--apply")
	wantText(t, out, "Host key verification failed", "connect to it once by hand (ssh -p 22 root@9.111.255.21)")
	must(t, os.Rename(filepath.Join(s.boot, "known_hosts.away"), filepath.Join(s.boot, "known_hosts")))
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
		m := s.machines[node.Spec.Name]
		if out, err := m.Run(s.ctx, "systemctl", "is-enabled", "routed"); err != nil {
			t.Errorf("%s: not enabled: %s", node.Spec.Name, out)
		}
		left, err := filepath.Glob(m.Path("/tmp/*"))
		must(t, err)
		left = slices.DeleteFunc(left, func(path string) bool { return strings.HasPrefix(filepath.Base(path), "systemd-private-") })
		if len(left) > 0 {
			t.Errorf("%s: left behind: %v", node.Spec.Name, left)
		}
	}
}

func (s *icpSite) pid(t *testing.T, node *lab.Node) string {
	t.Helper()
	out, err := s.machines[node.Spec.Name].Run(s.ctx, "systemctl", "show", "--value", "--property", "MainPID", "routed")
	must(t, err)
	return out
}

// A second run restarts nothing, and puts a list of hosts right that somebody touched. One with another setting restarts the host,
// and no kernel loses a route.
func (s *icpSite) testTwice(t *testing.T) {
	before := map[string]string{}
	for _, node := range s.Nodes() {
		before[node.Spec.Name] = s.pid(t, node)
	}
	touched := s.machines["gyliu-icp-1"]
	list := readFile(t, touched.Path("/etc/routed/cluster-2.hosts"))
	must(t, touched.Write("/etc/routed/cluster-2.hosts", 0o640, list+"# somebody\n"))
	out := s.install(t, 0, "--apply", "--only", "9.111.255.21", "--only", "9.111.255.29")
	wantText(t, out, "9.111.255.21     changed: cluster-2.hosts\n", "9.111.255.29     cluster-1, routed v0.0.1\n")
	if got := readFile(t, touched.Path("/etc/routed/cluster-2.hosts")); got != list {
		t.Errorf("cluster-2.hosts is\n%s", got)
	}
	for _, node := range s.Nodes() {
		if now := s.pid(t, node); now != before[node.Spec.Name] {
			t.Errorf("%s: restarted", node.Spec.Name)
		}
	}
	monitors, err := s.MonitorAll(s.ctx)
	must(t, err)
	s.put(t, "more.yaml", "mesh: {retention: 2h}\n")
	out = s.install(t, 0, "--more", "more.yaml", "--only", "9.111.255.155", "--apply")
	wantText(t, out, "to do: write cluster-1.hosts routed.yaml to /etc/routed, restart routed (its routes stay)", "changed: routed.yaml")
	must(t, monitors.Close())
	wantUntouched(t, monitors)
}

func (s *icpSite) testForeign(t *testing.T) {
	m := s.machines["gyliu-icp-1"]
	ours := readFile(t, m.Path("/etc/routed/routed.yaml"))
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

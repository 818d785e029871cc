package lab_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"routed/lab"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

const (
	envRoot = "ROUTED_TEST_ROOT" // a folder to start machines from instead of this host, such as a clean Debian by debootstrap
	envNFPM = "ROUTED_TEST_NFPM" // the program that makes packages

	secret = "correct-horse"
)

// packaged is a mesh one node of which is a machine with a systemd of its own, where routed comes from its package.
type packaged struct {
	*mesh
	node    *lab.Node
	machine *lab.Machine
	deb     string
	clean   map[string]string // the machine's own files, without routed
	kernel  string            // and its kernel

	original string // where the files are that it was started from
}

// TestPackage plays the life of a node's routed as its package and systemd bring it about, from the installation on a
// machine that never had one to a purge that leaves no trace. The other nodes' daemons are there all the time.
//
// systemd enforces the unit as on any host, so this is also the proof that the daemon does its work under it.
func TestPackage(t *testing.T) {
	p := newPackaged(t)
	_ = t.Run("Installed", p.testInstalled) &&
		t.Run("Unit", p.testUnit) &&
		t.Run("Started", p.testStarted) &&
		t.Run("HandMadeRoutesRemoved", p.testHandMade) &&
		t.Run("Confined", p.testConfined) &&
		t.Run("GroupMayAsk", p.testGroup) &&
		t.Run("Repairs", p.testRepairs) &&
		t.Run("Guards", p.testGuards) &&
		t.Run("SignedAfterReload", p.testSigned) &&
		t.Run("KilledAndBack", p.testKilled) &&
		t.Run("StuckAndBack", p.testStuck) &&
		t.Run("Upgraded", p.testUpgraded) &&
		t.Run("BackToHandMadeRoutes", p.testBack) &&
		t.Run("Removed", p.testRemoved) &&
		t.Run("Purged", p.testPurged)
}

func newPackaged(t *testing.T) *packaged {
	t.Helper()
	bird := lab.BIRD{Tool: lab.BIRD16, Peering: lab.Dial}
	lab.Need(t, bird.Tool, lab.NFT)
	deb := packageOf(t)
	binary, err := buildRelease()
	must(t, err)
	ctx, net := buildWithBIRD(t, bird) // after all that is built: its time is for the test
	p := &packaged{mesh: &mesh{Network: net, ctx: ctx, bird: bird, binary: binary}, deb: deb}
	p.node = p.Node("gyliu-icp-1")
	if p.machine, err = p.node.Boot(p.ctx, os.Getenv(envRoot)); errors.Is(err, lab.ErrNoMachine) {
		skip(t, err.Error())
	}
	must(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			journal, _ := p.machine.Run(context.WithoutCancel(p.ctx), "sh", "-c", "systemctl status routed systemd-journald; systemctl --failed; journalctl -b --no-pager -n 60; ls -la /run/log /run/log/journal /run/systemd/journal /var/log/journal")
			t.Log(journal)
		}
		if err := p.machine.Close(); err != nil {
			t.Error(err)
		}
	})
	must(t, lab.Each(p.ctx, p.Nodes(), func(ctx context.Context, node *lab.Node) error {
		if err := node.PeerBIRD(ctx); err != nil || node == p.node {
			return err
		}
		return node.StartRouted(ctx, p.binary, p.bird.Peering)
	}))
	for block, hop := range p.node.MeshRoutes() {
		_, err := p.node.IP(p.ctx, "route", "add", block.String(), "via", hop.String())
		must(t, err)
	}
	p.kernel = p.kernelState(t)
	p.original = original(t)
	p.clean = p.files(t)
	return p
}

// skip skips the test, or fails it for a CI that wants that.
func skip(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("ROUTED_LAB_REQUIRED") != "" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// buildPackage makes the package of this tree, once, and returns the path of the .deb.
var buildPackage = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("/run", "packages-")
	if err != nil {
		return "", err
	}
	build := exec.Command("../deploy/packages/build.sh", dir, "deb", runtime.GOARCH)
	build.Env = append(os.Environ(), "NFPM="+os.Getenv(envNFPM), "VERSION=v0.0.1", "REVISION=test", "SOURCE_DATE_EPOCH=1790000000")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	debs, err := filepath.Glob(filepath.Join(dir, "routed_0.0.1-1_*.deb"))
	if err != nil || len(debs) != 1 {
		return "", fmt.Errorf("built %v: %w", debs, err)
	}
	return debs[0], nil
})

// packageOf is buildPackage for tests.
func packageOf(t *testing.T) string {
	t.Helper()
	lab.Need(t)
	if os.Getenv(envNFPM) == "" {
		skip(t, "$"+envNFPM+" names no nfpm, which makes packages: run `make unit`")
	}
	deb, err := buildPackage()
	must(t, err)
	return deb
}

// TestLintian has Debian's own checker look at the package.
func TestLintian(t *testing.T) {
	if _, err := exec.LookPath("lintian"); err != nil {
		skip(t, err.Error())
	}
	lintian := exec.CommandContext(t.Context(), "lintian", "--no-cfg", "--allow-root", "--fail-on", "error", packageOf(t))
	out, err := lintian.CombinedOutput()
	if len(out) > 0 || err != nil {
		t.Logf("%s", out)
	}
	must(t, err)
}

// run runs a program in the machine, which must succeed.
func (p *packaged) run(t *testing.T, program string, args ...string) string {
	t.Helper()
	out, err := p.machine.Run(p.ctx, program, args...)
	must(t, err)
	return out
}

// show is one property of the service.
func (p *packaged) show(t *testing.T, property string) string {
	t.Helper()
	return strings.TrimSpace(p.run(t, "systemctl", "show", "--value", "--property", property, "routed"))
}

func (p *packaged) want(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s is %q, want %q", what, got, want)
	}
}

// put writes a file of the machine, for root alone.
func (p *packaged) put(t *testing.T, path, text string) {
	t.Helper()
	must(t, os.WriteFile(p.machine.Path(path), []byte(text), 0o600))
}

// install has apt install a package file.
func (p *packaged) install(t *testing.T, deb string) {
	t.Helper()
	data, err := os.ReadFile(deb)
	must(t, err)
	must(t, os.WriteFile(p.machine.Path("/tmp/routed.deb"), data, 0o644))
	t.Log(p.run(t, "apt-get", "-q", "install", "-y", "-o", "Dpkg::Options::=--force-unsafe-io", "/tmp/routed.deb"))
}

func (p *packaged) waitActive(t *testing.T) {
	t.Helper()
	must(t, lab.WaitFor(p.ctx, "the service to be active", func(ctx context.Context) error {
		_, err := p.machine.Run(ctx, "systemctl", "is-active", "routed")
		return err
	}))
}

// waitGood waits until the machine's daemon and all the others find nothing wrong, with every route in the kernel.
func (p *packaged) waitGood(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, healthyLimit)
	defer cancel()
	must(t, lab.WaitFor(ctx, "the packaged routed to be healthy", func(ctx context.Context) error {
		_, err := p.machine.Run(ctx, "routed", "status")
		return err
	}))
	must(t, lab.Each(ctx, p.Nodes(), func(ctx context.Context, node *lab.Node) error {
		if node == p.node {
			return lab.WaitFor(ctx, "the mesh", node.CheckMesh)
		}
		return lab.WaitFor(ctx, "routed to be healthy", node.CheckHealthy)
	}))
}

// undisturbed checks that no kernel loses a route of a pod block while something happens to the machine's daemon.
func (p *packaged) undisturbed(t *testing.T, happens func()) {
	t.Helper()
	monitors, err := p.MonitorAll(p.ctx)
	must(t, err)
	happens()
	p.waitGood(t)
	must(t, monitors.Close())
	if lost := monitors.Lost(ofBlocks); len(lost) > 0 {
		t.Errorf("routes were lost:\n%s", strings.Join(lost, "\n"))
	}
}

// The service is there, enabled, and waits for a configuration without having failed.
func (p *packaged) testInstalled(t *testing.T) {
	p.install(t, p.deb)
	p.want(t, "the service", p.show(t, "UnitFileState"), "enabled")
	p.want(t, "its state", p.show(t, "ActiveState"), "inactive")
	p.want(t, "its condition", p.show(t, "ConditionResult"), "no")
	p.run(t, "systemctl", "start", "routed")
	p.want(t, "its state", p.show(t, "ActiveState"), "inactive")
	p.run(t, "getent", "group", "routed")
	p.run(t, "test", "-s", "/usr/share/man/man8/routed-run.8.gz", "-a", "-s", "/usr/share/bash-completion/completions/routed")

	// The example says nothing, so nothing is routed by what it says.
	out, err := p.machine.Run(p.ctx, "routed", "check", "--config", "/usr/share/doc/routed/examples/routed.yaml")
	if err == nil || !strings.Contains(out, "cluster.name") {
		t.Errorf("the example is accepted, or does not say what is missing: %v", err)
	}
}

// systemd finds nothing wrong with the unit, and little that the daemon could do beyond its work.
func (p *packaged) testUnit(t *testing.T) {
	if out := p.run(t, "systemd-analyze", "verify", "routed.service"); out != "" {
		t.Errorf("systemd-analyze verify says:\n%s", out)
	}
	out := p.run(t, "systemd-analyze", "security", "--no-pager", "--offline=true", "--threshold=20", "routed.service")
	_, overall, _ := strings.Cut(out, "Overall ")
	t.Log(overall)
}

func (p *packaged) testStarted(t *testing.T) {
	must(t, p.node.WriteRoutedConfig(p.bird.Peering))
	text := readFile(t, p.node.RoutedConfigPath())
	text = strings.ReplaceAll(text, p.node.Dir+"/routed.sock", "/run/routed/routed.sock")
	p.put(t, "/etc/routed/routed.yaml", strings.ReplaceAll(text, p.node.Dir, "/etc/routed"))
	p.put(t, "/etc/routed/cluster-2.hosts", readFile(t, filepath.Join(p.node.Dir, "cluster-2.hosts")))
	p.run(t, "systemctl", "start", "routed")
	p.waitGood(t)
	if out := p.run(t, "ip", "route", "show", "table", "routed", "proto", "routed"); strings.Count(out, "\n") != 3 {
		t.Errorf("by its names `ip` shows:\n%s", out)
	}
}

// handMade lists the main table's routes to pods of the other cluster.
func (p *packaged) handMade(t *testing.T) []string {
	t.Helper()
	out, err := p.node.IP(p.ctx, "route", "show", "root", "20.1.0.0/16")
	must(t, err)
	return strings.Split(strings.TrimSpace(out), "\n")
}

// The routes that were added by hand before there was a routed are named as superfluous, and removed as docs/rollout.md has it.
func (p *packaged) testHandMade(t *testing.T) {
	out := p.run(t, "routed", "plan")
	t.Log(out)
	if n := strings.Count(out, "# held by the mesh\n"); n != 3 {
		t.Errorf("%d of 3 routes are held by the mesh", n)
	}
	p.undisturbed(t, func() {
		p.run(t, "sh", "-ec", `routed plan | sed -n 's/^# \(ip route delete .*\) # held by the mesh$/\1/p' | sh -ex`)
	})
	p.want(t, "what is left of them", strings.Join(p.handMade(t), "\n"), "")
	p.want(t, "plan", p.run(t, "routed", "plan"), "")
	_, err := p.node.Ping(p.ctx, p.Node("gyliu-ubuntu-1").Spec.Pods[0])
	must(t, err)
}

// The way back: routes by hand again, of what the mesh holds, so that a removal of the package leaves the node as it was.
func (p *packaged) testBack(t *testing.T) {
	p.run(t, "sh", "-ec", "ip route show table routed proto routed | while read -r route; do ip route add $route proto static; done")
	want := []string{}
	for block, hop := range p.node.MeshRoutes() {
		want = append(want, fmt.Sprintf("%s via %s dev eth0 proto static", block, hop))
	}
	got := p.handMade(t)
	for i := range got {
		got[i] = strings.TrimSpace(got[i])
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("routes by hand, want (-) and got (+):\n%s", diff)
	}
}

// What the kernel says of the process is what the unit wants; what of it cannot be asked, testUnit has systemd say.
func (p *packaged) testConfined(t *testing.T) {
	pid := p.show(t, "MainPID")
	status := readFile(t, p.machine.Path("/proc/"+pid+"/status"))
	caps := capabilities(t, p.show(t, "CapabilityBoundingSet"))
	for field, want := range map[string]string{
		"CapBnd": caps, "CapEff": caps, "CapPrm": caps, "CapInh": capabilities(t, ""), "CapAmb": capabilities(t, ""),
		"NoNewPrivs": "1", "Seccomp": "2",
	} {
		m := regexp.MustCompile(`(?m)^` + field + `:\s+(\S+)$`).FindStringSubmatch(status)
		if m == nil || m[1] != want {
			t.Errorf("%s of the daemon is %v, want %s", field, m, want)
		}
	}
	inside := func(args ...string) (string, error) {
		return p.machine.Run(p.ctx, "nsenter", append([]string{"--target", pid, "--mount", "--"}, args...)...)
	}
	for _, path := range []string{"/etc/routed/x", "/usr/bin/x", "/var/lib/x", "/proc/sys/net/ipv4/ip_forward", "/sys/x", "/run/x"} {
		if out, err := inside("sh", "-c", ": >"+path); err == nil || !strings.Contains(out, "ead-only") {
			t.Errorf("the daemon may write %s: %v", path, err)
		}
	}
	for _, path := range []string{"/var/lib/routed/x", "/run/routed/x", "/tmp/x"} {
		if _, err := inside("sh", "-c", ": >"+path+" && rm "+path); err != nil {
			t.Errorf("the daemon may not write %s: %v", path, err)
		}
	}
	if out, err := inside("ls", "/dev/vda", "/home/x"); err == nil {
		t.Errorf("the daemon sees devices and homes: %s", out)
	}
}

// capabilities is a set of names as /proc has it. It knows those that the unit may have, and no others.
func capabilities(t *testing.T, names string) string {
	t.Helper()
	known := map[string]uint64{"cap_net_admin": 1 << unix.CAP_NET_ADMIN, "cap_net_raw": 1 << unix.CAP_NET_RAW}
	var set uint64
	for _, name := range strings.Fields(names) {
		bit, ok := known[name]
		if !ok {
			t.Errorf("the unit has %s, which the daemon does not need", name)
		}
		set |= bit
	}
	return fmt.Sprintf("%016x", set)
}

// Who is in the group may ask the daemon, and nobody else.
func (p *packaged) testGroup(t *testing.T) {
	p.want(t, "the socket", p.run(t, "stat", "--format", "%A %U %G", "/run/routed/routed.sock"), "srw-rw---- root routed\n")
	ask := func(group string) error {
		_, err := p.machine.Run(p.ctx, "setpriv", "--reuid", "65534", "--regid", group, "--clear-groups", "--bounding-set", "-all",
			"routed", "status")
		return err
	}
	must(t, ask("routed"))
	if ask("65534") == nil {
		t.Error("everybody may ask the daemon")
	}
}

func (p *packaged) testRepairs(t *testing.T) {
	_, err := p.node.IP(p.ctx, "route", "del", "20.1.47.128/26", "table", lab.RoutedTable)
	must(t, err)
	_, err = p.node.IP(p.ctx, "rule", "del", "pref", "1790")
	must(t, err)
	_, err = lab.Within(p.ctx, repairLimit, "the route to come back", p.node.CheckMesh)
	must(t, err)
	p.waitGood(t)
	_, err = p.node.Ping(p.ctx, p.Node("gyliu-ubuntu-1").Spec.Pods[0])
	must(t, err)
}

func (p *packaged) testGuards(t *testing.T) {
	neighbour := p.Node("gyliu-icp-2")
	p.wantAttempt(t, neighbour.Namespace, p.node, silence)
	nft(p.ctx, t, p.node, "delete", "table", "inet", "routed")
	must(t, lab.WaitFor(p.ctx, "the guard to be back", func(ctx context.Context) error {
		_, err := runNFT(ctx, p.node, "list", "set", "inet", "routed", "peer4_1790_255")
		return err
	}))
	p.wantAttempt(t, neighbour.Namespace, p.node, silence)
}

// A password is put in force by reloads; the daemon's is in a file that root alone may read.
func (p *packaged) testSigned(t *testing.T) {
	p.undisturbed(t, func() {
		p.put(t, "/etc/routed/secret", secret+"\n")
		text := readFile(t, p.machine.Path("/etc/routed/routed.yaml"))
		p.put(t, "/etc/routed/routed.yaml", strings.Replace(text, "    nodes:\n", "    passwordFile: /etc/routed/secret\n    nodes:\n", 1))
		p.run(t, "systemctl", "reload", "routed")
		for _, node := range p.Nodes() {
			if node == p.node {
				continue
			}
			node.EditRouted(intruded(secret))
			must(t, node.WriteRoutedConfig(p.bird.Peering))
			must(t, node.ReloadRouted())
		}
		must(t, lab.WaitFor(p.ctx, "signed sessions", func(ctx context.Context) error {
			out, err := p.machine.Run(ctx, "ss", "-tin", "state", "established", "( sport = :1790 or dport = :1790 )")
			if n := strings.Count(out, secret); err == nil && n < 3 {
				err = fmt.Errorf("%d of 3: %s", n, out)
			}
			return err
		}))
	})
	out := p.run(t, "routed", "check")
	if strings.Count(out, "signed (TCP MD5)") != 3 {
		t.Errorf("check says:\n%s", out)
	}
}

// systemd starts a daemon that died anew, and nobody loses a route.
func (p *packaged) testKilled(t *testing.T) {
	p.undisturbed(t, func() {
		before := p.show(t, "MainPID")
		p.run(t, "systemctl", "kill", "--signal", "KILL", "routed")
		p.waitOther(t, before)
	})
}

// waitOther waits until the service has another process, and is ready.
func (p *packaged) waitOther(t *testing.T, before string) {
	t.Helper()
	must(t, lab.WaitFor(p.ctx, "systemd to start another", func(ctx context.Context) error {
		out, err := p.machine.Run(ctx, "systemctl", "show", "--value", "--property", "MainPID", "routed")
		if now := strings.TrimSpace(out); err == nil && (now == before || now == "0") {
			err = fmt.Errorf("process %s", now)
		}
		return err
	}))
	p.waitActive(t)
}

// A daemon that does not turn any more is replaced as well. The watchdog of the unit is shortened for it.
func (p *packaged) testStuck(t *testing.T) {
	p.run(t, "mkdir", "-p", "/run/systemd/system/routed.service.d")
	p.put(t, "/run/systemd/system/routed.service.d/quick.conf", "[Service]\nWatchdogSec=2\nWatchdogSignal=SIGKILL\n")
	p.run(t, "systemctl", "daemon-reload")
	p.undisturbed(t, func() {
		p.run(t, "systemctl", "restart", "routed")
		before := p.show(t, "MainPID")
		p.run(t, "systemctl", "kill", "--signal", "STOP", "routed")
		p.waitOther(t, before)
	})
	p.run(t, "rm", "-r", "/run/systemd/system/routed.service.d")
	p.run(t, "systemctl", "daemon-reload")
}

// A newer package replaces the daemon in one step.
func (p *packaged) testUpgraded(t *testing.T) {
	newer := filepath.Join(filepath.Dir(p.deb), "newer.deb")
	repack := `rm -rf "$2.dir" && dpkg-deb -R "$1" "$2.dir" && sed -i 's/^Version: .*/Version: 0.0.2-1/' "$2.dir/DEBIAN/control" && dpkg-deb -Znone -b "$2.dir" "$2"`
	if out, err := exec.CommandContext(p.ctx, "sh", "-c", repack, "sh", p.deb, newer).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	p.undisturbed(t, func() {
		before := p.show(t, "MainPID")
		p.install(t, newer)
		p.waitOther(t, before)
	})
	p.want(t, "the installed version", p.run(t, "dpkg-query", "-W", "-f", "${Version}", "routed"), "0.0.2-1")
}

// A removal takes the routes along and leaves the configuration.
func (p *packaged) testRemoved(t *testing.T) {
	t.Log(p.run(t, "apt-get", "-q", "remove", "-y", "routed"))
	p.want(t, "what is left in the kernel", p.kernelState(t), p.kernel)
	p.run(t, "test", "-s", "/etc/routed/routed.yaml")
	_, err := p.node.Ping(p.ctx, p.Node("gyliu-ubuntu-1").Spec.Pods[0]) // by the routes that testBack left
	must(t, err)
}

func (p *packaged) testPurged(t *testing.T) {
	t.Log(p.run(t, "apt-get", "-q", "purge", "-y", "routed"))
	if diff := cmp.Diff(p.clean, p.files(t)); diff != "" {
		t.Errorf("files before the installation (-) and after the purge (+):\n%s", diff)
	}
}

// kernelState is the machine's routes, rules and packet filters; those of BIRD are not ours to compare.
func (p *packaged) kernelState(t *testing.T) string {
	t.Helper()
	rules, err := p.node.IP(p.ctx, "rule")
	must(t, err)
	routes, err := p.node.IP(p.ctx, "route", "show", "table", "all")
	must(t, err)
	var ours []string
	for line := range strings.Lines(routes) { // `ip` on this host knows no names of ours
		if strings.Contains(line, " proto 114 ") || strings.Contains(line, " table "+lab.RoutedTable) {
			ours = append(ours, line)
		}
	}
	return rules + strings.Join(ours, "") + nft(p.ctx, t, p.node, "list", "tables")
}

// files is what of the machine's files differs from the root it was started from, and how, in mode and text. Those of
// dpkg, apt and the journal tell of what happened and are theirs, as are the backups of whatever changes /etc/group.
func (p *packaged) files(t *testing.T) map[string]string {
	t.Helper()
	changed, err := p.machine.Changed()
	must(t, err)
	others := []string{
		"/var/lib/dpkg/", "/var/log/", "/var/cache/", "/var/lib/apt/", "/var/lib/systemd/catalog", "/root/", "/tmp/",
		"/etc/group-", "/etc/gshadow-", "/etc/.pwd.lock",
	}
	out := map[string]string{}
	for _, path := range changed {
		if slices.ContainsFunc(others, func(o string) bool { return strings.HasPrefix(path, o) }) {
			continue
		}
		was, now := p.content(t, p.original+path), p.content(t, p.machine.Path(path))
		if diff := cmp.Diff(was, now); diff != "" {
			out[path] = diff
		}
	}
	return out
}

// original is where the files are that the machine was started from: without what the sandbox has mounted over some of
// them, as PrepareFRR does.
func original(t *testing.T) string {
	t.Helper()
	fd, err := unix.OpenTree(unix.AT_FDCWD, filepath.Join("/", os.Getenv(envRoot)), unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	must(t, err)
	t.Cleanup(func() { must(t, unix.Close(fd)) })
	return fmt.Sprintf("/proc/self/fd/%d", fd)
}

// content is the mode and the text of a file.
func (p *packaged) content(t *testing.T, path string) string {
	t.Helper()
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return "gone"
	}
	must(t, err)
	if !info.Mode().IsRegular() {
		return info.Mode().String()
	}
	if sys, ok := info.Sys().(*syscall.Stat_t); !ok || sys.Size > 1<<20 {
		return "large"
	}
	return info.Mode().String() + " " + readFile(t, path)
}

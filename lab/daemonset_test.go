package lab_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"routed/deploy/image"
	"routed/lab"
	"routed/lab/manifest"
)

// The image for one architecture is smaller than this, unpacked as well.
const imageLimit = 40 << 20

// daemonSet is the mesh of the seed as Kubernetes would run it: the image, unpacked, in containers as the manifests say.
type daemonSet struct {
	*mesh
	root   string // the image's files
	config manifest.ImageConfig
	sets   map[string]*manifest.Set // by cluster
}

// TestDaemonSet runs the image as the manifests of deploy/daemonset say, with the configuration of their overlays, in place
// of the daemons of all nodes: it comes up, the probes say so, `kubectl exec` has its commands, an update loses no route, and
// `uninstall` leaves nothing. The one thing changed is where the nodes are listed: there is no API server here.
func TestDaemonSet(t *testing.T) {
	lab.Need(t, lab.Bubblewrap, lab.NFT)
	ctx, net := buildWithBIRD(t, lab.BIRD{Tool: lab.BIRD2, Peering: lab.Accept})
	d := &daemonSet{mesh: &mesh{Network: net, ctx: ctx}, sets: map[string]*manifest.Set{}}
	d.unpack(t)
	must(t, lab.Each(ctx, net.Nodes(), func(ctx context.Context, node *lab.Node) error { return node.PeerBIRD(ctx) }))
	_ = t.Run("ConfigurationIsGood", d.testCheck) &&
		t.Run("Start", d.testStart) &&
		t.Run("RightsAreThoseGiven", d.testRights) &&
		t.Run("Update", d.testUpdate) &&
		t.Run("Uninstall", d.testUninstall)
}

// unpack builds the image for this machine and unpacks it.
func (d *daemonSet) unpack(t *testing.T) {
	t.Helper()
	binary, err := buildRelease()
	must(t, err)
	d.AskWith(binary)
	program, err := os.ReadFile(binary)
	must(t, err)
	var archive bytes.Buffer
	_, err = image.Write(&archive, image.Spec{
		Version: "lab", Revision: "none", Created: time.Unix(1, 0), Binaries: map[string][]byte{runtime.GOARCH: program},
	})
	must(t, err)
	t.Logf("the image: %d MB packed, %d MB unpacked", archive.Len()>>20, len(program)>>20)
	if max(archive.Len(), len(program)) > imageLimit {
		t.Errorf("the image is larger than %d MB", imageLimit>>20)
	}
	d.root = filepath.Join(d.Dir, "image")
	must(t, os.Mkdir(d.root, 0o755))
	d.config, err = manifest.Unpack(&archive, runtime.GOARCH, d.root)
	must(t, err)
}

// render gives what a folder of deploy/daemonset has for the node's cluster.
func (d *daemonSet) render(t *testing.T, folder string, node *lab.Node) *manifest.Set {
	t.Helper()
	dir := filepath.Join("..", "deploy", "daemonset", folder, node.Cluster.Name)
	if d.sets[dir] == nil {
		set, err := manifest.Render(dir)
		must(t, err)
		d.sets[dir] = set
	}
	return d.sets[dir]
}

// pod gives the pod of a node, and the node as a kubelet knows it.
func (d *daemonSet) pod(t *testing.T, folder string, node *lab.Node) (corev1.PodSpec, manifest.Node) {
	t.Helper()
	set := d.render(t, folder, node)
	files := map[string]string{}
	secret := map[string]string{}
	for name, text := range set.ConfigMaps[0].Data {
		files[name] = text
	}
	for _, c := range d.Topology.Clusters {
		if c.Name == node.Cluster.Name {
			continue
		}
		api := fmt.Sprintf("kubernetes: {kubeconfig: %s.kubeconfig}", c.Name)
		text := files["routed.yaml"]
		files["routed.yaml"] = strings.Replace(text, api, fmt.Sprintf("hostsFile: %s.hosts", c.Name), 1)
		if files["routed.yaml"] == text {
			t.Fatalf("routed.yaml of %s names no %q", node.Cluster.Name, api)
		}
		var hosts strings.Builder
		for _, n := range c.Nodes {
			fmt.Fprintf(&hosts, "%s %s\n", n.Addr, n.Name)
		}
		files[c.Name+".hosts"] = hosts.String()
		secret[c.Name+".password"] = "one for both\n"
	}
	return set.DaemonSets[0].Spec.Template.Spec, manifest.Node{
		Dir: node.Dir, IPs: []netip.Addr{node.Spec.Addr},
		ConfigMaps: map[string]map[string]string{set.ConfigMaps[0].Name: files},
		Secrets:    map[string]map[string]string{"routed": secret},
	}
}

// command gives the command line for a container of the node's pod, with other arguments when there are any.
func (d *daemonSet) command(t *testing.T, node *lab.Node, args ...string) []string {
	t.Helper()
	pod, host := d.pod(t, "overlays", node)
	container := pod.Containers[0]
	if args != nil {
		container.Args = args
	}
	command, err := host.Command(pod, container, d.root, d.config)
	must(t, err)
	return command
}

// testCheck: the configuration of each overlay is good on each node of its cluster.
func (d *daemonSet) testCheck(t *testing.T) {
	for _, node := range d.Nodes() {
		out, err := node.RunContainer(d.ctx, d.command(t, node, "check"))
		if err != nil {
			t.Errorf("%s: %v: %s", node.Spec.Name, err, out)
		}
		if strings.Contains(out, "warning") || !strings.Contains(out, node.Spec.Addr.String()+" of cluster "+node.Cluster.Name) ||
			strings.Count(out, "signed (TCP MD5)") != len(d.RemoteOf(node)) {
			t.Errorf("%s: %s", node.Spec.Name, out)
		}
	}
}

func (d *daemonSet) start(t *testing.T, node *lab.Node) {
	t.Helper()
	must(t, node.StartContainer(d.ctx, d.command(t, node), filepath.Join(node.Dir, "run/routed/routed.sock")))
}

func (d *daemonSet) testStart(t *testing.T) {
	for _, node := range d.Nodes() {
		d.start(t, node)
	}
	must(t, d.WaitMesh(d.ctx))
	d.waitHealthy(t)
	for _, node := range d.Nodes() {
		d.probe(t, node)
		// The guard came into force with these rights, too.
		out, status, err := node.Routed(d.ctx, "status")
		if err != nil || status != 0 || !strings.Contains(out, "guard         active") {
			t.Errorf("%s: status exits %d, %v: %s", node.Spec.Name, status, err, out)
		}
	}
	d.pingAll(t)
}

// probe asks what the kubelet asks, where it asks, until the answer is good.
func (d *daemonSet) probe(t *testing.T, node *lab.Node) {
	t.Helper()
	pod, _ := d.pod(t, "overlays", node)
	c := pod.Containers[0]
	for _, p := range []*corev1.Probe{c.StartupProbe, c.LivenessProbe, c.ReadinessProbe} {
		get := p.HTTPGet
		url := "http://" + net.JoinHostPort(get.Host, get.Port.String()) + get.Path
		must(t, lab.WaitFor(d.ctx, url, func(ctx context.Context) error { return getFrom(ctx, node.Namespace, url) }))
	}
}

// getFrom makes one request from inside a namespace.
func getFrom(ctx context.Context, ns lab.Namespace, url string) error {
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, addr string) (conn net.Conn, err error) {
			err = ns.Do(func() (err error) {
				conn, err = (&net.Dialer{}).DialContext(ctx, network, addr)
				return err
			})
			return conn, err
		},
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s", resp.Status)
	}
	return nil
}

// testRights: the container has the rights that the manifest gives, and no others, or these tests prove nothing.
func (d *daemonSet) testRights(t *testing.T) {
	node := d.Node("gyliu-icp-1")
	pid := node.RoutedPID()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	must(t, err)
	const netAdmin = "0000000000001000" // bit 12 of linux/capability.h
	for _, want := range []string{"CapPrm:\t" + netAdmin, "CapEff:\t" + netAdmin, "NoNewPrivs:\t1"} {
		if !strings.Contains(string(status), want+"\n") {
			t.Errorf("the process has not %q:\n%s", want, status)
		}
	}
	mounts, err := os.ReadFile(fmt.Sprintf("/proc/%d/mounts", pid))
	must(t, err)
	var writable []string
	for line := range strings.Lines(string(mounts)) {
		f := strings.Fields(line)
		if slices.Contains(strings.Split(f[3], ","), "rw") && !strings.HasPrefix(f[1]+"/", "/dev/") && f[1] != "/proc" {
			writable = append(writable, f[1])
		}
	}
	if slices.Sort(writable); !slices.Equal(writable, []string{"/run/routed", "/var/lib/routed"}) {
		t.Errorf("it can write to %v:\n%s", writable, mounts)
	}
}

// testUpdate replaces a pod of each cluster, one after the other: no kernel loses a route, or has one changed.
func (d *daemonSet) testUpdate(t *testing.T) {
	monitors, err := d.MonitorAll(d.ctx)
	must(t, err)
	for _, node := range []*lab.Node{d.Node("gyliu-icp-1"), d.Node("gyliu-ubuntu-1")} {
		must(t, node.StopRouted(d.ctx))
		d.start(t, node)
		d.probe(t, node)
	}
	d.waitHealthy(t)
	must(t, d.WaitMesh(d.ctx))
	must(t, monitors.Close())
	wantUntouched(t, monitors)
}

// testUninstall puts the pod of the uninstall overlay in the place of the daemon's.
func (d *daemonSet) testUninstall(t *testing.T) {
	for _, node := range d.Nodes() {
		must(t, node.StopRouted(d.ctx))
		// As the daemon leaves a list there that an API gave it.
		for _, remote := range d.RemoteOf(node) {
			must(t, os.WriteFile(filepath.Join(node.Dir, "var/lib/routed", remote.Cluster.Name+".hosts"), nil, 0o600))
		}
		pod, host := d.pod(t, "uninstall", node)
		flush, err := host.Command(pod, pod.InitContainers[0], d.root, d.config)
		must(t, err)
		out, err := node.RunContainer(d.ctx, flush)
		if err != nil || !strings.Contains(out, "removed 3 routes") || !strings.Contains(out, "removed the guard") {
			t.Errorf("%s: %v: %s", node.Spec.Name, err, out)
		}
		d.wantNothing(t, node)

		stay, err := host.Command(pod, pod.Containers[0], d.root, d.config)
		must(t, err)
		must(t, node.StartContainer(d.ctx, stay, ""))
		must(t, lab.WaitFor(d.ctx, "flush --stay", func(context.Context) error {
			log, err := os.ReadFile(node.RoutedLog())
			if err == nil && !strings.HasSuffix(string(log), "waiting for SIGTERM\n") {
				err = fmt.Errorf("it has said %q", log)
			}
			return err
		}))
		must(t, node.StopRouted(d.ctx))
	}
}

// wantNothing: neither the kernel nor the files of the node have anything of routed.
func (d *daemonSet) wantNothing(t *testing.T, node *lab.Node) {
	t.Helper()
	for what, args := range map[string][]string{
		"routes": {"route", "show", "table", "all", "proto", "114"},
		"rules":  {"rule", "show", "table", lab.RoutedTable},
	} {
		out, err := node.IP(d.ctx, args...)
		if err != nil || strings.TrimSpace(out) != "" {
			t.Errorf("%s has %s left, %v: %s", node.Spec.Name, what, err, out)
		}
	}
	nft, err := lab.NFT.Find()
	must(t, err)
	cmd := node.Command(d.ctx, nft.Path(lab.NFT.Program), "list", "tables")
	cmd.Env = append(os.Environ(), nft.Env()...)
	if out, err := cmd.Output(); err != nil || strings.Contains(string(out), "routed") {
		t.Errorf("%s has a packet filter left, %v: %s", node.Spec.Name, err, out)
	}
	for dir, most := range map[string][]string{"run/routed": {"routed.sock.lock"}, "var/lib/routed": nil} { // the lock goes with the next boot
		var left []string
		entries, err := os.ReadDir(filepath.Join(node.Dir, dir))
		for _, e := range entries {
			left = append(left, e.Name())
		}
		if err != nil || !slices.Equal(left, most) {
			t.Errorf("%s has %v left in /%s, %v", node.Spec.Name, left, dir, err)
		}
	}
}

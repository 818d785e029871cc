package lab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"text/template"
)

// routedState is the routed of a node.
type routedState struct {
	binary string
	proc   *process
	asker  string // what Routed runs; empty: binary
	socket string // the admin socket; empty: in the node's folder
	edit   func(text string) string
}

// RoutedTable is the table routed keeps its routes in unless told otherwise.
const RoutedTable = "1790"

// StartRouted writes the node's configuration and starts the routed of the given path on it, peering as told. It
// returns when the process runs, which is before anything is in the kernel; see [Network.WaitMesh].
func (node *Node) StartRouted(ctx context.Context, binary string, peering Peering) error {
	if node.routed.proc.running() {
		return errors.New("routed runs already")
	}
	if err := node.WriteRoutedConfig(peering); err != nil {
		return err
	}
	node.routed.binary = binary
	cmd := node.Command(context.WithoutCancel(ctx), binary, "run", "--config", node.RoutedConfigPath())
	var err error
	node.routed.proc, err = startProcess("routed", cmd, node.RoutedLog())
	return err
}

// StopRouted ends routed by SIGTERM and waits for it; a status other than 0 is an error.
func (node *Node) StopRouted(ctx context.Context) error {
	return node.routed.proc.end(ctx, syscall.SIGTERM)
}

// ReloadRouted sends SIGHUP to routed.
func (node *Node) ReloadRouted() error { return node.routed.proc.signal(syscall.SIGHUP) }

// KillRouted ends routed by SIGKILL.
func (node *Node) KillRouted(ctx context.Context) error { return node.routed.proc.kill(ctx) }

// RoutedRunning reports whether the node's routed is alive, and if not, how it ended.
func (node *Node) RoutedRunning() (bool, error) {
	if node.routed.proc.running() {
		return true, nil
	}
	if node.routed.proc == nil {
		return false, nil
	}
	return false, node.routed.proc.err
}

// Routed runs a command of routed in the node's namespace, such as "status" or "routes", against the running daemon. It
// returns all it printed and its exit status; the error is about running it at all.
func (node *Node) Routed(ctx context.Context, args ...string) (out string, status int, err error) {
	cmd := node.Command(ctx, cmp.Or(node.routed.asker, node.routed.binary), args...)
	cmd.Env = append(os.Environ(), "ROUTED_SOCKET="+node.RoutedSocket())
	printed, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		return string(printed), exit.ExitCode(), nil
	}
	return string(printed), 0, err
}

// AskWith has [Node.Routed] run another build of routed than the daemons are.
func (n *Network) AskWith(binary string) {
	for _, node := range n.nodes {
		node.routed.asker = binary
	}
}

// CheckHealthy returns nil when `routed status` on the node finds nothing wrong.
func (node *Node) CheckHealthy(ctx context.Context) error {
	out, status, err := node.Routed(ctx, "status")
	if err != nil {
		return err
	}
	if status != 0 {
		return fmt.Errorf("routed status on %s exits %d: %s", node.Spec.Name, status, out)
	}
	return nil
}

// CheckDegraded returns nil when `routed status` on the node finds something wrong.
func (node *Node) CheckDegraded(ctx context.Context) error {
	out, status, err := node.Routed(ctx, "status")
	if err != nil {
		return err
	}
	if status != 1 {
		return fmt.Errorf("routed status on %s exits %d: %s", node.Spec.Name, status, out)
	}
	return nil
}

// WaitHealthy waits until CheckHealthy holds on every node.
func (n *Network) WaitHealthy(ctx context.Context) error {
	return Each(ctx, n.nodes, func(ctx context.Context, node *Node) error {
		return WaitFor(ctx, "routed to be healthy", node.CheckHealthy)
	})
}

// RoutedSocket is the path of the admin socket.
func (node *Node) RoutedSocket() string {
	return cmp.Or(node.routed.socket, filepath.Join(node.Dir, "routed.sock"))
}

// RoutedConfigPath is the path of routed.yaml.
func (node *Node) RoutedConfigPath() string { return filepath.Join(node.Dir, "routed.yaml") }

// RoutedLog is the path of what routed wrote to its standard error, of all its runs.
func (node *Node) RoutedLog() string { return filepath.Join(node.Dir, "routed.log") }

// WriteRoutedConfig writes routed.yaml and the hosts files it names: what this mesh needs said and nothing more.
func (node *Node) WriteRoutedConfig(peering Peering) error {
	if peering == NoPeering {
		return errors.New("routed peers with BIRD by dial or by accept")
	}
	var remotes []remoteConfig
	for _, c := range node.net.Topology.Clusters {
		if c.Name == node.Cluster.Name {
			continue
		}
		hosts := filepath.Join(node.Dir, c.Name+".hosts")
		if err := os.WriteFile(hosts, []byte(hostsFile(c)), 0o644); err != nil {
			return err
		}
		remotes = append(remotes, remoteConfig{
			ClusterSpec: c, HostsFile: hosts, BothFamilies: c.OneSession || node.Cluster.OneSession,
		})
	}
	var text strings.Builder
	err := routedTemplate().Execute(&text, map[string]any{
		"Node": node, "BIRD": node.routedToBIRD(peering), "Remotes": remotes, "Net": node.net.Topology,
	})
	if err != nil {
		return err
	}
	config := text.String()
	if node.routed.edit != nil {
		config = node.routed.edit(config)
	}
	return os.WriteFile(node.RoutedConfigPath(), []byte(config), 0o644)
}

// EditRouted has f change every routed.yaml that is written from now on; nil: it stays as it is.
func (node *Node) EditRouted(f func(text string) string) { node.routed.edit = f }

type remoteConfig struct {
	ClusterSpec
	HostsFile    string
	BothFamilies bool
}

// routedToBIRD says how routed meets BIRD: once for each family, unless one session carries both.
func (node *Node) routedToBIRD(peering Peering) string {
	var ends []string
	for _, f := range node.birdFamilies() {
		if end := f.Loopback(); peering == Dial {
			ends = append(ends, fmt.Sprintf("%q", netip.AddrPortFrom(end, bgpPort)))
		} else {
			ends = append(ends, fmt.Sprintf("%q", end))
		}
	}
	if node.bird.OneSession {
		ends = ends[:1]
	}
	return fmt.Sprintf("%s: [%s]", peering, strings.Join(ends, ", "))
}

// hostsFile lists a cluster's nodes as the seed's hosts files do, each by all its addresses.
func hostsFile(c ClusterSpec) string {
	var s strings.Builder
	for _, n := range c.Nodes {
		for _, a := range n.Addrs() {
			fmt.Fprintf(&s, "%s %s\n", a, n.Name)
		}
	}
	return s.String()
}

func routedTemplate() *template.Template {
	return template.Must(template.New("routed.yaml").Parse(`{{define "cluster"}}podCIDRs: [
{{- range $i, $p := .PodCIDRs}}{{if $i}}, {{end}}"{{$p}}"{{end}}]
{{- if .ServiceCIDR.IsValid}}
    serviceCIDRs: [{{.ServiceCIDR}}]
{{- end}}
    asn: {{.ASN}}{{end -}}
cluster:
    name: {{.Node.Cluster.Name}}
    {{template "cluster" .Node.Cluster}}
node:
{{- range .Node.Spec.Addrs}}
  {{if .Is4}}address{{else}}address6{{end}}: "{{.}}"
{{- end}}
bird:
  {{.BIRD}}
remotes:
{{- range .Remotes}}
  - name: {{.Name}}
    {{template "cluster" .}}
{{- if .BothFamilies}}
    sessionFamilies: both
{{- end}}
{{- if $.Net.Reflectors}}
    reflectors: [{{range $i, $r := $.Net.Reflectors}}{{if $i}}, {{end}}{{$r.Addr}}{{end}}]
    nodeCIDRs: [{{$.Net.LAN}}]
{{- else}}
    nodes:
      hostsFile: {{.HostsFile}}
{{- end}}
{{- end}}
metrics:
  listen: ":9790"
admin:
  socket: {{.Node.RoutedSocket}}
`))
}

// MeshRoutes is what the node's kernel must hold of the other clusters: every block and borrowed address there, and its node.
func (node *Node) MeshRoutes() map[netip.Prefix]netip.Addr {
	want := map[netip.Prefix]netip.Addr{}
	for _, other := range node.net.RemoteOf(node) {
		for _, b := range other.Announced() {
			want[b] = other.Spec.AddrFor(b.Addr())
		}
	}
	return want
}

// CheckMesh returns nil when the node's table holds exactly MeshRoutes.
func (node *Node) CheckMesh(ctx context.Context) error {
	got, err := node.NextHops(ctx, RoutedTable)
	if err != nil {
		return err
	}
	if want := node.MeshRoutes(); !maps.Equal(got, want) {
		return fmt.Errorf("table %s of %s: %v, want %v", RoutedTable, node.Spec.Name, got, want)
	}
	return nil
}

// WaitMesh waits until every kernel holds every block of the other clusters, and no more.
func (n *Network) WaitMesh(ctx context.Context) error {
	return Each(ctx, n.nodes, func(ctx context.Context, node *Node) error {
		return WaitFor(ctx, "the mesh", node.CheckMesh)
	})
}

// killAll ends what runs on the node, at the network's end.
func (node *Node) killAll() {
	for _, p := range append(node.bird.procs, node.routed.proc) {
		if p.running() {
			_ = p.target().Kill() // gone already is as good
			<-p.done
		}
	}
}

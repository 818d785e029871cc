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
	"regexp"
	"slices"
	"strings"
	"syscall"
)

// birdState is the BIRD of a node.
type birdState struct {
	BIRD
	found  Found
	peered bool // its configuration has the session with routed
	proc   *process
}

// StartBIRD starts the node's BIRD and returns when it answers birdc. It knows of no routed yet: [Node.PeerBIRD] adds
// the session, as happens when routed comes to a cluster that is already there. Started again after a stop it has the
// session if it had it before.
//
// It runs with -R, as Calico runs it: routes that an earlier BIRD left in the kernel are kept while sessions come up
// again. Until every peer of its configuration has answered, or for 240 s, it programs nothing.
func (node *Node) StartBIRD(ctx context.Context, bird BIRD) error {
	if node.bird.proc.running() {
		return errors.New("BIRD runs already")
	}
	found, err := bird.Tool.Find()
	if err != nil {
		return err
	}
	node.bird.BIRD, node.bird.found = bird, found
	if bird.Tool == StandIn {
		return node.startStandIn(ctx)
	}
	if err := node.writeBIRDConfig(); err != nil {
		return err
	}
	cmd := node.Command(context.WithoutCancel(ctx), found.Path("usr/sbin/bird"),
		"-f", "-R", "-c", node.birdFile("bird.cfg"), "-s", node.birdFile("bird.ctl"), "-P", node.birdFile("bird.pid"))
	cmd.Env = append(os.Environ(), found.Env()...)
	if node.bird.proc, err = startProcess("bird", cmd, node.birdFile("bird.out")); err != nil {
		return err
	}
	return WaitFor(ctx, "BIRD to answer", func(ctx context.Context) error {
		if !node.bird.proc.running() {
			return fmt.Errorf("it ended, see %s: %w", node.birdFile("bird.out"), node.bird.proc.err)
		}
		_, err := node.Birdc(ctx, "show", "status")
		return err
	})
}

// StartBIRDs starts the BIRD of every node and waits for their mesh; see [Network.WaitBIRD].
func (n *Network) StartBIRDs(ctx context.Context, bird BIRD) error {
	err := Each(ctx, n.nodes, func(ctx context.Context, node *Node) error { return node.StartBIRD(ctx, bird) })
	if err != nil {
		return err
	}
	return n.WaitBIRD(ctx)
}

func (node *Node) birdFile(name string) string { return filepath.Join(node.Dir, name) }

// BIRDLog is the path of BIRD's log.
func (node *Node) BIRDLog() string { return node.birdFile("bird.log") }

// BIRDConfig is the text of the node's bird.cfg as it would be written now.
func (node *Node) BIRDConfig() string {
	var mesh []netip.Addr
	for _, other := range node.Cluster.Nodes {
		if other.Addr != node.Spec.Addr {
			mesh = append(mesh, other.Addr)
		}
	}
	peering := NoPeering
	if node.bird.peered {
		peering = node.bird.Peering
	}
	return birdConfig{
		Two: node.bird.Tool == BIRD2, Log: node.BIRDLog(), Addr: node.Spec.Addr, ASN: node.Cluster.ASN,
		Pool: node.Cluster.PodCIDR, Blocks: node.blocks, Mesh: mesh,
		Peering: peering, NewTimers: node.bird.Peering != Dial || node.bird.Tool == BIRD2,
	}.String()
}

func (node *Node) writeBIRDConfig() error {
	return os.WriteFile(node.birdFile("bird.cfg"), []byte(node.BIRDConfig()), 0o644)
}

// reconfigureBIRD has a running BIRD read its configuration anew, as Calico's confd does.
func (node *Node) reconfigureBIRD(ctx context.Context) error {
	if node.bird.Tool == StandIn {
		return node.configureStandIn(ctx)
	}
	if err := node.writeBIRDConfig(); err != nil {
		return err
	}
	out, err := node.Birdc(ctx, "configure")
	if err != nil {
		return err
	}
	if !strings.Contains(out, "Reconfigur") {
		return fmt.Errorf("birdc configure: %s", strings.TrimSpace(out))
	}
	return nil
}

// PeerBIRD gives BIRD its session with routed, as the operator's BGPPeer object does.
func (node *Node) PeerBIRD(ctx context.Context) error {
	node.bird.peered = true
	return node.reconfigureBIRD(ctx)
}

// UnpeerBIRD takes the session away again.
func (node *Node) UnpeerBIRD(ctx context.Context) error {
	node.bird.peered = false
	return node.reconfigureBIRD(ctx)
}

// AddBlock has the node's BIRD announce one more block. When it returns, BIRD has read its new configuration.
func (node *Node) AddBlock(ctx context.Context, block netip.Prefix) error {
	if slices.Contains(node.blocks, block) {
		return fmt.Errorf("block %s is here already", block)
	}
	node.blocks = append(node.blocks, block)
	return node.reconfigureBIRD(ctx)
}

// RemoveBlock has the node's BIRD withdraw a block.
func (node *Node) RemoveBlock(ctx context.Context, block netip.Prefix) error {
	i := slices.Index(node.blocks, block)
	if i < 0 {
		return fmt.Errorf("block %s is not here", block)
	}
	node.blocks = slices.Delete(node.blocks, i, i+1)
	return node.reconfigureBIRD(ctx)
}

// StopBIRD ends BIRD in order: its sessions are closed with a Cease, and `persist` leaves its routes in the kernel.
func (node *Node) StopBIRD(ctx context.Context) error {
	return node.bird.proc.end(ctx, syscall.SIGTERM)
}

// KillBIRD ends BIRD by SIGKILL.
func (node *Node) KillBIRD(ctx context.Context) error { return node.bird.proc.kill(ctx) }

// Birdc runs one command of BIRD's command line and returns its answer.
func (node *Node) Birdc(ctx context.Context, words ...string) (string, error) {
	cmd := exec.CommandContext(ctx, node.bird.found.Path("usr/sbin/birdc"), append([]string{"-s", node.birdFile("bird.ctl")}, words...)...)
	cmd.Env = append(os.Environ(), node.bird.found.Env()...)
	out, err := output(cmd)
	if err != nil {
		return "", err
	}
	_, answer, _ := strings.Cut(out, "\n") // the first line is "BIRD … ready."
	return answer, nil
}

// BIRDProtocol is one line of BIRD's `show protocols`.
type BIRDProtocol struct {
	Name, Proto, Table, State string
	Since                     string // of State, in BIRD's form: the same as long as the session did not flap
	Info                      string // Established and so on
}

// BIRDProtocols asks BIRD for its protocols, sorted by name.
func (node *Node) BIRDProtocols(ctx context.Context) ([]BIRDProtocol, error) {
	out, err := node.Birdc(ctx, "show", "protocols")
	if err != nil {
		return nil, err
	}
	return parseProtocols(out), nil
}

func parseProtocols(out string) []BIRDProtocol {
	var protocols []BIRDProtocol
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		if len(f) < 5 || strings.EqualFold(f[0], "name") {
			continue
		}
		protocols = append(protocols, BIRDProtocol{
			Name: f[0], Proto: f[1], Table: f[2], State: f[3], Since: f[4], Info: strings.Join(f[5:], " "),
		})
	}
	slices.SortFunc(protocols, func(a, b BIRDProtocol) int { return cmp.Compare(a.Name, b.Name) })
	return protocols
}

// BIRDRoutes asks BIRD for its table, sorted, without the times at which the routes came.
func (node *Node) BIRDRoutes(ctx context.Context) ([]string, error) {
	out, err := node.Birdc(ctx, "show", "route")
	if err != nil {
		return nil, err
	}
	return normalRoutes(out), nil
}

// normalRoutes strips "[Mesh_9_111_255_29 23:21:08]" and its like of the time.
func normalRoutes(out string) []string {
	since := regexp.MustCompile(`\[(\S+) [\d:.-]+(?: from (\S+))?\]`)
	var lines []string
	for line := range strings.Lines(out) {
		line = since.ReplaceAllString(strings.TrimRight(line, "\n"), "[$1 $2]")
		switch {
		case line == "" || strings.HasPrefix(line, "Table "):
		case line[0] == '\t' && len(lines) > 0: // BIRD 2 has the next hop on a line of its own
			lines[len(lines)-1] += " " + line[1:]
		default:
			lines = append(lines, line)
		}
	}
	slices.Sort(lines)
	return lines
}

// WaitBIRD waits until the mesh of BIRDs in every cluster is up and each kernel holds the blocks of its own cluster.
func (n *Network) WaitBIRD(ctx context.Context) error {
	return Each(ctx, n.nodes, func(ctx context.Context, node *Node) error {
		return WaitFor(ctx, "the BIRD mesh", node.checkBIRDMesh)
	})
}

func (node *Node) checkBIRDMesh(ctx context.Context) error {
	routes, err := node.RouteTable(ctx, "main")
	if err != nil {
		return err
	}
	want := map[netip.Prefix]netip.Addr{}
	for _, other := range node.net.NodesOf(node.Cluster.Name) {
		for _, b := range other.blocks {
			want[b] = netip.Addr{}
			if other != node {
				want[b] = other.Spec.Addr
			}
		}
	}
	got := map[netip.Prefix]netip.Addr{}
	for _, r := range routes {
		if r.Proto == "bird" && (r.Type == "blackhole" || r.Via.IsValid()) {
			got[r.Dst] = r.Via
		}
	}
	if !maps.Equal(got, want) {
		return fmt.Errorf("blocks in the kernel: %v, want %v", got, want)
	}
	return nil
}

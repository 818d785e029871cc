package lab

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// birdState is the BIRD of a node.
type birdState struct {
	BIRD
	found  Found
	peered bool // its configuration has the session with routed
	procs  []*process
}

// birdDaemon is one process of BIRD: BIRD 1.6 has one for each family.
type birdDaemon struct {
	suffix   string // of its program and its files
	families []birdFamily
}

// birdDaemons are the processes that the node's BIRD consists of.
func (node *Node) birdDaemons() []birdDaemon {
	all := node.birdFamilies()
	if node.bird.Tool != BIRD16 {
		return []birdDaemon{{families: all}}
	}
	var out []birdDaemon
	for _, f := range all {
		out = append(out, birdDaemon{suffix: f.Suffix(), families: []birdFamily{f}})
	}
	return out
}

func (node *Node) birdFamilies() []birdFamily {
	var out []birdFamily
	for _, a := range node.Spec.Addrs() {
		f := birdFamily{Addr: a, Pool: node.Cluster.rangeFor(a)}
		for _, b := range node.blocks {
			if b.Addr().Is6() == a.Is6() {
				f.Blocks = append(f.Blocks, b)
			}
		}
		for _, other := range node.Cluster.Nodes {
			if other.Name != node.Spec.Name {
				f.Mesh = append(f.Mesh, other.AddrFor(a))
			}
		}
		out = append(out, f)
	}
	return out
}

// routerID is what Calico sets: the IPv4 address, and without one a hash of the node's name (CALICO_ROUTER_ID=hash).
func (node *Node) routerID() netip.Addr {
	if node.Spec.Addr.IsValid() {
		return node.Spec.Addr
	}
	sum := sha256.Sum256([]byte(node.Spec.Name))
	if sum[0] > 223 {
		sum[0] -= 32
	}
	return netip.AddrFrom4([4]byte(sum[:4]))
}

func (node *Node) birdRunning() bool {
	return len(node.bird.procs) > 0 && !slices.ContainsFunc(node.bird.procs, func(p *process) bool { return !p.running() })
}

// StartBIRD starts the node's BIRD and returns when it answers birdc. It knows of no routed yet: [Node.PeerBIRD] adds
// the session, as happens when routed comes to a cluster that is already there. Started again after a stop it has the
// session if it had it before.
//
// It runs with -R, as Calico runs it: routes that an earlier BIRD left in the kernel are kept while sessions come up
// again. Until every peer of its configuration has answered, or for 240 s, it programs nothing.
func (node *Node) StartBIRD(ctx context.Context, bird BIRD) error {
	if node.birdRunning() {
		return errors.New("BIRD runs already")
	}
	found, err := bird.Tool.Find()
	if err != nil {
		return err
	}
	node.bird.BIRD, node.bird.found, node.bird.procs = bird, found, nil
	if bird.Tool == StandIn {
		return node.startStandIn(ctx)
	}
	if err := node.writeBIRDConfig(); err != nil {
		return err
	}
	for _, d := range node.birdDaemons() {
		cmd := node.Command(context.WithoutCancel(ctx), found.Path("usr/sbin/bird"+d.suffix),
			"-f", "-R", "-c", node.birdFile("bird"+d.suffix+".cfg"), "-s", node.birdSocket(d), "-P", node.birdFile("bird"+d.suffix+".pid"))
		cmd.Env = append(os.Environ(), found.Env()...)
		p, err := startProcess("bird"+d.suffix, cmd, node.birdFile("bird.out"))
		if err != nil {
			return err
		}
		node.bird.procs = append(node.bird.procs, p)
	}
	return WaitFor(ctx, "BIRD to answer", func(ctx context.Context) error {
		for _, p := range node.bird.procs {
			if !p.running() {
				return fmt.Errorf("%s ended, see %s: %w", p.name, node.birdFile("bird.out"), p.err)
			}
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

func (node *Node) birdSocket(d birdDaemon) string { return node.birdFile("bird" + d.suffix + ".ctl") }

func (node *Node) birdConfig(d birdDaemon) birdConfig {
	c := birdConfig{
		Two: node.bird.Tool == BIRD2, Log: node.BIRDLog(), RouterID: node.routerID(), ASN: node.Cluster.ASN, Families: d.families,
		OneSession: node.bird.OneSession, NewTimers: node.bird.Peering != Dial || node.bird.Tool == BIRD2,
	}
	if node.bird.peered {
		c.Peering = node.bird.Peering
	}
	return c
}

func (node *Node) writeBIRDConfig() error {
	for _, d := range node.birdDaemons() {
		if err := os.WriteFile(node.birdFile("bird"+d.suffix+".cfg"), []byte(node.birdConfig(d).String()), 0o644); err != nil {
			return err
		}
	}
	return nil
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
	if strings.Count(out, "Reconfigur") < len(node.birdDaemons()) {
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

// BIRD is how the node's BIRD was started last.
func (node *Node) BIRD() BIRD { return node.bird.BIRD }

// StopBIRD ends BIRD in order: its sessions are closed with a Cease, and `persist` leaves its routes in the kernel.
func (node *Node) StopBIRD(ctx context.Context) error {
	return node.endBIRD(func(p *process) error { return p.end(ctx, syscall.SIGTERM) })
}

// KillBIRD ends BIRD by SIGKILL.
func (node *Node) KillBIRD(ctx context.Context) error {
	return node.endBIRD(func(p *process) error { return p.kill(ctx) })
}

func (node *Node) endBIRD(end func(*process) error) error {
	var errs []error
	for _, p := range node.bird.procs {
		errs = append(errs, end(p))
	}
	return errors.Join(errs...)
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
		for _, b := range other.Announced() {
			switch {
			case other != node:
				want[b] = other.Spec.AddrFor(b.Addr())
			case !b.IsSingleIP():
				want[b] = netip.Addr{}
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

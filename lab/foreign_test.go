package lab_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"routed/admin"
	"routed/lab"
)

// ours is one node with a routed, in a network whose other nodes run something else.
type ours struct {
	*lab.Network
	*lab.Node
	ctx    context.Context //nolint:containedctx // the whole test's
	binary string
	pid    int // of routed
}

// startOurs builds the topology and starts a routed on its first node, whose BIRD is a stand-in.
func startOurs(t *testing.T, topology lab.Topology, config func(socket string) string) *ours {
	t.Helper()
	binary, err := buildRouted()
	must(t, err)
	return startOursOf(t, binary, topology, config)
}

func startOursOf(t *testing.T, binary string, topology lab.Topology, config func(socket string) string) *ours {
	t.Helper()
	ctx, net := buildTopology(t, topology)
	o := &ours{Network: net, Node: net.Nodes()[0], ctx: ctx, binary: binary}
	must(t, o.StartBIRD(ctx, lab.BIRD{Tool: lab.StandIn, Peering: lab.Dial}))
	must(t, o.PeerBIRD(ctx))
	must(t, os.WriteFile(o.RoutedConfigPath(), []byte(config(o.RoutedSocket())), 0o600))
	log, err := os.Create(o.RoutedLog())
	must(t, err)
	cmd := o.Command(ctx, binary, "run", "--config", o.RoutedConfigPath())
	cmd.Stdout, cmd.Stderr = log, log
	must(t, cmd.Start())
	o.pid = cmd.Process.Pid
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = log.Close()
	})
	return o
}

// ask has `routed WORDS -o json` answer into a value.
func (o *ours) ask(ctx context.Context, into any, words ...string) error {
	cmd := o.Command(ctx, o.binary, append(words, "-o", "json", "--socket", o.RoutedSocket())...)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) { // 1: it has something to complain of
		return err
	}
	return json.Unmarshal(out, into)
}

// peer is the session with the address as `routed peers` tells of it.
func (o *ours) peer(ctx context.Context, addr netip.Addr) (admin.Peer, error) {
	var all admin.Peers
	if err := o.ask(ctx, &all, "peers"); err != nil {
		return admin.Peer{}, err
	}
	i := slices.IndexFunc(all.Peers, func(p admin.Peer) bool { return p.Address == addr })
	if i < 0 {
		return admin.Peer{}, fmt.Errorf("no peer %s", addr)
	}
	return all.Peers[i], nil
}

const ourBlock, ourNode = "10.1.198.128/26", "9.111.255.21"

// foreignTopology is our node and one node of each of three clusters, whose AS numbers are ours, another and one of four bytes.
func foreignTopology() lab.Topology {
	node := func(name, addr, block string) []lab.NodeSpec {
		return []lab.NodeSpec{{Name: name, Addr: netip.MustParseAddr(addr), Blocks: []netip.Prefix{netip.MustParsePrefix(block)}}}
	}
	return lab.Topology{
		LAN: netip.MustParsePrefix("9.111.255.0/24"),
		Clusters: []lab.ClusterSpec{
			{Name: "cluster-1", ASN: lab.CalicoASN, PodCIDR: netip.MustParsePrefix("10.1.0.0/16"), Nodes: node("ours", ourNode, ourBlock)},
			{Name: "frr", ASN: 64513, PodCIDR: netip.MustParsePrefix("30.1.0.0/16"), Nodes: node("frr", "9.111.255.30", "30.1.0.0/26")},
			{Name: "bird", ASN: lab.CalicoASN, PodCIDR: netip.MustParsePrefix("40.1.0.0/16"), Nodes: node("bird", "9.111.255.40", "40.1.0.0/26")},
			{Name: "gobgp", ASN: 4200000050, PodCIDR: netip.MustParsePrefix("50.1.0.0/16"), Nodes: node("gobgp", "9.111.255.50", "50.1.0.0/26")},
		},
	}
}

// foreignDeadline is kernel.convergenceDeadline where a peer never sends an End-of-RIB.
const foreignDeadline = 5 * time.Second

func foreignConfig(socket string) string {
	var remotes strings.Builder
	for _, c := range foreignTopology().Clusters[1:] {
		fmt.Fprintf(&remotes, "  - {name: %s, podCIDRs: [%s], asn: %d, port: 179, nodes: {addresses: [%s]}}\n",
			c.Name, c.PodCIDR, c.ASN, c.Nodes[0].Addr)
	}
	return fmt.Sprintf(`cluster: {name: cluster-1, podCIDRs: [10.1.0.0/16], asn: 64512}
node: {address: %s}
bird: {dial: "127.0.0.1:179"}
kernel: {convergenceDeadline: %s}
remotes:
%sadmin: {socket: %s}
`, ourNode, foreignDeadline, remotes.String(), socket)
}

// wantRoutes waits until our table holds the blocks, and no other of the peer.
func (o *ours) wantRoutes(ctx context.Context, f *foreignPeer, blocks ...netip.Prefix) error {
	return lab.WaitFor(ctx, fmt.Sprintf("routes to %v", blocks), func(ctx context.Context) error {
		hops, err := o.NextHops(ctx, lab.RoutedTable)
		if err != nil {
			return err
		}
		maps.DeleteFunc(hops, func(_ netip.Prefix, hop netip.Addr) bool { return hop != f.Spec.Addr })
		for _, b := range blocks {
			if !hops[b].IsValid() {
				return fmt.Errorf("no route to %s: %v", b, hops)
			}
		}
		if len(hops) != len(blocks) {
			return fmt.Errorf("too many: %v", hops)
		}
		return nil
	})
}

// wantPeer waits until the session is up, has both blocks and its End-of-RIB, and until the peer has our block.
func (o *ours) wantPeer(ctx context.Context, f *foreignPeer, restart bool) error {
	err := lab.WaitFor(ctx, "the session with "+f.Spec.Name, func(ctx context.Context) error {
		p, err := o.peer(ctx, f.Spec.Addr)
		if err != nil {
			return err
		}
		if !p.Up || len(p.Prefixes) != 1 || p.Prefixes[0].Accepted != 2 || f.endOfRIB[restart] != (len(p.EndOfRIB) == 1) {
			return fmt.Errorf("%+v", p)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return lab.WaitFor(ctx, "our block at "+f.Spec.Name, func(ctx context.Context) error {
		out, err := f.Ask(ctx, f.table...)
		if err == nil && !strings.Contains(out, ourBlock) {
			err = errors.New(out)
		}
		return err
	})
}

// TestForeignPeers: FRR, BIRD and GoBGP v3 as remote nodes, with and without graceful restart, over iBGP and eBGP. Their blocks
// come, go, and outlive their restarts, ours come to them, and one that never sends an End-of-RIB holds nothing up for longer
// than the deadline.
func TestForeignPeers(t *testing.T) {
	lab.Need(t, lab.FRR, lab.BIRD2, lab.GoBGP)
	must(t, prepareFRR())
	o := startOurs(t, foreignTopology(), foreignConfig)
	began := time.Now()
	peers := []*foreignPeer{foreignFRR(o.Network), foreignBIRD(o.Network), foreignGoBGP(o.Network)}
	for _, f := range peers {
		must(t, f.begin(o.ctx, false))
		t.Cleanup(func() { _ = f.Kill(context.WithoutCancel(o.ctx)) })
	}
	t.Run("Converges", func(t *testing.T) { o.testConverges(t, began) })
	var all sync.WaitGroup
	for _, f := range peers { // side by side: they mostly wait
		all.Go(func() {
			t.Run(f.Spec.Name, func(t *testing.T) {
				_ = t.Run("WithoutGracefulRestart", func(t *testing.T) { o.testForeign(t, f, false) }) &&
					t.Run("WithGracefulRestart", func(t *testing.T) { o.testForeign(t, f, true) })
			})
		})
	}
	all.Wait()
	(&mesh{Network: o.Network}).checkRaces(t)
}

// testConverges: not every peer sends its End-of-RIB.
func (o *ours) testConverges(t *testing.T, began time.Time) {
	t.Helper()
	var s admin.Status
	must(t, lab.WaitFor(o.ctx, "convergence", func(ctx context.Context) error {
		if err := o.ask(ctx, &s, "status"); err != nil {
			return err
		}
		if !s.Mesh.Converged {
			return errors.New("not converged")
		}
		return nil
	}))
	took := s.Mesh.ConvergedAt.Sub(began)
	t.Logf("converged by %s after %s", s.Mesh.ConvergedBy, took.Round(time.Millisecond))
	if s.Mesh.ConvergedBy != admin.ByDeadline || took > foreignDeadline+coldStartLimit {
		t.Errorf("converged by %s after %s, want by the deadline of %s", s.Mesh.ConvergedBy, took, foreignDeadline)
	}
}

func (o *ours) testForeign(t *testing.T, f *foreignPeer, restart bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(o.ctx, healthyLimit)
	defer cancel()
	if restart {
		must(t, f.Kill(ctx))
		must(t, f.begin(ctx, restart))
	}
	must(t, o.wantPeer(ctx, f, restart))
	must(t, o.wantRoutes(ctx, f, f.kept, f.extra))
	must(t, f.withdraw(ctx))
	must(t, o.wantRoutes(ctx, f, f.kept))

	monitor, err := o.Monitor(ctx)
	must(t, err)
	before, err := o.peer(ctx, f.Spec.Addr)
	must(t, err)
	must(t, f.Kill(ctx))
	must(t, lab.WaitFor(ctx, "routed to notice", func(ctx context.Context) error {
		p, err := o.peer(ctx, f.Spec.Addr)
		if err == nil && (p.Up || p.Flaps == before.Flaps) {
			err = errors.New("still up")
		}
		return err
	}))
	must(t, f.begin(ctx, restart))
	must(t, o.wantPeer(ctx, f, restart))
	must(t, o.wantRoutes(ctx, f, f.kept, f.extra))
	must(t, monitor.Close())
	if lost := monitor.Lost(func(r lab.Route) bool { return isMesh(r) && r.Via == f.Spec.Addr }); len(lost) > 0 {
		t.Errorf("routes were lost: %v", lost)
	}
	o.wantNoHarm(ctx, t, f)
}

// wantNoHarm: what an eBGP peer echoes of our own blocks is refused for what it is, and is nobody's problem.
func (o *ours) wantNoHarm(ctx context.Context, t *testing.T, f *foreignPeer) {
	t.Helper()
	p, err := o.peer(ctx, f.Spec.Addr)
	must(t, err)
	for _, r := range p.LastRejected {
		if r.Prefix.String() != ourBlock || r.Reason != "as_loop" {
			t.Errorf("rejected: %+v", r)
		}
	}
	t.Logf("rejected of %s: %v", f.Spec.Name, p.Rejected)
	var s admin.Status
	must(t, o.ask(ctx, &s, "status"))
	for _, problem := range s.Problems {
		if problem.Cluster == f.Spec.Name {
			t.Errorf("%+v", problem)
		}
	}
	for _, c := range s.Clusters {
		if c.Conflicts != 0 || c.RejectedNow != 0 {
			t.Errorf("%+v", c)
		}
	}
}

package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	lanNamespace = "lan"
	lanBridge    = "br0"
	netnsDir     = "/run/netns/" // where ip netns keeps the names, the sandbox's own
	// buildTimeout bounds everything Build does; it takes well below a second.
	buildTimeout = 30 * time.Second
)

// Network is a topology come alive: namespaces and links, and what was started in them. One goroutine may use it at a
// time. A sandbox holds one network at a time, since namespaces have their nodes' names.
type Network struct {
	Topology Topology
	Dir      string // configurations, sockets and logs; gone with the sandbox
	nodes    []*Node

	reflectors []*Reflector
}

// Node is one node of a network. Its methods act in its namespace.
type Node struct {
	Namespace
	Spec    NodeSpec
	Cluster *ClusterSpec
	Dir     string // its part of Network.Dir
	net     *Network

	blocks []netip.Prefix // now; Spec.Blocks at first
	bird   birdState
	routed routedState
}

// Build makes the namespaces, the links and the pods of a topology; nothing runs in them yet. It must be called inside
// the sandbox. Close the network when done with it; when the program ends before, nothing is left either.
func Build(ctx context.Context, t Topology) (*Network, error) {
	if !Inside() {
		return nil, errors.New("lab: Build outside the sandbox would change the host: see lab.Enter")
	}
	if err := t.Validate(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, buildTimeout)
	defer cancel()
	n, err := newNetwork(t)
	if err != nil {
		return nil, err
	}
	if err := n.build(ctx); err != nil {
		return nil, errors.Join(err, n.Close()) //nolint:contextcheck // its context may have ended
	}
	return n, nil
}

func newNetwork(t Topology) (*Network, error) {
	const parent = "/run/lab" // the sandbox's own; short, because socket paths end at 108 bytes
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(parent, "")
	if err != nil {
		return nil, err
	}
	n := &Network{Topology: t, Dir: dir}
	for i := range t.Clusters {
		c := &t.Clusters[i]
		for _, spec := range c.Nodes {
			node := &Node{
				Namespace: Namespace(spec.Name), Spec: spec, Cluster: c, net: n,
				Dir:    filepath.Join(dir, spec.Name),
				blocks: slices.Clone(spec.Blocks),
			}
			if err := os.Mkdir(node.Dir, 0o755); err != nil {
				return nil, err
			}
			n.nodes = append(n.nodes, node)
		}
	}
	n.reflectors, err = newReflectors(t, dir)
	return n, err
}

// Nodes lists every node, cluster by cluster as declared.
func (n *Network) Nodes() []*Node { return n.nodes }

// Node finds a node by name; nil if there is none.
func (n *Network) Node(name string) *Node {
	i := slices.IndexFunc(n.nodes, func(node *Node) bool { return node.Spec.Name == name })
	if i < 0 {
		return nil
	}
	return n.nodes[i]
}

// NodesOf lists the nodes of the named cluster.
func (n *Network) NodesOf(cluster string) []*Node {
	return n.where(func(node *Node) bool { return node.Cluster.Name == cluster })
}

// RemoteOf lists the nodes of every cluster but the node's own.
func (n *Network) RemoteOf(node *Node) []*Node {
	return n.where(func(other *Node) bool { return other.Cluster.Name != node.Cluster.Name })
}

func (n *Network) where(match func(*Node) bool) []*Node {
	var out []*Node
	for _, node := range n.nodes {
		if match(node) {
			out = append(out, node)
		}
	}
	return out
}

// Each runs f for every node given, all at once, and waits for all.
func Each(ctx context.Context, nodes []*Node, f func(context.Context, *Node) error) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, node := range nodes {
		g.Go(func() error {
			if err := f(ctx, node); err != nil {
				return fmt.Errorf("%s: %w", node.Spec.Name, err)
			}
			return nil
		})
	}
	return g.Wait()
}

// DefaultGateway is where the node's IPv4 default route leads.
func (node *Node) DefaultGateway() netip.Addr { return gateway(node.net.Topology.LAN) }

// Blocks are the node's pod blocks now.
func (node *Node) Blocks() []netip.Prefix { return slices.Clone(node.blocks) }

// Announced is what the node's BIRD announces: its blocks, and each address that a pod has out of the block of another node.
func (node *Node) Announced() []netip.Prefix {
	out := node.Blocks()
	for _, pod := range node.Spec.Pods {
		if !slices.ContainsFunc(node.Spec.Blocks, func(b netip.Prefix) bool { return b.Contains(pod) }) {
			out = append(out, netip.PrefixFrom(pod, pod.BitLen()))
		}
	}
	return out
}

// Close ends every process the network started and removes its namespaces, links and files.
func (n *Network) Close() error {
	for _, node := range n.nodes {
		node.killAll()
	}
	for _, r := range n.reflectors {
		r.killAll()
	}
	var lines []string
	for _, ns := range n.namespaces() {
		if _, err := os.Stat(netnsDir + string(ns)); err == nil {
			lines = append(lines, "netns del "+string(ns))
		}
	}
	// Deleting must not depend on a context that has ended already.
	ctx, cancel := context.WithTimeout(context.Background(), buildTimeout)
	defer cancel()
	return errors.Join(ipBatch(ctx, lines...), os.RemoveAll(n.Dir))
}

func (n *Network) namespaces() []Namespace {
	all := []Namespace{lanNamespace}
	for _, node := range n.nodes {
		all = append(all, node.Namespace)
		for _, pod := range node.Spec.Pods {
			all = append(all, PodNamespace(pod))
		}
	}
	for _, r := range n.reflectors {
		all = append(all, r.Namespace)
	}
	return all
}

func (n *Network) build(ctx context.Context) error {
	var lines []string
	for _, ns := range n.namespaces() {
		lines = append(lines, "netns add "+string(ns))
	}
	if err := ipBatch(ctx, lines...); err != nil {
		return err
	}
	if err := n.buildLAN(ctx); err != nil {
		return err
	}
	for _, r := range n.reflectors {
		if err := r.build(ctx, n.Topology.LAN); err != nil {
			return err
		}
	}
	return Each(ctx, n.nodes, func(ctx context.Context, node *Node) error { return node.build(ctx) })
}

// buildLAN makes the bridge and a veth pair from it into every node and reflector, where the end is called eth0.
func (n *Network) buildLAN(ctx context.Context) error {
	lines := []string{"link set lo up", "link add " + lanBridge + " type bridge stp_state 0 mcast_snooping 0"}
	for _, l := range n.Topology.lans() {
		lines = append(lines, addAddress(gateway(l), l.Bits(), lanBridge))
	}
	lines = append(lines, "link set "+lanBridge+" up")
	var ends []Namespace
	for _, node := range n.nodes {
		ends = append(ends, node.Namespace)
	}
	for _, r := range n.reflectors {
		ends = append(ends, r.Namespace)
	}
	for i, end := range ends {
		lines = append(lines,
			fmt.Sprintf("link add port%d type veth peer name eth0 netns %s", i, end),
			fmt.Sprintf("link set port%d master %s up", i, lanBridge))
	}
	lan := Namespace(lanNamespace)
	if err := lan.batch(ctx, lines...); err != nil {
		return err
	}
	// The gateway forwards, and has nowhere to: it answers "Net Unreachable" instead of swallowing packets.
	return lan.Sysctls(ctx, "ipv4/ip_forward=1", "ipv4/conf/all/send_redirects=0", "ipv6/conf/all/forwarding=1")
}

// addAddress is the line of `ip` for an address that nobody else has: it need not be looked for (IPv6, RFC 4862 section 5.4).
func addAddress(a netip.Addr, bits int, device string) string {
	line := fmt.Sprintf("address add %s/%d dev %s", a, bits, device)
	if a.Is6() {
		line += " nodad"
	}
	return line
}

// build gives the node its addresses and its pods. The default route is there as on any real host; the proxy ARP that
// IPv4 pods depend on answers only for addresses the node has a route to.
func (node *Node) build(ctx context.Context) error {
	lines := []string{"link set lo up"}
	for _, a := range node.Spec.Addrs() {
		lines = append(lines, addAddress(a, node.net.Topology.lanFor(a).Bits(), "eth0"))
	}
	lines = append(lines, "link set eth0 up")
	for _, a := range node.Spec.Addrs() {
		lines = append(lines, fmt.Sprintf("route add default via %s dev eth0 proto static", gateway(node.net.Topology.lanFor(a))))
	}
	settings := []string{"ipv4/ip_forward=1", "ipv4/conf/all/rp_filter=0", "ipv4/conf/eth0/rp_filter=0"}
	for _, pod := range node.Spec.Pods {
		cali := caliInterface(pod)
		lines = append(lines,
			fmt.Sprintf("link add %s address %s type veth peer name eth0 netns %s", cali, podGatewayMAC, PodNamespace(pod)),
			"link set "+cali+" up",
			fmt.Sprintf("route add %s/%d dev %s scope link", pod, pod.BitLen(), cali))
		settings = append(settings, // as Felix sets them
			"ipv4/conf/"+cali+"/proxy_arp=1",
			"ipv4/neigh/"+cali+"/proxy_delay=0",
			"ipv4/conf/"+cali+"/forwarding=1",
			"ipv4/conf/"+cali+"/rp_filter=1")
	}
	// Without a wait for the link-local addresses by which pods reach their gateway.
	if err := node.Sysctls(ctx, "ipv6/conf/default/accept_dad=0", "ipv6/conf/eth0/accept_dad=0", "ipv6/conf/all/forwarding=1"); err != nil {
		return err
	}
	if err := node.batch(ctx, lines...); err != nil {
		return err
	}
	if err := node.Sysctls(ctx, settings...); err != nil {
		return err
	}
	for _, pod := range node.Spec.Pods {
		if err := buildPod(ctx, pod); err != nil {
			return err
		}
	}
	return nil
}

// ipBatch runs lines of `ip` in the sandbox's own namespace.
func ipBatch(ctx context.Context, lines ...string) error {
	if len(lines) == 0 {
		return nil
	}
	cmd := exec.CommandContext(ctx, "ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	_, err := output(cmd)
	return err
}

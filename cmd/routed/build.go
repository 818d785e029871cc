package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"time"

	"routed/bgp"
	"routed/config"
	"routed/kernel"
	"routed/peering"
	"routed/peering/roster"
)

// This file turns the configuration into what each room wants. Nothing here decides, but for two defaults that need both
// the configuration and the host: who is directly connected, and which families a session carries.

const (
	// holdTime is proposed to every peer (RFC 4271 section 4.2): a dead peer is noticed after it at the latest.
	holdTime = 9 * time.Second
	// birdPort is where BIRD listens; it takes our connection in either peering mode, since it knows peers by address.
	birdPort = 179
	// farHops is the default of remotes[].maxHops for a peer that is on none of our subnets.
	farHops = 16
)

// host is what the configuration is resolved against.
type host struct {
	links kernel.Topology
}

// load reads the configuration, resolves it against this host and its files, and checks it as a whole.
func load(ctx context.Context, path string) (*config.Config, peering.Roster, error) {
	fib, err := kernel.NewNetlink()
	if err != nil {
		return nil, peering.Roster{}, fmt.Errorf("the kernel cannot be asked for this host's addresses: %w", err)
	}
	defer fib.Close()
	cfg, err := loadConfig(ctx, path, fib)
	if err != nil {
		return nil, peering.Roster{}, err
	}
	links, err := fib.Topology(ctx)
	if err != nil {
		return nil, peering.Roster{}, err
	}
	r, err := resolve(cfg, host{links: links})
	return cfg, r, err
}

// loadConfig reads the configuration alone.
func loadConfig(ctx context.Context, path string, fib *kernel.Netlink) (*config.Config, error) {
	return config.Load(path, config.Env{
		Getenv:         os.Getenv,
		DefaultAddress: func() (netip.Addr, error) { return fib.DefaultAddress(ctx, false) },
	})
}

// resolve reads the rosters and puts the configuration and the host together. Its error joins all that is wrong.
func resolve(cfg *config.Config, h host) (peering.Roster, error) {
	r := peering.Roster{BIRD: birdPeers(cfg)}
	nodes := map[string][]netip.Addr{}
	errs := h.ownAddressErrors(cfg)
	for i, remote := range cfg.Remotes {
		if len(remote.Reflectors) > 0 {
			r.Clusters = append(r.Clusters, h.reflectedCluster(cfg, remote))
			continue
		}
		list, err := remoteNodes(remote)
		if err != nil {
			errs = append(errs, fmt.Errorf("remotes[%d].nodes.hostsFile: %w", i, err))
			continue
		}
		c := remoteCluster(remote)
		for _, n := range list {
			nodes[remote.Name] = append(nodes[remote.Name], n.Addr)
			c.Peers = append(c.Peers, h.remotePeer(cfg, remote, n))
		}
		r.Clusters = append(r.Clusters, c)
	}
	errs = append(errs, config.Check(cfg, nodes))
	return r, errors.Join(errs...)
}

// ownAddressErrors finds node addresses that no interface of this host has.
func (h host) ownAddressErrors(cfg *config.Config) []error {
	var errs []error
	for _, own := range []struct {
		key  string
		addr netip.Addr
	}{{"node.address", cfg.Node.Address}, {"node.address6", cfg.Node.Address6}} {
		if own.addr.IsValid() && !h.links.HasAddress(own.addr) {
			errs = append(errs, fmt.Errorf("%s: no interface of this host has %s", own.key, own.addr))
		}
	}
	return errs
}

func remoteNodes(remote config.Remote) ([]roster.Node, error) {
	var fixed, listed []roster.Node
	for _, a := range remote.Nodes.Addresses {
		fixed = append(fixed, roster.Node{Addr: a})
	}
	if remote.Nodes.HostsFile != "" {
		var err error
		if listed, err = roster.Read(remote.Nodes.HostsFile); err != nil {
			return nil, err
		}
	}
	return roster.Merge(fixed, listed), nil
}

// birdPeers are the sessions with the local BIRD. BIRD knows us by a loopback address and itself by the node's, its
// `source address`: BIRD 2 takes a connection only when both ends match, BIRD 1.6 looks at ours alone. So the peer is the
// node's address, in either mode. When BIRD dials us, we dial it all the same: its retries can be minutes apart.
func birdPeers(cfg *config.Config) []peering.Peer {
	var peers []peering.Peer
	add := func(addr, local netip.Addr, port uint16) {
		peers = append(peers, peering.Peer{
			Addr: addr, Role: peering.RoleBIRD, Cluster: cfg.Cluster.Name, Name: "bird", ASN: cfg.Cluster.ASN,
			Local: local, DialPort: port, Families: peering.FamilyOf(addr), HoldTime: holdTime,
		})
	}
	for _, d := range cfg.BIRD.Dial {
		switch own := nodeAddress(cfg, peering.FamilyOf(d.Addr())); {
		case d.Addr().IsLoopback():
			add(own, d.Addr(), d.Port())
		case d.Addr() == own:
			add(own, loopback(peering.FamilyOf(own)), d.Port())
		default:
			add(d.Addr(), own, d.Port())
		}
	}
	for _, local := range cfg.BIRD.Accept {
		add(nodeAddress(cfg, peering.FamilyOf(local)), local, birdPort)
	}
	return peers
}

func loopback(f peering.Families) netip.Addr {
	if f == peering.IPv6 {
		return netip.IPv6Loopback()
	}
	return netip.AddrFrom4([4]byte{127, 0, 0, 1})
}

// nodeAddress is this node's address of a family.
func nodeAddress(cfg *config.Config, f peering.Families) netip.Addr {
	if f == peering.IPv6 {
		return cfg.Node.Address6
	}
	return cfg.Node.Address
}

// remotePeer is the session with one node of a remote cluster.
func (h host) remotePeer(cfg *config.Config, remote config.Remote, n roster.Node) peering.Peer {
	family := peering.FamilyOf(n.Addr)
	return peering.Peer{
		Addr: n.Addr, Role: peering.RoleRemote, Cluster: remote.Name, Name: n.Name, ASN: remote.ASN,
		Local: nodeAddress(cfg, family), DialPort: remote.Port, MaxHops: h.hops(remote, n.Addr), Families: family,
		HoldTime: holdTime,
	}
}

// hops is how far a peer may be.
func (h host) hops(remote config.Remote, peer netip.Addr) uint8 {
	if remote.MaxHops != 0 {
		return remote.MaxHops
	}
	if _, near := h.links.OnLink(peer); near {
		return 1
	}
	return farHops
}

// reflectedCluster is a remote cluster whose reflectors stand for its nodes.
func (h host) reflectedCluster(cfg *config.Config, remote config.Remote) peering.Cluster {
	c := remoteCluster(remote)
	c.NodeCIDRs = remote.NodeCIDRs
	for _, at := range remote.Reflectors {
		p := h.remotePeer(cfg, remote, roster.Node{Addr: at.Addr()})
		p.Role, p.DialPort = peering.RoleReflector, at.Port()
		c.Peers = append(c.Peers, p)
	}
	return c
}

func remoteCluster(remote config.Remote) peering.Cluster {
	return peering.Cluster{
		Name:     remote.Name,
		PodCIDRs: remote.PodCIDRs,
		Lengths: peering.Lengths{
			IPv4: peering.Range(remote.BlockLengths.IPv4),
			IPv6: peering.Range(remote.BlockLengths.IPv6),
		},
		Limits: peering.Limits{PerNode: remote.Limits.PrefixesPerNode, Total: remote.Limits.Prefixes},
	}
}

func meshConfig(cfg *config.Config) peering.Config {
	return peering.Config{
		Cluster: cfg.Cluster.Name, ASN: cfg.Cluster.ASN, PodCIDRs: cfg.Cluster.PodCIDRs, NodeAddrs: nodeAddresses(cfg),
		ServiceCIDRs: cfg.Cluster.ServiceCIDRs,
		Retention:    cfg.Mesh.Retention, ConvergenceDeadline: cfg.Kernel.ConvergenceDeadline, OwnGrace: ownGrace,
		Brake: peering.Brake(cfg.Mesh.WithdrawalBrake),
	}
}

func nodeAddresses(cfg *config.Config) []netip.Addr {
	out := []netip.Addr{cfg.Node.Address}
	if cfg.Node.Address6.IsValid() {
		out = append(out, cfg.Node.Address6)
	}
	return out
}

func speakerConfig(cfg *config.Config, log *slog.Logger) bgp.Config {
	return bgp.Config{
		ASN: cfg.Cluster.ASN, RouterID: cfg.Node.RouterID,
		Listen: listenAddresses(cfg), Port: cfg.Listen.Port,
		NextHop4: cfg.Node.Address, NextHop6: cfg.Node.Address6,
		Log: log,
	}
}

// listenAddresses are where remote daemons reach us and, when BIRD dials us, where it does.
func listenAddresses(cfg *config.Config) []netip.Addr {
	all := slices.Concat(cfg.Listen.Addresses, cfg.BIRD.Accept)
	slices.SortFunc(all, netip.Addr.Compare)
	return slices.Compact(all)
}

func kernelConfig(cfg *config.Config, log *slog.Logger, observer kernel.Observer) kernel.Config {
	return kernel.Config{
		Table: cfg.Kernel.Table, Protocol: cfg.Kernel.Protocol, RulePriority: uint32(cfg.Kernel.RulePriority),
		ResyncInterval: cfg.Kernel.ResyncInterval, Log: log, Observer: observer,
	}
}

// remoteCIDRs are the ranges whose lookups go to our table.
func remoteCIDRs(cfg *config.Config) []netip.Prefix {
	var out []netip.Prefix
	for _, r := range cfg.Remotes {
		out = append(out, r.PodCIDRs...)
	}
	return out
}

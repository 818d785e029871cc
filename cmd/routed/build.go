package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"

	"routed/bgp"
	"routed/config"
	"routed/kernel"
	"routed/peering"
	"routed/peering/roster"
)

// This file turns the configuration into what each room wants. Nothing here decides, but for two defaults that need both
// the configuration and the host: who is directly connected, and which families a session carries.

// farHops is the default of remotes[].maxHops for a peer that is on none of our subnets.
const farHops = 16

// host is what the configuration is resolved against.
type host struct {
	links kernel.Topology
	hops  map[netip.Addr]uint8 // what maxHops was by default, of the peers there are
}

// lists is the nodes that the APIs of remote clusters list, by the remote's name.
type lists map[string][]roster.Node

// resolve puts the configuration, the lists of nodes and the host together, and checks the first two as a whole. Its
// error joins all that is wrong.
func (l *loaded) resolve(apis lists) (peering.Roster, error) {
	cfg := l.cfg
	r := peering.Roster{BIRD: birdPeers(cfg)}
	checked := map[string]config.Listed{}
	var errs []error
	for i, remote := range cfg.Remotes {
		if len(remote.Reflectors) > 0 {
			r.Clusters = append(r.Clusters, l.host.reflectedCluster(cfg, remote))
			continue
		}
		fromAPI := ofFamilies(cfg, apis[remote.Name])
		checked[remote.Name] = config.Listed{HostsFile: l.sources.listed[remote.Name], Kubernetes: addresses(fromAPI)}
		c := remoteCluster(remote)
		nodes, err := sessionsWith(remote, roster.Merge(l.sources.nodes[remote.Name], fromAPI))
		if err != nil {
			errs = append(errs, fmt.Errorf("remotes[%d].nodes: %w", i, err))
		}
		for _, n := range nodes {
			c.Peers = append(c.Peers, l.host.remotePeer(cfg, remote, n))
		}
		r.Clusters = append(r.Clusters, c)
	}
	setHoldTimes(r.Clusters, cfg.Timers)
	return r, errors.Join(append(errs, config.Check(cfg, checked))...)
}

// sessionsWith gives the addresses that there are sessions with: all of them, or one of each node.
func sessionsWith(remote config.Remote, nodes []roster.Node) ([]roster.Pair, error) {
	if remote.Sessions == config.SessionBoth {
		return roster.Pairs(nodes)
	}
	out := make([]roster.Pair, len(nodes))
	for i, n := range nodes {
		out[i] = roster.Pair{Node: n}
	}
	return out, nil
}

// ofFamilies leaves of what an API lists the families that this node has an address of: a dual-stack cluster may be a
// neighbour of one that is not.
func ofFamilies(cfg *config.Config, nodes []roster.Node) []roster.Node {
	var out []roster.Node
	for _, n := range nodes {
		if nodeAddress(cfg, peering.FamilyOf(n.Addr)).IsValid() {
			out = append(out, n)
		}
	}
	return out
}

// setHoldTimes gives every remote peer, node or reflector, its hold time, which depends on how many there are.
func setHoldTimes(clusters []peering.Cluster, t config.Timers) {
	n := 0
	for _, c := range clusters {
		n += len(c.Peers)
	}
	hold := t.HoldTimeFor(n)
	for _, c := range clusters {
		for i := range c.Peers {
			c.Peers[i].HoldTime = hold
		}
	}
}

// ownAddressErrors finds node addresses that no interface of this host has.
func (h host) ownAddressErrors(cfg *config.Config) error {
	var errs []error
	for _, own := range []struct {
		key  string
		addr netip.Addr
	}{{"node.address", cfg.Node.Address}, {"node.address6", cfg.Node.Address6}} {
		if own.addr.IsValid() && !h.links.HasAddress(own.addr) {
			errs = append(errs, fmt.Errorf("%s: no interface of this host has %s", own.key, own.addr))
		}
	}
	return errors.Join(errs...)
}

// birdPeers are the sessions with the local BIRD. BIRD knows us by a loopback address and itself by the node's, its
// `source address`: BIRD 2 takes a connection only when both ends match, BIRD 1.6 looks at ours alone. So the peer is the
// node's address, in either mode. When BIRD dials us, we dial it all the same: it knows peers by
// address, and its retries can be minutes apart. Each session
// offers every family that this cluster has pods of: BIRD may carry both over one, and says so when it knows a single one.
func birdPeers(cfg *config.Config) []peering.Peer {
	var peers []peering.Peer
	families := familiesOf(cfg.Cluster.PodCIDRs)
	add := func(addr, local netip.Addr, port uint16) {
		peers = append(peers, peering.Peer{
			Addr: addr, Role: peering.RoleBIRD, Cluster: cfg.Cluster.Name, Name: "bird", ASN: cfg.Cluster.ASN,
			Local: local, DialPort: port, Families: families, HoldTime: cfg.Timers.HoldTimeFor(1), Password: cfg.BIRD.Password,
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
		add(nodeAddress(cfg, peering.FamilyOf(local)), local, config.BGPPort)
	}
	return peers
}

func familiesOf(prefixes []netip.Prefix) (f peering.Families) {
	for _, p := range prefixes {
		f |= peering.FamilyOf(p.Addr())
	}
	return f
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
func (h host) remotePeer(cfg *config.Config, remote config.Remote, n roster.Pair) peering.Peer {
	family := peering.FamilyOf(n.Addr)
	p := peering.Peer{
		Addr: n.Addr, Role: peering.RoleRemote, Cluster: remote.Name, Name: n.Name, Other: n.Other, ASN: remote.ASN,
		Local: nodeAddress(cfg, family), DialPort: remote.Port, MaxHops: h.hopsTo(remote, n.Addr), Families: family,
		Password: remote.Password,
	}
	if remote.Sessions == config.SessionBoth {
		p.Families = peering.IPv4 | peering.IPv6
	}
	return p
}

// hopsTo is how far a peer may be.
func (h host) hopsTo(remote config.Remote, peer netip.Addr) uint8 {
	if remote.MaxHops != 0 {
		return remote.MaxHops
	}
	return h.defaultHops(peer)
}

// reflectedCluster is a remote cluster whose reflectors stand for its nodes.
func (h host) reflectedCluster(cfg *config.Config, remote config.Remote) peering.Cluster {
	c := remoteCluster(remote)
	for _, at := range remote.Reflectors {
		p := h.remotePeer(cfg, remote, roster.Pair{Node: roster.Node{Addr: at.Addr()}})
		p.Role, p.DialPort = peering.RoleReflector, at.Port()
		c.Peers = append(c.Peers, p)
	}
	return c
}

// defaultHops is decided once for as long as an address is a peer: a link that happens to be down when something is reloaded
// would else end the sessions over it.
func (h host) defaultHops(a netip.Addr) uint8 {
	if hops, decided := h.hops[a]; decided {
		return hops
	}
	if _, near := h.links.OnLink(a); near {
		return 1
	}
	return farHops
}

// decidedHops is what maxHops is by default for the peers there are.
func decidedHops(cfg *config.Config, r peering.Roster) map[netip.Addr]uint8 {
	out := map[netip.Addr]uint8{}
	for i, c := range r.Clusters {
		for _, p := range c.Peers {
			if cfg.Remotes[i].MaxHops == 0 {
				out[p.Addr] = p.MaxHops
			}
		}
	}
	return out
}

func remoteCluster(remote config.Remote) peering.Cluster {
	return peering.Cluster{
		Name:     remote.Name,
		PodCIDRs: remote.PodCIDRs,
		Lengths: peering.Lengths{
			IPv4: peering.Range(remote.BlockLengths.IPv4),
			IPv6: peering.Range(remote.BlockLengths.IPv6),
		},
		Limits:    peering.Limits{PerNode: remote.Limits.PrefixesPerNode, Total: remote.Limits.Prefixes},
		NodeCIDRs: remote.NodeCIDRs,
	}
}

func meshConfig(cfg *config.Config) peering.Config {
	return peering.Config{
		Cluster: cfg.Cluster.Name, ASN: cfg.Cluster.ASN, PodCIDRs: cfg.Cluster.PodCIDRs, NodeAddrs: cfg.Node.Addresses(),
		ServiceCIDRs: cfg.Cluster.ServiceCIDRs,
		Retention:    cfg.Mesh.Retention, ConvergenceDeadline: cfg.Kernel.ConvergenceDeadline, OwnGrace: ownGrace, RestartGrace: restartGrace,
		Brake: peering.Brake(cfg.Mesh.WithdrawalBrake),
	}
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

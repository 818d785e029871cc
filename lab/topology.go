package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// Topology declares clusters of nodes that share one LAN. What is declared for one family only is a zero value for the other.
type Topology struct {
	LAN      netip.Prefix // every IPv4 node address lies in it; its first address is the LAN's gateway, which leads nowhere
	LAN6     netip.Prefix // the same for IPv6
	Clusters []ClusterSpec

	Reflectors []ReflectorSpec // between the clusters; none: every node peers with every remote node
}

// ClusterSpec declares one cluster.
type ClusterSpec struct {
	Name        string
	PodCIDR     netip.Prefix
	PodCIDR6    netip.Prefix
	ServiceCIDR netip.Prefix
	ASN         uint32
	Nodes       []NodeSpec

	OneSession bool // with the nodes of other clusters, for both families; else one for each
}

// NodeSpec declares one node. Its name is also the name of its network namespace.
type NodeSpec struct {
	Name   string
	Addr   netip.Addr
	Addr6  netip.Addr
	Blocks []netip.Prefix // the pod blocks Calico's IPAM gave the node
	Pods   []netip.Addr   // one outside the blocks has borrowed its address from the block of another node
}

// AddrFor is the node's address of the family of another address.
func (n NodeSpec) AddrFor(a netip.Addr) netip.Addr {
	if a.Is6() {
		return n.Addr6
	}
	return n.Addr
}

// Addrs lists the node's addresses, IPv4 first.
func (n NodeSpec) Addrs() []netip.Addr { return valid(n.Addr, n.Addr6) }

// PodCIDRs lists the cluster's pod ranges, IPv4 first.
func (c ClusterSpec) PodCIDRs() []netip.Prefix { return valid(c.PodCIDR, c.PodCIDR6) }

// valid leaves out what is not declared.
func valid[T interface{ IsValid() bool }](all ...T) []T {
	return slices.DeleteFunc(all, func(one T) bool { return !one.IsValid() })
}

// CalicoASN is the AS number of a Calico cluster that was not given another.
const CalicoASN = 64512

// Seed is the mesh of the founding document: two IBM Cloud Private clusters of three nodes, and the pod 20.1.47.150.
// The blocks of gyliu-ubuntu-2 and -3 and the other pods, which it does not tell, are made up.
func Seed() Topology {
	node := func(name, addr, block, pod string) NodeSpec {
		return NodeSpec{
			Name:   name,
			Addr:   netip.MustParseAddr(addr),
			Blocks: []netip.Prefix{netip.MustParsePrefix(block)},
			Pods:   []netip.Addr{netip.MustParseAddr(pod)},
		}
	}
	return Topology{
		LAN: netip.MustParsePrefix("9.111.255.0/24"),
		Clusters: []ClusterSpec{
			{
				Name: "cluster-1", ASN: CalicoASN,
				PodCIDR:     netip.MustParsePrefix("10.1.0.0/16"),
				ServiceCIDR: netip.MustParsePrefix("10.0.0.0/24"),
				Nodes: []NodeSpec{
					node("gyliu-icp-1", "9.111.255.21", "10.1.198.128/26", "10.1.198.140"),
					node("gyliu-icp-2", "9.111.255.129", "10.1.158.192/26", "10.1.158.201"),
					node("gyliu-icp-3", "9.111.255.29", "10.1.43.0/26", "10.1.43.9"),
				},
			},
			{
				Name: "cluster-2", ASN: CalicoASN,
				PodCIDR:     netip.MustParsePrefix("20.1.0.0/16"),
				ServiceCIDR: netip.MustParsePrefix("20.0.0.0/24"),
				Nodes: []NodeSpec{
					node("gyliu-ubuntu-3", "9.111.255.152", "20.1.112.64/26", "20.1.112.75"),
					node("gyliu-ubuntu-2", "9.111.255.155", "20.1.201.192/26", "20.1.201.214"),
					node("gyliu-ubuntu-1", "9.111.255.77", "20.1.47.128/26", "20.1.47.150"),
				},
			},
		},
	}
}

// Validate reports what cannot be built: names and addresses used twice, nodes outside the LAN, blocks outside the
// cluster's range, pods outside it.
func (t Topology) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("lab: "+format, args...)) }
	seen := map[any]string{}
	once := func(key any, owner string) {
		if other, dup := seen[key]; dup {
			bad("%v is used by %s and %s", key, other, owner)
		}
		seen[key] = owner
	}
	once(lanNamespace, "the LAN")
	for _, lan := range t.lans() {
		once(gateway(lan), "the LAN")
	}
	for _, c := range t.Clusters {
		for _, n := range c.Nodes {
			once(n.Name, n.Name)
			for _, a := range n.Addrs() {
				once(a, n.Name)
				if !t.lanFor(a).Contains(a) {
					bad("%s: %s is not on the LAN %s", n.Name, a, t.lanFor(a))
				}
			}
			for _, b := range n.Blocks {
				once(b, n.Name)
				if r := c.rangeFor(b.Addr()); !r.Overlaps(b) || b.Bits() < r.Bits() || b != b.Masked() {
					bad("%s: %s is not a block of %s %s", n.Name, b, c.Name, r)
				}
			}
			for _, p := range n.Pods {
				once(p, n.Name)
				if r := c.rangeFor(p); !r.Contains(p) {
					bad("%s: pod %s is not in %s %s", n.Name, p, c.Name, r)
				}
			}
		}
	}
	for _, r := range t.Reflectors {
		once(r.Name, r.Name)
		once(r.Addr, r.Name)
		if !t.LAN.Contains(r.Addr) {
			bad("%s: %s is not on the LAN %s", r.Name, r.Addr, t.LAN)
		}
	}
	return errors.Join(errs...)
}

func (t Topology) lans() []netip.Prefix { return valid(t.LAN, t.LAN6) }

func (t Topology) lanFor(a netip.Addr) netip.Prefix {
	if a.Is6() {
		return t.LAN6
	}
	return t.LAN
}

func (c ClusterSpec) rangeFor(a netip.Addr) netip.Prefix {
	if a.Is6() {
		return c.PodCIDR6
	}
	return c.PodCIDR
}

func gateway(lan netip.Prefix) netip.Addr { return lan.Masked().Addr().Next() }

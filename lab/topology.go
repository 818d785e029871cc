package lab

import (
	"errors"
	"fmt"
	"net/netip"
)

// Topology declares clusters of nodes that share one LAN.
type Topology struct {
	LAN      netip.Prefix // every node address lies in it; its first address is the LAN's gateway, which leads nowhere
	Clusters []ClusterSpec

	Reflectors []ReflectorSpec // between the clusters; none: every node peers with every remote node
}

// ClusterSpec declares one cluster.
type ClusterSpec struct {
	Name        string
	PodCIDR     netip.Prefix
	ServiceCIDR netip.Prefix
	ASN         uint32
	Nodes       []NodeSpec
}

// NodeSpec declares one node. Its name is also the name of its network namespace.
type NodeSpec struct {
	Name   string
	Addr   netip.Addr
	Blocks []netip.Prefix // the pod blocks Calico's IPAM gave the node
	Pods   []netip.Addr
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
	once(t.gateway(), "the LAN")
	for _, c := range t.Clusters {
		for _, n := range c.Nodes {
			once(n.Name, n.Name)
			once(n.Addr, n.Name)
			if !t.LAN.Contains(n.Addr) {
				bad("%s: %s is not on the LAN %s", n.Name, n.Addr, t.LAN)
			}
			for _, b := range n.Blocks {
				once(b, n.Name)
				if !c.PodCIDR.Overlaps(b) || b.Bits() < c.PodCIDR.Bits() || b != b.Masked() {
					bad("%s: %s is not a block of %s %s", n.Name, b, c.Name, c.PodCIDR)
				}
			}
			for _, p := range n.Pods {
				once(p, n.Name)
				if !c.PodCIDR.Contains(p) {
					bad("%s: pod %s is not in %s %s", n.Name, p, c.Name, c.PodCIDR)
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

func (t Topology) gateway() netip.Addr { return t.LAN.Masked().Addr().Next() }

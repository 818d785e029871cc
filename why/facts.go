package why

import (
	"net/netip"
	"slices"
	"time"

	"routed/config"
	"routed/doctor"
	"routed/kernel"
	"routed/peering"
	"routed/probe"
)

// Facts are what [Explain] goes by.
type Facts struct {
	At       time.Time
	Address  netip.Addr
	Config   *config.Config // in force
	Mesh     peering.AddressStatus
	Clusters []peering.ClusterStatus // the remote ones, with their sessions

	Kernel    kernel.PathSurvey // towards the first of Mesh.Routes
	KernelErr error             // why there is no survey
	Failure   string            // what the kernel last said to the route that is wanted and not there
	Findings  []doctor.Check    // of what is not good on this way

	Probe  *probe.TargetStatus // of the next hop of the first of Mesh.Routes; nil: it is not probed
	PodMTU int                 // bytes; what this node's pods may send; 0: not known
}

// home is whose pod range holds the address.
type home struct {
	cluster string
	inside  netip.Prefix
	own     bool
}

func (f Facts) home() (home, bool) {
	if p, ok := holding(f.Config.Cluster.PodCIDRs, f.Address); ok {
		return home{f.Config.Cluster.Name, p, true}, true
	}
	for _, r := range f.Config.Remotes {
		if p, ok := holding(r.PodCIDRs, f.Address); ok {
			return home{r.Name, p, false}, true
		}
	}
	return home{}, false
}

// service is whose service range holds the address.
func (f Facts) service() (cluster string, inside netip.Prefix, ok bool) {
	if p, ok := holding(f.Config.Cluster.ServiceCIDRs, f.Address); ok {
		return f.Config.Cluster.Name, p, true
	}
	for _, r := range f.Config.Remotes {
		if p, ok := holding(r.ServiceCIDRs, f.Address); ok {
			return r.Name, p, true
		}
	}
	return "", netip.Prefix{}, false
}

// node is the remote peer that has the address.
func (f Facts) node() (peering.Peer, bool) {
	for _, c := range f.Clusters {
		for _, p := range c.Peers {
			if p.Peer.Addr == f.Address {
				return p.Peer, true
			}
		}
	}
	return peering.Peer{}, false
}

func (f Facts) ownNode() bool {
	return f.Address == f.Config.Node.Address || f.Address == f.Config.Node.Address6
}

// sessions are those with a remote cluster.
func (f Facts) sessions(cluster string) []peering.PeerStatus {
	i := slices.IndexFunc(f.Clusters, func(c peering.ClusterStatus) bool { return c.Name == cluster })
	if i < 0 {
		return nil
	}
	return f.Clusters[i].Peers
}

func holding(ranges []netip.Prefix, a netip.Addr) (netip.Prefix, bool) {
	i := slices.IndexFunc(ranges, func(p netip.Prefix) bool { return p.Contains(a) })
	if i < 0 {
		return netip.Prefix{}, false
	}
	return ranges[i], true
}

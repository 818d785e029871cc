// Package pagetest makes up meshes of any size, for tests of the status page and for its pictures.
package pagetest

import (
	"fmt"
	"net/netip"
	"time"

	"routed/admin"
)

// At is the moment of every mesh.
func At() time.Time { return time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC) }

// Mesh makes a node's view of clusters of so many nodes each. Of a hundred nodes, one is down, one is down and its blocks
// are kept, and one announces something that is refused; the last cluster of several is reached by two reflectors.
func Mesh(sizes ...int) (admin.Status, admin.Peers) {
	bird := peer(0, "cluster-1", "bird", "", netip.MustParseAddr("127.0.0.1"))
	s := admin.Status{
		At: At(), Ready: true,
		Node: admin.Node{
			Cluster: "cluster-1", Address: netip.MustParseAddr("9.111.255.21"), RouterID: netip.MustParseAddr("249.111.255.21"),
			Release: "v0.1.0", Started: At().Add(-26 * time.Hour),
		},
		Mesh: admin.Mesh{
			Converged: true, ConvergedBy: admin.ByEndOfRIB, ConvergedAt: At().Add(-26*time.Hour + 3*time.Second), RetentionSeconds: 3600,
			OwnKnown: true, OwnBlocks: []admin.OwnBlock{{Prefix: netip.MustParsePrefix("10.1.198.128/26"), Source: "bird"}},
		},
		BIRD: []admin.Peer{bird},
		Kernel: admin.Kernel{
			Table: 1790, Protocol: 114, Adopted: true, DeletesAllowed: true, RulesWanted: len(sizes), RulesPresent: len(sizes),
			LastReconcile: admin.Reconcile{Kind: "change", At: At().Add(-3 * time.Second)},
			LastResync:    At().Add(-41 * time.Second), ResyncSeconds: 60,
		},
		Guard:  admin.Guard{Mode: "auto", State: admin.GuardActive, Since: At().Add(-26 * time.Hour)},
		Config: admin.Config{File: "/etc/routed/routed.yaml", LastReloadOK: true, LastSuccessAt: At().Add(-26 * time.Hour)},
	}
	all := admin.Peers{At: At(), Peers: []admin.Peer{bird}}
	for i, size := range sizes {
		c, peers := cluster(i+2, size, len(sizes) > 1 && i == len(sizes)-1)
		s.Clusters = append(s.Clusters, c)
		s.Guard.Peers += len(peers)
		all.Peers = append(all.Peers, peers...)
	}
	return s, all
}

// cluster is one remote cluster and the sessions with it.
func cluster(number, size int, reflected bool) (admin.Cluster, []admin.Peer) {
	c := admin.Cluster{Name: fmt.Sprintf("cluster-%d", number), Reflected: reflected}
	role, sessions := "remote", size
	if reflected {
		role, sessions = "reflector", 2
	}
	var peers []admin.Peer
	var blocks admin.BlockCount
	for i := range sessions {
		addr := netip.AddrFrom4([4]byte{9, byte(110 + number), byte(i / 250), byte(1 + i%250)})
		p := peer(i, c.Name, role, fmt.Sprintf("worker-%d-%04d", number, i), addr)
		if reflected {
			p = peer(1, c.Name, role, fmt.Sprintf("rr-%d", i+1), addr)
			p.Prefixes[0].Received, p.Prefixes[0].Accepted = size, size
		}
		peers = append(peers, p)
		accepted := p.Prefixes[0].Accepted
		switch {
		case p.Up:
			c.NodesUp++
			blocks.Fresh += accepted
		default:
			blocks.Stale += accepted
			c.NodesDown = append(c.NodesDown, admin.NodeDown{Address: addr, Name: p.Name, Since: p.Since, Reason: p.DownReason})
		}
		if rejected := p.Prefixes[0].Rejected; rejected > 0 {
			c.RejectedNow += rejected
			c.LastRejected = &p.LastRejected[0]
		}
	}
	if reflected {
		blocks = admin.BlockCount{Fresh: size}
	}
	c.NodesKnown, blocks.Family = sessions, "ipv4"
	c.NodesDown = c.NodesDown[:min(len(c.NodesDown), admin.MaxNodesDown)]
	c.Blocks = []admin.BlockCount{blocks}
	c.Routes = []admin.RouteCount{{Family: "ipv4", Wanted: blocks.Total(), Installed: blocks.Total()}}
	return c, peers
}

// peer is the session of node i.
func peer(i int, cluster, role, name string, addr netip.Addr) admin.Peer {
	p := admin.Peer{
		Cluster: cluster, Role: role, Name: name, Address: addr, ASN: 64512, Up: true, State: "established",
		Since: At().Add(-26*time.Hour + time.Duration(i)*time.Second), Families: []string{"ipv4"}, Advertised: 1,
		Prefixes: []admin.PrefixCount{{Family: "ipv4", Received: 1 + i%3, Accepted: 1 + i%3}},
	}
	switch i % 100 {
	case 17: // never up
		p.Up, p.State, p.Since, p.DownReason, p.Advertised = false, "connect", time.Time{}, "connect: connection refused", 0
		p.Prefixes = []admin.PrefixCount{{Family: "ipv4"}}
	case 42: // its blocks are kept
		p.Up, p.State, p.Since, p.DownReason = false, "active", At().Add(-4*time.Minute), "hold timer expired"
		p.Flaps, p.Advertised = 1, 0
	case 71: // announces too much
		p.Prefixes[0].Received++
		p.Prefixes[0].Rejected = 1
		p.Rejected = []admin.Count{{Name: "outside_pod_cidrs", Count: 1}}
		p.LastRejected = []admin.Rejection{{
			Prefix: netip.MustParsePrefix("10.0.0.0/8"), NextHop: addr, Reason: "outside_pod_cidrs",
			Detail: "outside the pod CIDRs of its cluster", At: At().Add(-7 * time.Second),
		}}
	}
	return p
}

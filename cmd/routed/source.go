package main

import (
	"context"
	"iter"
	"net/netip"
	"slices"
	"strings"
	"time"

	"routed/admin"
	"routed/bgp"
	"routed/config"
	"routed/kernel"
	"routed/metrics"
	"routed/peering"
)

// The daemon answers the admin socket and the scrapes from pictures that the three owners give: the mesh loop when it
// is asked, the speaker and the reconciler at any time.

var _ admin.Source = (*daemon)(nil)

// meshStatus is the mesh at this moment.
func (d *daemon) meshStatus(ctx context.Context) (peering.Status, error) {
	var s peering.Status
	err := d.loop.do(ctx, func(time.Time) { s = d.loop.mesh.Status() })
	return s, err
}

// Status answers GET /v1/status.
func (d *daemon) Status(ctx context.Context) (admin.Status, error) {
	mesh, err := d.meshStatus(ctx)
	if err != nil {
		return admin.Status{}, err
	}
	cfg, k, sessions := d.settings.config(), d.reconciler.Status(), sessionsByPeer(d.speaker.Status())
	s := admin.Status{
		At:   time.Now(),
		Node: d.nodeStatus(cfg),
		Mesh: admin.Mesh{
			Converged: mesh.Converged, ConvergedAt: mesh.ConvergedAt, OwnKnown: mesh.OwnKnown,
			RetentionSeconds: cfg.Mesh.Retention.Seconds(), OwnBlocks: admin.OwnBlocksFrom(mesh.Own),
			ConvergeBefore: d.convergeBefore(cfg, mesh), ConvergedBy: convergedBy(mesh),
		},
		BIRD:     []admin.Peer{},
		Clusters: []admin.Cluster{},
		Kernel:   kernelStatus(cfg, k, d.timings.Last()),
		Config:   d.settings.status(),
	}
	for _, p := range mesh.BIRD {
		s.BIRD = append(s.BIRD, peerStatus(p, sessions))
	}
	for _, c := range mesh.Clusters {
		s.Clusters = append(s.Clusters, admin.ClusterFrom(c, routeCounts(k, c.Name)))
	}
	if err := notReady(k, mesh); err != nil {
		s.NotReady = err.Error()
	}
	s.Ready = s.NotReady == ""
	return s, nil
}

func (d *daemon) nodeStatus(cfg *config.Config) admin.Node {
	return admin.Node{
		Cluster: cfg.Cluster.Name, Address: cfg.Node.Address, Address6: cfg.Node.Address6,
		RouterID: cfg.Node.RouterID, Release: version, Started: d.started,
	}
}

// convergeBefore is when waiting for silent peers ends; zero when nothing is waited for.
func (d *daemon) convergeBefore(cfg *config.Config, mesh peering.Status) time.Time {
	switch {
	case mesh.Converged:
		return time.Time{}
	case mesh.OwnKnown:
		return mesh.OwnKnownAt.Add(cfg.Kernel.ConvergenceDeadline)
	default:
		return d.started.Add(2 * cfg.Kernel.ConvergenceDeadline)
	}
}

func convergedBy(mesh peering.Status) admin.Cause {
	switch {
	case !mesh.Converged:
		return ""
	case mesh.Deadline:
		return admin.ByDeadline
	default:
		return admin.ByEndOfRIB
	}
}

// Peers answers GET /v1/peers.
func (d *daemon) Peers(ctx context.Context) (admin.Peers, error) {
	mesh, err := d.meshStatus(ctx)
	if err != nil {
		return admin.Peers{}, err
	}
	sessions := sessionsByPeer(d.speaker.Status())
	out := admin.Peers{At: time.Now(), Peers: []admin.Peer{}}
	for _, p := range mesh.BIRD {
		out.Peers = append(out.Peers, peerStatus(p, sessions))
	}
	for _, c := range mesh.Clusters {
		for _, p := range c.Peers {
			out.Peers = append(out.Peers, peerStatus(p, sessions))
		}
	}
	return out, nil
}

// Routes answers GET /v1/routes: what the mesh wants, joined with how it stands in the kernel.
func (d *daemon) Routes(ctx context.Context, clusterName string) (iter.Seq[admin.Route], error) {
	if clusterName != "" && !d.settings.hasRemote(clusterName) {
		return nil, admin.ErrUnknownCluster
	}
	var wanted []peering.RouteStatus
	if err := d.loop.do(ctx, func(time.Time) { wanted = d.loop.mesh.Routes() }); err != nil {
		return nil, err
	}
	if clusterName != "" {
		wanted = slices.DeleteFunc(wanted, func(r peering.RouteStatus) bool { return r.Cluster != clusterName })
	}
	slices.SortFunc(wanted, func(a, b peering.RouteStatus) int { return peering.ComparePrefix(a.Prefix, b.Prefix) })
	held := make(map[netip.Prefix]kernel.RouteStatus, len(wanted))
	for _, r := range d.reconciler.Routes() {
		held[r.Route.Prefix] = r
	}
	return func(yield func(admin.Route) bool) {
		for _, w := range wanted {
			if !yield(admin.RouteFrom(w, held[w.Prefix])) {
				return
			}
		}
	}, nil
}

// kernelStatus is the reconciler's side of a status.
func kernelStatus(cfg *config.Config, k kernel.Status, last metrics.Run) admin.Kernel {
	return admin.Kernel{
		Table: cfg.Kernel.Table, Protocol: cfg.Kernel.Protocol,
		Adopted: k.Adopted, DeletesAllowed: k.DeletesAllowed,
		RulesWanted: k.RulesWanted, RulesPresent: k.RulesPresent,
		LastReconcile: admin.Reconcile{Kind: last.Kind, At: last.At, DurationSeconds: last.Took.Seconds()},
		LastResync:    k.LastResync, ResyncSeconds: cfg.Kernel.ResyncInterval.Seconds(),
		Repairs: []admin.Count{
			{Name: "deleted", Count: k.Repairs.Deleted},
			{Name: "changed", Count: k.Repairs.Changed},
			{Name: "link", Count: k.Repairs.Link},
			{Name: "resync", Count: k.Repairs.Resync},
			{Name: "rule", Count: k.Repairs.Rule},
		},
		Changes: []admin.Count{
			{Name: "add", Count: k.Changes.Add}, {Name: "replace", Count: k.Changes.Replace}, {Name: "delete", Count: k.Changes.Delete},
		},
		Errors:   errorCounts(k.Errors),
		Overruns: k.Overruns, LastError: k.LastError, LastErrorAt: k.LastErrorAt,
	}
}

func errorCounts(errs []kernel.ErrorCount) []admin.Count {
	out := make([]admin.Count, 0, len(errs))
	for _, e := range errs {
		out = append(out, admin.Count{Name: e.Op + " " + e.Errno, Count: e.Count})
	}
	return out
}

// routeCounts are the reconciler's counts of one cluster's routes, a row a family.
func routeCounts(k kernel.Status, cluster string) []admin.RouteCount {
	var out []admin.RouteCount
	for _, g := range k.Routes {
		if g.Group != cluster {
			continue
		}
		family := peering.IPv4
		if g.IPv6 {
			family = peering.IPv6
		}
		out = append(out, admin.RouteCount{
			Family: family.String(), Wanted: g.Wanted,
			Installed: g.Count(kernel.StateInstalled), Missing: g.Count(kernel.StateMissing),
			Mismatched: g.Count(kernel.StateMismatched), Conflict: g.Count(kernel.StateConflict),
			Unresolved: g.Count(kernel.StateUnresolved), Shadowed: g.Count(kernel.StateShadowed),
		})
	}
	return out
}

func sessionsByPeer(s bgp.Status) map[netip.Addr]bgp.PeerStatus {
	out := make(map[netip.Addr]bgp.PeerStatus, len(s.Peers))
	for _, p := range s.Peers {
		out[p.Peer.Addr] = p
	}
	return out
}

// peerStatus joins what the mesh and the speaker know of a peer. A peer that the speaker does not have yet waits for
// our own blocks to be known.
func peerStatus(p peering.PeerStatus, sessions map[netip.Addr]bgp.PeerStatus) admin.Peer {
	s, configured := sessions[p.Peer.Addr]
	if !configured {
		return admin.PeerFrom(p, "waiting", 0, "this node's own blocks are not known yet")
	}
	return admin.PeerFrom(p, strings.ToLower(s.State), s.Advertised, s.LastError)
}

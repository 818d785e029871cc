package main

import (
	"context"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"strings"
	"time"

	"routed/admin"
	"routed/bgp"
	"routed/config"
	"routed/kernel"
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
	return d.statusOf(mesh, d.speaker.Status()), nil
}

// statusOf is the daemon at this moment, with pictures of the mesh and of its sessions.
func (d *daemon) statusOf(mesh peering.Status, speaker bgp.Status) admin.Status {
	cfg, k := d.settings.config(), d.reconciler.Status()
	sessions := sessionsByPeer(speaker)
	last := d.timings.Last()
	s := admin.Status{
		At:   time.Now(),
		Node: d.nodeStatus(cfg),
		Mesh: admin.Mesh{
			Converged: mesh.Converged, ConvergedAt: mesh.ConvergedAt, OwnKnown: mesh.OwnKnown,
			RetentionSeconds: cfg.Mesh.Retention.Seconds(), OwnBlocks: admin.OwnBlocksFrom(mesh.Own),
			ConvergeBefore: d.convergeBefore(cfg, mesh), ConvergedBy: convergedBy(mesh),
		},
		BIRD:       []admin.Peer{},
		Clusters:   []admin.Cluster{},
		HostChecks: d.host.status(),
		Kernel:     admin.KernelFrom(k, cfg.Kernel.Table, cfg.Kernel.Protocol),
		Guard:      admin.GuardFrom(d.guard.Status()),
		Probe:      admin.ProbeFrom(d.prober.Status()),
		Config:     d.settings.status(),
	}
	s.KeysRefused, s.KeyRefusal = keysRefused(speaker)
	s.Kernel.LastReconcile = admin.Reconcile{Kind: last.Kind, At: last.At, DurationSeconds: last.Took.Seconds()}
	for _, p := range mesh.BIRD {
		s.BIRD = append(s.BIRD, peerStatus(p, sessions))
	}
	rosters := d.rosters.status(s.At)
	for _, c := range mesh.Clusters {
		cluster := admin.ClusterFrom(c, admin.RouteCountsFrom(k.Routes, c.Name))
		if r, followed := rosters[c.Name]; followed {
			cluster.Roster = r.admin()
		}
		s.Clusters = append(s.Clusters, cluster)
	}
	if err := notReady(k, mesh); err != nil {
		s.NotReady = err.Error()
	}
	s.Ready = s.NotReady == ""
	return s
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
	return peersOf(mesh, d.speaker.Status()), nil
}

// peersOf lists every session, with pictures of the mesh and of its sessions.
func peersOf(mesh peering.Status, speaker bgp.Status) admin.Peers {
	sessions := sessionsByPeer(speaker)
	out := admin.Peers{At: time.Now(), Peers: []admin.Peer{}}
	for _, p := range mesh.BIRD {
		out.Peers = append(out.Peers, peerStatus(p, sessions))
	}
	for _, c := range mesh.Clusters {
		for _, p := range c.Peers {
			out.Peers = append(out.Peers, peerStatus(p, sessions))
		}
	}
	return out
}

// look is what the status page shows: the status and the sessions, of one moment.
func (d *daemon) look(ctx context.Context) (admin.Status, admin.Peers, error) {
	if !d.reconciler.Status().Adopted {
		return admin.Status{}, admin.Peers{}, errNotAdopted
	}
	mesh, err := d.meshStatus(ctx)
	if err != nil {
		return admin.Status{}, admin.Peers{}, err
	}
	speaker := d.speaker.Status()
	return d.statusOf(mesh, speaker), peersOf(mesh, speaker), nil
}

// Routes answers GET /v1/routes: what the mesh wants, joined with how it stands in the kernel.
func (d *daemon) Routes(ctx context.Context, clusterName string) (iter.Seq[admin.Route], error) {
	if clusterName != "" && !d.settings.hasRemote(clusterName) {
		return nil, fmt.Errorf("%w: remotes has no %q", admin.ErrUnknownCluster, clusterName)
	}
	wanted, err := d.loop.routes(ctx)
	if err != nil {
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

// keysRefused counts the peers whose TCP MD5 key the kernel refused, and says why for the first.
func keysRefused(s bgp.Status) (n int, why string) {
	for _, p := range s.Peers {
		if p.Refused == "" {
			continue
		}
		if n++; n == 1 {
			why = p.Refused
		}
	}
	return n, why
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

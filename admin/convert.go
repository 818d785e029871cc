package admin

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"routed/guard"
	"routed/kernel"
	"routed/peering"
)

// PeerFrom is one session as the mesh sees it, with the speaker's view of it: the FSM state's name in any case, the
// number of prefixes advertised, and the latest trouble (empty: the mesh's own reason is the best there is).
func PeerFrom(p peering.PeerStatus, state string, advertised int, trouble string) Peer {
	out := Peer{
		Cluster: p.Peer.Cluster, Role: p.Peer.Role.String(), Name: p.Peer.Name,
		Address: p.Peer.Addr, Local: p.Peer.Local, ASN: p.Peer.ASN,
		Up: p.Up, State: strings.ToLower(state), Since: p.Since, Flaps: p.Flaps,
		Families: families(p.Negotiated), EndOfRIB: families(p.EndOfRIB),
		Prefixes: prefixCounts(p), Advertised: advertised,
		Rejected: []Count{}, LastRejected: []Rejection{},
	}
	if !p.Up {
		out.DownReason = cmp.Or(trouble, p.Reason)
	}
	for _, r := range slices.Sorted(maps.Keys(p.Rejected)) {
		if n := p.Rejected[r]; n > 0 {
			out.Rejected = append(out.Rejected, Count{Name: string(r), Count: n})
		}
	}
	for _, r := range p.LastRejected {
		out.LastRejected = append(out.LastRejected, rejectionFrom(r))
	}
	return out
}

// ClusterFrom is one remote cluster as the mesh sees it, with the kernel's count of its routes, one entry a family.
func ClusterFrom(c peering.ClusterStatus, routes []RouteCount) Cluster {
	out := Cluster{
		Name: c.Name, PodCIDRs: append([]netip.Prefix{}, c.PodCIDRs...),
		Reflected: c.Reflected, NodesKnown: c.NodesKnown, NodesUp: c.NodesUp, NodesDown: nodesDown(c.Peers),
		Blocks: []BlockCount{}, Routes: append([]RouteCount{}, routes...), Astray: []Astray{},
		Held: c.Held, HeldUntil: c.HeldUntil, Conflicts: c.Conflicts,
	}
	for _, b := range c.Blocks {
		out.Blocks = append(out.Blocks, BlockCount{Family: b.Family.String(), Fresh: b.Fresh, Stale: b.Stale, Held: b.Held})
	}
	for _, p := range c.Peers {
		out.addRejections(p)
	}
	return out
}

func (c *Cluster) addRejections(p peering.PeerStatus) {
	for i := range p.Received {
		c.RejectedNow += p.Received[i] - p.Accepted[i]
	}
	for _, n := range p.Rejected {
		c.RejectedTotal += n
	}
	if len(p.LastRejected) == 0 {
		return
	}
	if last := rejectionFrom(p.LastRejected[len(p.LastRejected)-1]); c.LastRejected == nil ||
		last.At.After(c.LastRejected.At) {
		c.LastRejected = &last
	}
}

// OwnBlocksFrom lists this node's blocks.
func OwnBlocksFrom(own []peering.OwnBlock) []OwnBlock {
	out := make([]OwnBlock, 0, len(own))
	for _, b := range own {
		out = append(out, OwnBlock{Prefix: b.Prefix, Source: string(b.Source), Since: b.Since})
	}
	return out
}

// RouteFrom is one route as the mesh wants it and as the kernel has it. The zero kernel.RouteStatus, for a route
// that the reconciler has not heard of yet, is a missing route.
func RouteFrom(p peering.RouteStatus, k kernel.RouteStatus) Route {
	return Route{
		Prefix: p.Prefix, Cluster: p.Cluster, NextHop: p.NextHop,
		Device: k.Device, State: stateFrom(k.State), Since: k.Since,
		OwnerSince: p.Since, StaleSince: p.StaleSince, HeldSince: p.HeldSince,
		Rivals: append([]netip.Addr{}, p.Rivals...), Error: k.Err,
	}
}

// stateFrom fixes the schema's words, so that they do not follow the kernel package's.
func stateFrom(s kernel.State) RouteState {
	switch s {
	case kernel.StateInstalled:
		return RouteInstalled
	case kernel.StateMismatched:
		return RouteMismatched
	case kernel.StateConflict:
		return RouteConflict
	case kernel.StateUnresolved:
		return RouteUnresolved
	case kernel.StateShadowed:
		return RouteShadowed
	case kernel.StateMissing:
		return RouteMissing
	default:
		return RouteState(fmt.Sprintf("state-%d", s))
	}
}

// KernelFrom is the reconciler's picture of the table and its rules.
// The last reconcile is for the caller to fill in: the reconciler tells it to its Observer.
func KernelFrom(k kernel.Status, table uint32, protocol uint8) Kernel {
	out := Kernel{
		Table: table, Protocol: protocol, Adopted: k.Adopted, DeletesAllowed: k.DeletesAllowed,
		RulesWanted: k.RulesWanted, RulesPresent: k.RulesPresent,
		LastResync: k.LastResync, ResyncSeconds: k.ResyncInterval.Seconds(),
		Repairs: []Count{
			{"deleted", k.Repairs.Deleted},
			{"changed", k.Repairs.Changed},
			{"link", k.Repairs.Link},
			{"resync", k.Repairs.Resync},
			{"rule", k.Repairs.Rule},
		},
		Changes:  []Count{{"add", k.Changes.Add}, {"replace", k.Changes.Replace}, {"delete", k.Changes.Delete}},
		Errors:   []Count{},
		Overruns: k.Overruns, LastError: k.LastError, LastErrorAt: k.LastErrorAt,
	}
	for _, e := range k.Errors {
		out.Errors = append(out.Errors, Count{Name: e.Op + " " + e.Errno, Count: e.Count})
	}
	return out
}

// GuardFrom is the keeper's picture of the packet filter in front of the BGP port.
func GuardFrom(g guard.Status) Guard {
	return Guard{
		Mode: string(g.Mode), State: guardStateFrom(g.Condition), Reason: g.Reason, Since: g.Since, Peers: g.Peers,
		LastCheck: g.LastCheck, Repairs: g.Repairs, LastRepair: g.LastRepair,
		Failures: g.Errors, LastError: g.LastError, LastErrorAt: g.LastErrorAt,
	}
}

// guardStateFrom fixes the schema's words, so that they do not follow the guard package's.
func guardStateFrom(c guard.Condition) GuardState {
	switch c {
	case guard.Starting:
		return GuardStarting
	case guard.Active:
		return GuardActive
	case guard.Off:
		return GuardOff
	case guard.Unavailable:
		return GuardUnavailable
	case guard.Failing:
		return GuardFailing
	default:
		return GuardState(c)
	}
}

// RouteCountsFrom counts the routes to one cluster, IPv4 first.
func RouteCountsFrom(groups []kernel.GroupStatus, cluster string) []RouteCount {
	out := []RouteCount{}
	for _, g := range groups {
		if g.Group != cluster {
			continue
		}
		out = append(out, RouteCount{
			Family: familyOf(g).String(), Wanted: g.Wanted,
			Installed: g.Count(kernel.StateInstalled), Missing: g.Count(kernel.StateMissing),
			Mismatched: g.Count(kernel.StateMismatched), Conflict: g.Count(kernel.StateConflict),
			Unresolved: g.Count(kernel.StateUnresolved), Shadowed: g.Count(kernel.StateShadowed),
		})
	}
	return out
}

// AstrayFrom picks, of routes that are not installed, those to one cluster.
func AstrayFrom(routes []kernel.RouteStatus, cluster string) []Astray {
	out := []Astray{}
	for _, r := range routes {
		if r.Route.Group == cluster {
			out = append(out, Astray{Prefix: r.Route.Prefix, NextHop: r.Route.NextHop, State: stateFrom(r.State), Error: r.Err})
		}
	}
	return out
}

func familyOf(g kernel.GroupStatus) peering.Families {
	if g.IPv6 {
		return peering.IPv6
	}
	return peering.IPv4
}

func nodesDown(peers []peering.PeerStatus) []NodeDown {
	out := []NodeDown{}
	for _, p := range peers {
		if !p.Up {
			out = append(out, NodeDown{Address: p.Peer.Addr, Name: p.Peer.Name, Since: p.Since, Reason: p.Reason})
		}
	}
	slices.SortFunc(out, func(a, b NodeDown) int {
		return cmp.Or(a.Since.Compare(b.Since), a.Address.Compare(b.Address))
	})
	return out[:min(len(out), MaxNodesDown)]
}

func families(f peering.Families) []string {
	out := []string{}
	for _, one := range f.List() {
		out = append(out, one.String())
	}
	return out
}

// prefixCounts has a row for each family that the session carries or that still holds prefixes.
func prefixCounts(p peering.PeerStatus) []PrefixCount {
	out := []PrefixCount{}
	for i, f := range []peering.Families{peering.IPv4, peering.IPv6} {
		if received := p.Received[i]; received > 0 || p.Peer.Families.Has(f) {
			out = append(out, PrefixCount{
				Family: f.String(), Received: received, Accepted: p.Accepted[i], Rejected: received - p.Accepted[i],
			})
		}
	}
	return out
}

func rejectionFrom(r peering.Rejection) Rejection {
	return Rejection{Prefix: r.Prefix, NextHop: r.NextHop, Reason: string(r.Reason), Detail: r.Detail, At: r.At}
}

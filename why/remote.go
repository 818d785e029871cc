package why

import (
	"fmt"
	"strings"

	"routed/admin"
	"routed/peering"
)

// toRemote is the way to a pod of another cluster.
func (w *way) toRemote(h home) {
	w.good(stepCluster, "%s is a pod range of %s", h.inside, h.cluster)
	fromRemote := func(r peering.Refusal) bool { return r.Peer.Role.Remote() }
	if len(w.Mesh.Routes) == 0 {
		if !w.refusals(fromRemote, admin.StepBroken) {
			w.unannounced(h)
		}
		w.elsewhere(admin.StepWarning)
		return
	}
	w.out.Block, w.out.NextHop = w.Mesh.Routes[0].Prefix, w.Mesh.Routes[0].NextHop
	w.announced()
	if !w.refusals(fromRemote, admin.StepWarning) {
		w.good(stepPolicy, "accepted: the block lies inside %s, of allowed length, with the node as next hop", h.inside)
	}
	w.freshness()
	w.inKernel()
	w.probed()
	w.findings()
}

// announced is who announces the block.
func (w *way) announced() {
	route := w.Mesh.Routes[0]
	who := make([]string, 0, len(w.Mesh.Announced))
	for _, a := range w.Mesh.Announced {
		text := peerName(a.Peer)
		if a.Peer.Role == peering.RoleReflector {
			text = fmt.Sprintf("%s, by reflector %s", a.NextHop, text)
		}
		who = append(who, text)
	}
	text := fmt.Sprintf("%s, announced by %s", route.Prefix, strings.Join(who, "; "))
	if len(route.Rivals) == 0 {
		w.good(stepBlock, "%s", text)
		return
	}
	w.add(stepBlock, admin.StepWarning,
		"see which node Calico's IPAM gave the block to (`calicoctl ipam show --show-blocks`) and what the other one announces",
		"%s: more than one node has it, the lowest address is used", text)
}

// unannounced says why no block holds the address, as far as can be seen from here.
func (w *way) unannounced(h home) {
	var down []peering.PeerStatus
	sessions := w.sessions(h.cluster)
	for _, p := range sessions {
		if !p.Up {
			down = append(down, p)
		}
	}
	const peers = "see `routed peers`; on those nodes routed must run, and TCP to its port be let through both ways"
	switch {
	case len(sessions) == 0:
		w.add(stepBlock, admin.StepBroken, "add nodes to the entry of "+h.cluster+" under remotes", "no node of %s is known", h.cluster)
	case len(down) == len(sessions):
		w.add(stepBlock, admin.StepBroken, peers, "nobody announces a block that holds it: no session with %s is up, %s", h.cluster, w.downText(down))
	case len(down) > 0:
		w.add(stepBlock, admin.StepBroken, peers, "nobody announces a block that holds it; it may be of a node whose session is down: %s",
			w.downText(down))
	default:
		w.add(stepBlock, admin.StepBroken,
			fmt.Sprintf("see in %s which node has the pod and the block (`calicoctl ipam show --ip=%s`), that the node is among its nodes under "+
				"remotes, and with `routed status` there that its BIRD tells routed", h.cluster, w.Address),
			"none of the %d nodes of %s announces a block that holds it, and every session is up", len(sessions), h.cluster)
	}
}

const downNamed = 3 // of the sessions that are down

func (w *way) downText(down []peering.PeerStatus) string {
	var words []string
	for _, p := range down[:min(len(down), downNamed)] {
		text := peerName(p.Peer)
		if p.Reason != "" {
			text += " (" + p.Reason + ")"
		}
		words = append(words, text)
	}
	if more := len(down) - downNamed; more > 0 {
		words = append(words, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(words, ", ")
}

// refusals adds a step for each refused announcement of a prefix that holds the address and that matters, and says whether
// there was any.
func (w *way) refusals(matters func(peering.Refusal) bool, state admin.StepState) bool {
	found := false
	for _, r := range w.Mesh.Refused {
		if !matters(r) {
			continue
		}
		found = true
		when := ""
		if !r.At.IsZero() {
			when = " " + w.age(r.At) + " ago"
		}
		w.add(stepPolicy, state, refusalRemedy(r), "%s was announced by %s%s and refused: %s", r.Prefix, peerName(r.Peer), when, r.Detail)
	}
	return found
}

// refusalRemedy is what to do when the announcement is rightful.
func refusalRemedy(r peering.Refusal) string {
	entry := "of " + r.Peer.Cluster + " under remotes"
	switch r.Reason {
	case peering.ReasonOutsideRange:
		if r.Peer.Role == peering.RoleBIRD {
			return "if it is rightful, add the range to cluster.podCIDRs"
		}
		return "if it is rightful, add the range to podCIDRs " + entry
	case peering.ReasonLength:
		return "if it is rightful, widen blockLengths " + entry
	case peering.ReasonNextHopRange:
		return "if it is rightful, add the node's range to nodeCIDRs " + entry
	case peering.ReasonLimitNode, peering.ReasonLimitCluster:
		return "if they are rightful, raise limits " + entry
	case peering.ReasonOwnRange, peering.ReasonOwnServices, peering.ReasonOwnAddress:
		return "the clusters must not share addresses: see which of them has the wrong range (`routed check`)"
	default:
		return "see what " + peerName(r.Peer) + " announces, and why; `routed peers` counts the refusals"
	}
}

// freshness is whether the announcement stands at this moment.
func (w *way) freshness() {
	route, by := w.Mesh.Routes[0], w.Mesh.Announced[0]
	switch {
	case !route.StaleSince.IsZero():
		left := admin.Age(route.StaleSince.Add(w.Config.Mesh.Retention).Sub(w.At))
		w.add(stepFreshness, admin.StepWarning,
			"bring the session with "+peerName(by.Peer)+" back before that (`routed peers` says why it is down)",
			"stale: it was announced until %s ago, when the session was lost; it is kept for %s more", w.age(route.StaleSince), left)
	case !route.HeldSince.IsZero():
		w.add(stepFreshness, admin.StepWarning, "see there why "+peerName(by.Peer)+" no longer announces it; what it announces again stays",
			"withdrawn %s ago with most of its cluster; mesh.withdrawalBrake keeps it for a while", w.age(route.HeldSince))
	default:
		w.good(stepFreshness, "fresh: the session with %s has been up for %s", peerName(by.Peer), w.age(by.Since))
	}
}

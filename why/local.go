package why

import (
	"fmt"
	"net/netip"

	"routed/admin"
	"routed/peering"
)

// toOwnCluster is the way to a pod of this cluster, which is Calico's business: routed tells the others of this node's blocks,
// and keeps out of the way.
func (w *way) toOwnCluster(h home) {
	w.good(stepCluster, "%s is a pod range of %s, this node's own cluster", h.inside, h.cluster)
	switch {
	case len(w.Mesh.Own) > 0:
		w.ownBlock()
	case w.KernelErr == nil:
		w.blockOfOther(h)
	}
	w.refusals(func(r peering.Refusal) bool { return len(w.Mesh.Own) == 0 && r.Reason != peering.ReasonNextHop }, admin.StepWarning)
	if w.surveyed(stepLookup) {
		w.ownLookup(h)
		w.link()
	}
}

// ownBlock is a block of this node, and how we know.
func (w *way) ownBlock() {
	b := w.Mesh.Own[0]
	w.out.Block = b.Prefix
	switch b.Source {
	case peering.OwnFromBIRD:
		w.good(stepBlock, "%s is a block of this node, as its BIRD says; remote clusters are told", b.Prefix)
	case peering.OwnFromStale:
		w.add(stepBlock, admin.StepWarning, birdRemedy, "%s is a block of this node, as its BIRD said until %s ago, when the session was lost", b.Prefix, w.age(b.Since))
	default:
		w.add(stepBlock, admin.StepWarning, birdRemedy, "%s is a block of this node, as only its kernel says: BIRD has not spoken", b.Prefix)
	}
}

// blockOfOther is a block of another node of this cluster, as BIRD put it into the kernel.
func (w *way) blockOfOther(h home) {
	match := w.Kernel.Decision.Match
	switch {
	case w.inside(h, match.Prefix) && match.Prefix.IsSingleIP() && !match.Gateway.IsValid():
		w.good(stepBlock, "a pod of this node has it, out of the block of another node")
		return
	case w.inside(h, match.Prefix):
		w.out.Block = match.Prefix
		w.good(stepBlock, "%s is a block of another node of this cluster, as the kernel has it", match.Prefix)
		return
	}
	w.add(stepBlock, admin.StepBroken,
		fmt.Sprintf("see which node has the block (`calicoctl ipam show --ip=%s`), and that the BIRDs know each other (`calicoctl node status`)", w.Address),
		"this node has no block that holds it, nor a route to one of another node")
}

// inside says whether a route is one inside the cluster's range: not the default route, say.
func (w *way) inside(h home, match netip.Prefix) bool {
	return match.IsValid() && match.Bits() >= h.inside.Bits() && h.inside.Contains(match.Addr())
}

func (w *way) ownLookup(h home) {
	d := w.Kernel.Decision
	switch {
	case d.Answer.Err != nil && len(w.Mesh.Own) > 0:
		w.add(stepLookup, admin.StepBroken, "if `kubectl get pods -A -o wide` shows the pod on this node, see Felix's log: it adds the route to each pod",
			"no pod of this node has the address: %s", d.Text)
	case d.Answer.Err != nil:
		w.add(stepLookup, admin.StepBroken, "see BIRD's routes on this node (`ip route show proto bird`)", "the kernel sends no packet there: %s", d.Text)
	case d.Ours:
		w.add(stepLookup, admin.StepBroken, "restart routed, which accepts nothing of its own cluster's range, and report this",
			"the kernel answers with a route of routed: %s%s", d.Text, source(d))
	case d.Match.Prefix.IsValid() && !w.inside(h, d.Match.Prefix):
		w.add(stepLookup, admin.StepBroken, "mend what is broken before it; see `ip route get "+w.Address.String()+"`",
			"the kernel has no route into %s for it and answers %s%s", h.inside, d.Text, source(d))
	default:
		w.good(stepLookup, "the kernel answers %s%s", d.Text, source(d))
	}
}

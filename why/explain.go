package why

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"routed/admin"
	"routed/doctor"
	"routed/peering"
)

// The steps, in the order of the way. Those of the doctor's findings have the names of its checks.
const (
	stepCluster   = "cluster"
	stepBlock     = "block"
	stepPolicy    = "policy"
	stepFreshness = "freshness"
	stepRoute     = "route"
	stepTable     = "table"
	stepRule      = "rule"
	stepLookup    = "lookup"
	stepNeighbor  = "neighbor"
	stepDevice    = "device"
	stepProbe     = "probe"
	stepHost      = "host"
)

// Explain follows the way.
func Explain(f Facts) admin.Why {
	w := way{Facts: f, out: admin.Why{
		At: f.At, Address: f.Address, Node: admin.WhyNode{Cluster: f.Config.Cluster.Name, Address: f.Config.Node.AddressFor(f.Address)},
	}}
	h, known := f.home()
	w.out.Cluster = h.cluster
	switch {
	case !known:
		w.toNobody()
	case h.own:
		w.toOwnCluster(h)
	default:
		w.toRemote(h)
	}
	return w.out
}

// way is an explanation in the making.
type way struct {
	Facts
	out admin.Why
}

// good adds a step on which nothing is wrong.
func (w *way) good(step, why string, args ...any) { w.add(step, admin.StepGood, "", why, args...) }

// add adds a step; what is not good has a remedy.
func (w *way) add(step string, state admin.StepState, remedy, why string, args ...any) {
	w.out.Steps = append(w.out.Steps, admin.Step{Step: step, State: state, Why: fmt.Sprintf(why, args...), Remedy: remedy})
}

// toNobody is the way to an address that is no pod of any cluster.
func (w *way) toNobody() {
	const ask = "ask for the address of a pod"
	broken := func(remedy, why string, args ...any) { w.add(stepCluster, admin.StepBroken, remedy, why, args...) }
	cluster, services, isService := w.service()
	node, isNode := w.node()
	switch {
	case isService:
		broken(ask+" behind the service (`kubectl get endpoints`)",
			"it is a service address of %s (%s), which kube-proxy there makes into a pod's; routed routes pods only", cluster, services)
	case w.ownNode():
		broken(ask, "it is the address of this node, and no pod's")
	case isNode:
		broken(ask, "it is the address of node %s, and no pod's: nodes reach each other without routed", peerName(node))
	default:
		broken("if it is a pod of a remote cluster, add its range to podCIDRs of that cluster's entry under remotes",
			"no cluster's pod range holds it: %s", w.ranges())
	}
	w.refusals(func(peering.Refusal) bool { return true }, admin.StepBroken)
	w.elsewhere(admin.StepGood)
}

// ranges lists who has which pod range.
func (w *way) ranges() string {
	text := func(cluster string, ranges []netip.Prefix) string {
		words := make([]string, 0, 1+len(ranges))
		for _, p := range ranges {
			words = append(words, p.String())
		}
		return cluster + " has " + strings.Join(words, ", ")
	}
	all := []string{text(w.Config.Cluster.Name, w.Config.Cluster.PodCIDRs)}
	for _, r := range w.Config.Remotes {
		all = append(all, text(r.Name, r.PodCIDRs))
	}
	return strings.Join(all, "; ")
}

// findings adds what the doctor found. That a rule is missing was said already.
func (w *way) findings() {
	told := len(w.out.Steps)
	for _, c := range w.Findings {
		state := admin.StepWarning
		switch {
		case c.Name == "rules" && c.Result == doctor.Failed && !w.Kernel.Leads:
			continue
		case c.Result == doctor.Failed:
			state = admin.StepBroken
		case c.Result == doctor.Unknown:
			state = admin.StepUnknown
		}
		w.add(c.Name, state, c.Fix, "%s", c.Why)
	}
	if len(w.out.Steps) == told {
		w.good(stepHost, "the doctor finds nothing else on this host in the way")
	}
}

// peerName is "gyliu-ubuntu-1 9.111.255.77", or the address alone.
func peerName(p peering.Peer) string {
	if p.Role == peering.RoleBIRD {
		return "this node's BIRD"
	}
	return strings.TrimSpace(p.Name + " " + p.Addr.String())
}

// age is how long ago something was.
func (w *way) age(t time.Time) string { return admin.Age(w.At.Sub(t)) }

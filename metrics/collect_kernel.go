package metrics

import (
	"maps"
	"slices"

	"routed/kernel"
	"routed/peering"
)

// routes has every state of every cluster and family that the mesh counts blocks of or the kernel holds routes of,
// also when there is no route yet: an alert on a series that is absent never fires.
func (c *Collector) routes(e emitter, s Snapshot) {
	counts := map[clusterFamily]kernel.GroupStatus{}
	for _, k := range s.Mesh.Clusters {
		for _, b := range k.Blocks {
			counts[clusterFamily{k.Name, b.Family}] = kernel.GroupStatus{}
		}
	}
	for _, g := range s.Kernel.Routes {
		family := peering.IPv4
		if g.IPv6 {
			family = peering.IPv6
		}
		counts[clusterFamily{g.Group, family}] = g
	}
	for _, key := range slices.SortedFunc(maps.Keys(counts), compareKeys) {
		g, family := counts[key], key.family.String()
		e.gauge(c.d.routes, float64(g.Wanted), key.cluster, family, "wanted")
		for state := kernel.StateMissing; state <= kernel.StateShadowed; state++ {
			e.gauge(c.d.routes, float64(g.Count(state)), key.cluster, family, state.String())
		}
	}
}

func (c *Collector) kernel(e emitter, k kernel.Status) {
	e.gauge(c.d.rules, float64(k.RulesWanted), "wanted")
	e.gauge(c.d.rules, float64(k.RulesPresent), "present")
	e.counter(c.d.repairs, k.Repairs.Deleted, "deleted")
	e.counter(c.d.repairs, k.Repairs.Changed, "changed")
	e.counter(c.d.repairs, k.Repairs.Link, "link")
	e.counter(c.d.repairs, k.Repairs.Resync, "resync")
	e.counter(c.d.repairs, k.Repairs.Rule, "rule")
	e.counter(c.d.changes, k.Changes.Add, "add")
	e.counter(c.d.changes, k.Changes.Replace, "replace")
	e.counter(c.d.changes, k.Changes.Delete, "delete")
	for _, f := range k.Errors {
		e.counter(c.d.errors, f.Count, f.Op, f.Errno)
	}
	e.counter(c.d.overruns, k.Overruns)
	e.gauge(c.d.lastResync, unix(k.LastResync))
	e.gauge(c.d.resyncDue, k.ResyncInterval.Seconds())
}

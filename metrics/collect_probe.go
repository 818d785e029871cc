package metrics

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"routed/probe"
)

// probed is the key of a series about targets of one kind: of one next hop, or with no peer label of a cluster.
type probed struct {
	cluster, kind, peer string
}

// outcome is what the targets of one series have in common.
type outcome struct {
	known, success bool
	rtt            time.Duration // the longest
	mtu            int           // the least; 0: not known
}

// probes has nothing when probes are off. The label peer is a next hop, also of an address in a block, so that there are
// two series a node at most; an address that no block holds has none.
func (c *Collector) probes(e emitter, s probe.Status) {
	if !s.On() {
		return
	}
	e.gauge(c.d.probePossible, number(s.Err == ""))
	e.gauge(c.d.probeRound, s.Round.Seconds())
	if s.PodMTU > 0 {
		e.gauge(c.d.podMTU, float64(s.PodMTU))
	}
	c.probeStates(e, s)
	all := outcomes(s, c.opts)
	for _, key := range slices.SortedFunc(maps.Keys(all), func(a, b probed) int {
		return cmp.Or(cmp.Compare(a.cluster, b.cluster), cmp.Compare(a.kind, b.kind), cmp.Compare(a.peer, b.peer))
	}) {
		c.outcome(e, key, all[key])
	}
}

func (c *Collector) outcome(e emitter, key probed, o outcome) {
	probeLabels, pathLabels := []string{key.cluster, key.kind, key.peer}, []string{key.cluster, key.peer}
	if c.opts.NoPeerLabel {
		probeLabels, pathLabels = probeLabels[:2], pathLabels[:1]
	}
	if o.known {
		e.gauge(c.d.probeSuccess, number(o.success), probeLabels...)
	}
	if o.rtt > 0 {
		e.gauge(c.d.probeRTT, o.rtt.Seconds(), probeLabels...)
	}
	if o.mtu > 0 {
		e.gauge(c.d.pathMTU, float64(o.mtu), pathLabels...)
	}
}

// probeStates has every state of every cluster and kind that there are targets of.
func (c *Collector) probeStates(e emitter, s probe.Status) {
	counts := map[probed]map[probe.State]int{}
	for _, t := range s.Targets {
		key := probed{cluster: t.Cluster, kind: string(t.Kind)}
		if counts[key] == nil {
			counts[key] = map[probe.State]int{}
		}
		counts[key][t.State]++
	}
	for key, n := range counts {
		for _, state := range probe.States() {
			e.gauge(c.d.probeTargets, float64(n[state]), key.cluster, key.kind, string(state))
		}
	}
}

// outcomes puts together the targets of each series. What nobody need answer to, and nobody has, says nothing.
func outcomes(s probe.Status, o Options) map[probed]outcome {
	all := map[probed]outcome{}
	for _, t := range s.Targets {
		if t.State == probe.Silent || t.State == probe.Unprobed && t.Guessed {
			continue
		}
		key := probed{cluster: t.Cluster, kind: string(t.Kind)}
		if !o.NoPeerLabel && t.NextHop.IsValid() {
			key.peer = t.NextHop.String()
		}
		all[key] = all[key].with(t)
	}
	return all
}

func (o outcome) with(t probe.TargetStatus) outcome {
	if t.Success || t.Reason != "" { // an outcome is known
		o.success = t.Success && (o.success || !o.known)
		o.known = true
	}
	if t.Success {
		o.rtt = max(o.rtt, t.RTT)
	}
	if t.Kind == probe.NextHop && t.State == probe.Answering && t.MTU > 0 && (o.mtu == 0 || t.MTU < o.mtu) {
		o.mtu = t.MTU
	}
	return o
}

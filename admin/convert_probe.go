package admin

import (
	"cmp"
	"slices"

	"routed/probe"
)

// ProbeFrom is the prober's picture; nil when probes are off.
func ProbeFrom(s probe.Status) *Probe {
	if !s.On() {
		return nil
	}
	out := &Probe{
		IntervalSeconds: s.Settings.Interval.Seconds(), RoundSeconds: s.Round.Seconds(), Error: s.Err, PodMTU: s.PodMTU,
		Targets: []ProbeCount{}, Failing: []ProbeTarget{}, Narrow: []ProbeTarget{},
	}
	for _, t := range s.Targets {
		out.count(t)
	}
	slices.SortFunc(out.Targets, func(a, b ProbeCount) int { // next hops first
		return cmp.Or(cmp.Compare(a.Cluster, b.Cluster), -cmp.Compare(a.Kind, b.Kind))
	})
	slices.SortStableFunc(out.Failing, func(a, b ProbeTarget) int { return a.Since.Compare(b.Since) })
	slices.SortStableFunc(out.Narrow, func(a, b ProbeTarget) int { return cmp.Compare(a.PathMTU, b.PathMTU) })
	out.Failing = out.Failing[:min(len(out.Failing), MaxProbeTargets)]
	out.Narrow = out.Narrow[:min(len(out.Narrow), MaxProbeTargets)]
	return out
}

func (p *Probe) count(t probe.TargetStatus) {
	i := slices.IndexFunc(p.Targets, func(c ProbeCount) bool { return c.Cluster == t.Cluster && c.Kind == string(t.Kind) })
	if i < 0 {
		i = len(p.Targets)
		p.Targets = append(p.Targets, ProbeCount{Cluster: t.Cluster, Kind: string(t.Kind)})
	}
	c := &p.Targets[i]
	switch t.State {
	case probe.Answering:
		c.Answering++
		c.SlowestRTTSeconds = max(c.SlowestRTTSeconds, t.RTT.Seconds())
		p.measure(c, t)
	case probe.Failing:
		c.Failing++
		p.Failing = append(p.Failing, probeTargetFrom(t))
	case probe.Silent:
		c.Silent++
	default:
		c.Unprobed++
	}
}

// measure counts the path MTU of a target that answers.
func (p *Probe) measure(c *ProbeCount, t probe.TargetStatus) {
	if t.MTU == 0 {
		return
	}
	if c.PathMTU == 0 || t.MTU < c.PathMTU {
		c.PathMTU = t.MTU
	}
	if t.MTU < p.PodMTU {
		c.Narrow++
		p.Narrow = append(p.Narrow, probeTargetFrom(t))
	}
}

func probeTargetFrom(t probe.TargetStatus) ProbeTarget {
	return ProbeTarget{
		Cluster: t.Cluster, Kind: string(t.Kind), Address: t.Addr, NextHop: t.NextHop, Since: t.Since, Reason: t.Reason, PathMTU: t.MTU,
	}
}

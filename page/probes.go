package page

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	"routed/admin"
)

// probesShown is how many lines the table of probes has at most.
const probesShown = 100

// probes is the table of probes; nil: they are off.
type probes struct {
	How  value
	Rows []probeRow
	More int
}

// probeRow is one kind of targets in one cluster.
type probeRow struct {
	Cluster, Probed string
	Answering       value
	Silent          int
	Slowest         string
	PathMTU         value
}

func probesOf(s admin.Status) *probes {
	p := s.Probe
	if p == nil {
		return nil
	}
	out := &probes{How: howProbed(p)}
	targets := slices.SortedStableFunc(slices.Values(p.Targets), func(a, b admin.ProbeCount) int {
		return cmp.Or(cmp.Compare(b.Failing, a.Failing), cmp.Compare(b.Narrow, a.Narrow))
	})
	targets, out.More = first(targets, probesShown)
	for _, t := range targets {
		out.Rows = append(out.Rows, probeRowOf(t))
	}
	return out
}

func howProbed(p *admin.Probe) value {
	seconds := func(s float64) string { return admin.Age(time.Duration(s * float64(time.Second))) }
	switch {
	case p.Error != "":
		return value{"warning", "Not possible: " + clip(p.Error, reasonLength)}
	case p.RoundSeconds > p.IntervalSeconds:
		return value{"warning", fmt.Sprintf("ICMP echo every %s, not %s: too many for probe.packetsPerSecond", seconds(p.RoundSeconds),
			seconds(p.IntervalSeconds))}
	default:
		return value{"", "ICMP echo every " + seconds(p.IntervalSeconds)}
	}
}

func probeRowOf(t admin.ProbeCount) probeRow {
	r := probeRow{
		Cluster: clip(t.Cluster, nameLength), Probed: "addresses", Silent: t.Silent, Slowest: "-", PathMTU: value{"", "-"},
		Answering: value{goodIf(t.Failing == 0), fmt.Sprintf("%d/%d", t.Answering, t.Answering+t.Failing+t.Unprobed)},
	}
	if t.Kind == "next_hop" {
		r.Probed = "next hops"
	}
	if t.SlowestRTTSeconds > 0 {
		r.Slowest = admin.Took(t.SlowestRTTSeconds)
	}
	if t.PathMTU > 0 {
		r.PathMTU.Text = strconv.Itoa(t.PathMTU)
	}
	if t.Narrow > 0 {
		r.PathMTU.Class = "warning"
	}
	return r
}

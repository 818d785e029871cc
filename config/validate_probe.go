package config

import (
	"net/netip"
	"slices"
	"time"
)

// The ranges of what probes may cost. A longer timeout, or more packets, would have more probes under way than their 16
// bits of sequence number tell apart.
const (
	maxProbeInterval    = time.Hour
	minProbeTimeout     = 100 * time.Millisecond
	maxProbeTimeout     = 10 * time.Second
	maxPacketsPerSecond = 1000
	maxProbeAddresses   = 1000 // of a remote cluster
)

func (v *validator) probe(r rawProbe) Probe {
	p := Probe{
		Interval:         v.probeInterval(r.Interval),
		Timeout:          time.Second,
		PathMTU:          v.boolean(r.PathMTU, true),
		PacketsPerSecond: int(v.number(r.PacketsPerSecond, 100, 1, maxPacketsPerSecond)),
		Addresses:        ProbedAddresses(v.choice(r.Addresses, string(ProbeNone), string(ProbeFirst))),
	}
	longest := maxProbeTimeout
	if p.Interval > 0 {
		longest = min(longest, p.Interval)
	}
	if r.Timeout.absent() {
		return p
	}
	d, err := time.ParseDuration(r.Timeout.text)
	if r.Timeout.kind != kindText || err != nil || d < minProbeTimeout || d > longest {
		v.fail(r.Timeout.place, "%q is not a duration from %s to %s, with its unit, such as 500ms; it is at most probe.interval",
			r.Timeout.text, minProbeTimeout, short(longest))
		return p
	}
	p.Timeout = d
	return p
}

// probeInterval gives a duration, of which 0 switches probes off.
func (v *validator) probeInterval(s scalar) time.Duration {
	if s.absent() {
		return 0
	}
	d, err := time.ParseDuration(s.text)
	if s.kind == kindOther || err != nil || d != 0 && (d < time.Second || d > maxProbeInterval) {
		v.fail(s.place, "%q is not 0s (no probes) or a duration from 1s to %s, with its unit, such as 30s", s.text, short(maxProbeInterval))
		return 0
	}
	return d
}

// probed gives the addresses of a remote cluster that are to be probed: its pods', or those of its nodes' tunnels.
func (v *validator) probed(l list, ranges []netip.Prefix) []netip.Addr {
	v.atMost(l.place, len(l.items), maxProbeAddresses)
	return distinct(v, l.items, func(s scalar) (netip.Addr, bool) {
		a, ok := v.addr(s)
		if !ok {
			return netip.Addr{}, false
		}
		if !slices.ContainsFunc(ranges, func(p netip.Prefix) bool { return p.Contains(a) }) {
			v.fail(s.place, "%s lies in none of this cluster's podCIDRs; its nodes are probed without being listed", a)
			return netip.Addr{}, false
		}
		return a, true
	})
}

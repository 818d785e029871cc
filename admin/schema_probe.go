package admin

import (
	"net/netip"
	"time"
)

// Probe is what the ICMP probes say.
type Probe struct {
	IntervalSeconds float64       `json:"interval_seconds"`  // as configured
	RoundSeconds    float64       `json:"round_seconds"`     // what probing every target once takes: more when there are too many for the rate
	Error           string        `json:"error,omitempty"`   // why probes are not possible
	PodMTU          int           `json:"pod_mtu,omitempty"` // bytes; the largest MTU of this node's devices of pods
	Targets         []ProbeCount  `json:"targets"`           // of every cluster and kind
	Failing         []ProbeTarget `json:"failing"`           // at most MaxProbeTargets, longest failing first
	Narrow          []ProbeTarget `json:"narrow"`            // whose path MTU is below PodMTU; at most MaxProbeTargets, least first
}

// ProbeCount counts the targets of one kind in one cluster by state.
type ProbeCount struct {
	Cluster           string  `json:"cluster"`
	Kind              string  `json:"kind"` // next_hop, address
	Answering         int     `json:"answering"`
	Failing           int     `json:"failing"`
	Silent            int     `json:"silent"` // never answered, and need not
	Unprobed          int     `json:"unprobed"`
	Narrow            int     `json:"narrow"`                        // answering, and the path MTU is below PodMTU
	SlowestRTTSeconds float64 `json:"slowest_rtt_seconds,omitempty"` // of those that answer, the last of each
	PathMTU           int     `json:"path_mtu,omitempty"`            // bytes; the least of those that answer
}

// MaxProbeTargets bounds [Probe.Failing] and [Probe.Narrow].
const MaxProbeTargets = 16

// ProbeTarget is somebody who is probed.
type ProbeTarget struct {
	Cluster string     `json:"cluster"`
	Kind    string     `json:"kind"`
	Address netip.Addr `json:"address"`
	NextHop netip.Addr `json:"next_hop,omitzero"` // absent: no block holds the address
	Since   time.Time  `json:"since,omitzero"`    // of failing or not
	Reason  string     `json:"reason,omitempty"`
	PathMTU int        `json:"path_mtu,omitempty"`
}

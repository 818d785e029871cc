package admin

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routed/probe"
)

func TestProbeFrom(t *testing.T) {
	if got := ProbeFrom(probe.Status{}); got != nil {
		t.Errorf("probes are off, and shown: %+v", got)
	}
	target := func(i byte, kind probe.Kind, state probe.State, rtt time.Duration, mtu int) probe.TargetStatus {
		a := netip.AddrFrom4([4]byte{9, 111, 255, i})
		return probe.TargetStatus{
			Target: probe.Target{Addr: a, Kind: kind, Cluster: "cluster-2", NextHop: a}, State: state, Since: ago(time.Duration(i) * time.Second), RTT: rtt, MTU: mtu,
		}
	}
	s := probe.Status{
		Settings: probe.Settings{Interval: 30 * time.Second}, Round: time.Minute, PodMTU: 1480,
		Targets: []probe.TargetStatus{
			target(1, probe.Address, probe.Silent, 0, 0),
			target(2, probe.NextHop, probe.Answering, time.Millisecond, 1400),
			target(3, probe.NextHop, probe.Answering, 2*time.Millisecond, 1500),
			target(4, probe.NextHop, probe.Failing, 9*time.Millisecond, 1300),
			target(5, probe.NextHop, probe.Unprobed, 0, 0),
		},
	}
	for i := range byte(20) {
		s.Targets = append(s.Targets, target(100+i, probe.NextHop, probe.Failing, 0, 0))
	}
	got := ProbeFrom(s)
	want := []ProbeCount{
		{
			Cluster: "cluster-2", Kind: "next_hop", Answering: 2, Failing: 21, Unprobed: 1, Narrow: 1, SlowestRTTSeconds: 0.002, PathMTU: 1400,
		},
		{Cluster: "cluster-2", Kind: "address", Silent: 1},
	}
	if diff := cmp.Diff(want, got.Targets); diff != "" {
		t.Error(diff)
	}
	if n := len(got.Failing); n != MaxProbeTargets || got.Failing[0].Address != addr("9.111.255.119") {
		t.Errorf("%d are named as failing, first %v; want %d, the longest failing first", n, got.Failing[0], MaxProbeTargets)
	}
	if len(got.Narrow) != 1 || got.Narrow[0].PathMTU != 1400 {
		t.Errorf("narrow: %+v", got.Narrow)
	}
	if got.IntervalSeconds != 30 || got.RoundSeconds != 60 || got.PodMTU != 1480 {
		t.Errorf("%+v", got)
	}
}

package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"routed/config"
	"routed/peering"
	"routed/probe"
)

// probing is a configuration with probes.
func probing(t *testing.T, section string, listed ...string) *config.Config {
	t.Helper()
	text := fmt.Sprintf(rigConfig, "{addresses: ["+nodeA+"]}") + "    probeAddresses: [" + strings.Join(listed, ", ") + "]\nprobe: {" + section + "}\n"
	cfg, err := config.Parse([]byte(text), "routed.yaml", config.Env{})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func routeTo(prefix, hop string) peering.RouteChange {
	c := peering.RouteChange{Prefix: netip.MustParsePrefix(prefix), Cluster: "cluster-2"}
	if hop != "" {
		c.NextHop = netip.MustParseAddr(hop)
	}
	return c
}

func wantTargets(t *testing.T, targets *probeTargets, want ...probe.Target) {
	t.Helper()
	got := targets.all()
	slices.SortFunc(got, func(a, b probe.Target) int { return a.Addr.Compare(b.Addr) })
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("targets (-want +got):\n%s", diff)
	}
}

func hopTarget(hop string) probe.Target {
	a := netip.MustParseAddr(hop)
	return probe.Target{Addr: a, Kind: probe.NextHop, Cluster: "cluster-2", NextHop: a}
}

func addressTarget(address, hop string, guessed bool) probe.Target {
	t := probe.Target{Addr: netip.MustParseAddr(address), Kind: probe.Address, Cluster: "cluster-2", Guessed: guessed}
	if hop != "" {
		t.NextHop = netip.MustParseAddr(hop)
	}
	return t
}

// told reports whether the targets changed since it was last asked.
func told(targets *probeTargets) bool {
	select {
	case <-targets.changed:
		return true
	default:
		return false
	}
}

func noRoutes(func(peering.RouteStatus) bool) {}

// Whoever a wanted route leads to is probed, once, for as long as one does.
func TestNextHopsAreProbed(t *testing.T) {
	targets := newProbeTargets()
	targets.configure(probing(t, "interval: 30s"), noRoutes)
	told(targets)
	wantTargets(t, targets)
	targets.follows([]peering.RouteChange{routeTo("20.1.47.128/26", nodeA), routeTo("20.1.198.0/26", nodeB)})
	if !told(targets) {
		t.Error("new next hops are not told")
	}
	wantTargets(t, targets, hopTarget(nodeA), hopTarget(nodeB))
	targets.follows([]peering.RouteChange{routeTo("20.1.47.192/26", nodeA), routeTo("20.1.198.0/26", nodeB)})
	if told(targets) {
		t.Error("the same next hops are told again")
	}
	targets.follows([]peering.RouteChange{routeTo("20.1.47.128/26", "")})
	wantTargets(t, targets, hopTarget(nodeA), hopTarget(nodeB))
	targets.follows([]peering.RouteChange{routeTo("20.1.47.192/26", nodeB)})
	if !told(targets) {
		t.Error("a next hop that went is not told")
	}
	wantTargets(t, targets, hopTarget(nodeB))
}

func TestAddressesInBlocksAreProbed(t *testing.T) {
	targets := newProbeTargets()
	targets.configure(probing(t, "interval: 30s, addresses: first", "20.1.198.9", "20.1.47.128", "20.1.7.7"), noRoutes)
	targets.follows([]peering.RouteChange{
		routeTo("20.1.47.128/26", nodeA), routeTo("20.1.198.0/26", nodeB), routeTo("20.1.198.9/32", nodeA),
	})
	wantTargets(t, targets,
		hopTarget(nodeA), hopTarget(nodeB),
		addressTarget("20.1.7.7", "", false),
		addressTarget("20.1.47.128", nodeA, false), // listed, and the first of its block
		addressTarget("20.1.198.0", nodeB, true),
		addressTarget("20.1.198.9", nodeA, false), // by the narrowest route
	)
}

// Switched on while routes are wanted already, and off and on again.
func TestProbesSwitchedByAReload(t *testing.T) {
	r := newRig(t, "{hostsFile: hosts}").onHangupOnly().start()
	r.wantPeers(nodeA, nodeB)
	a := netip.MustParseAddr(nodeA)
	r.loop.feed(peering.Update{Peer: a, Session: peering.SessionUp, Families: peering.IPv4, Announce: announce(a, testBlock)})
	r.settled()
	wantTargets(t, r.targets)
	reload := func(section string) {
		t.Helper()
		r.reloaded(func() {
			r.write("routed.yaml", fmt.Sprintf(rigConfig, "{hostsFile: hosts}")+section)
			r.hangup()
		})
		if s := r.settings.status(); !s.LastReloadOK {
			t.Fatalf("refused: %s", s.LastReloadError)
		}
	}
	for range 2 {
		reload("probe: {interval: 30s, timeout: 2s}\n")
		wantTargets(t, r.targets, hopTarget(nodeA))
		reload("")
		wantTargets(t, r.targets)
	}
	reload("probe: {interval: 30s}\n")
	r.loop.feed(peering.Update{Peer: a, Withdraw: []netip.Prefix{testBlock}})
	r.settled()
	wantTargets(t, r.targets)
}

func TestCheckSaysWhatIsProbed(t *testing.T) {
	for section, want := range map[string]string{
		"interval: 0s":  "none",
		"interval: 30s": "every next hop each 30s, answers within 1s, at most 100 packets a second; the path MTU; 1 listed addresses",
		"interval: 1m0s, timeout: 200ms, pathMTU: false, addresses: first": "every next hop each 1m0s, answers within 200ms, at most 100 packets " +
			"a second; the first address of each block; 1 listed addresses",
	} {
		out := meaning(t, probing(t, section, "20.1.47.128"))
		var got string
		for line := range strings.Lines(out) {
			if rest, ok := strings.CutPrefix(line, "probes"); ok {
				got = strings.TrimSpace(rest)
			}
		}
		if got != want {
			t.Errorf("%s: %q, want %q", section, got, want)
		}
	}
}

func TestProbeSettings(t *testing.T) {
	got := probeSettings(probing(t, "interval: 30s, timeout: 2s, packetsPerSecond: 7").Probe)
	if want := (probe.Settings{Interval: 30 * time.Second, Timeout: 2 * time.Second, PathMTU: true, PacketsPerSecond: 7}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

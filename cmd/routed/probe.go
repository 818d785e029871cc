package main

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"routed/config"
	"routed/doctor"
	"routed/peering"
	"routed/probe"
)

// probeSettle is how long changes of routes gather before the prober is told: a start brings thousands.
const probeSettle = time.Second

func proberConfig(cfg *config.Config, log *slog.Logger) probe.Config {
	return probe.Config{Local: cfg.Node.Addresses(), PodDevices: doctor.PodDevices, Log: log}
}

func probeSettings(p config.Probe) probe.Settings {
	return probe.Settings{Interval: p.Interval, Timeout: p.Timeout, PathMTU: p.PathMTU, PacketsPerSecond: p.PacketsPerSecond}
}

// probeTargets works out whom to probe from the routes that are wanted. The mesh loop tells it of each that changes, and
// never waits for the network; with probes off that costs nothing.
type probeTargets struct {
	changed chan struct{} // all answers differently

	mu     sync.Mutex
	on     bool
	first  bool // the first address of each block, too
	listed map[netip.Addr]string
	routes map[netip.Prefix]way
	hops   map[way]int // how many routes lead there
}

// way is where a route leads, and to which cluster.
type way struct {
	hop     netip.Addr
	cluster string
}

func newProbeTargets() *probeTargets { return &probeTargets{changed: make(chan struct{}, 1)} }

// configure takes a configuration. routes are what is wanted now, read only when probes are on from now on.
func (t *probeTargets) configure(cfg *config.Config, routes iter.Seq[peering.RouteStatus]) {
	t.mu.Lock()
	defer t.mu.Unlock()
	was := t.on
	t.on, t.first = cfg.Probe.Interval > 0, cfg.Probe.Addresses == config.ProbeFirst
	t.listed = map[netip.Addr]string{}
	for _, r := range cfg.Remotes {
		for _, a := range r.ProbeAddresses {
			t.listed[a] = r.Name
		}
	}
	switch {
	case !t.on:
		t.routes, t.hops = nil, nil
	case !was:
		t.routes, t.hops = map[netip.Prefix]way{}, map[way]int{}
		for r := range routes {
			t.follow(peering.RouteChange{Prefix: r.Prefix, NextHop: r.NextHop, Cluster: r.Cluster})
		}
	}
	t.tell()
}

// follows takes in what changed of the wanted routes.
func (t *probeTargets) follows(changes []peering.RouteChange) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.on {
		return
	}
	matters := t.first || len(t.listed) > 0
	for _, c := range changes {
		matters = t.follow(c) || matters
	}
	if matters {
		t.tell()
	}
}

// follow takes in one change, and reports whether a next hop came or went.
func (t *probeTargets) follow(c peering.RouteChange) bool {
	now := way{c.NextHop, c.Cluster}
	before, had := t.routes[c.Prefix]
	if had && before == now {
		return false
	}
	matters := false
	if had {
		delete(t.routes, c.Prefix)
		if t.hops[before]--; t.hops[before] == 0 {
			delete(t.hops, before)
			matters = true
		}
	}
	if c.NextHop.IsValid() {
		t.routes[c.Prefix] = now
		t.hops[now]++
		matters = matters || t.hops[now] == 1
	}
	return matters
}

func (t *probeTargets) tell() {
	select {
	case t.changed <- struct{}{}:
	default:
	}
}

// all is everybody to be probed.
func (t *probeTargets) all() []probe.Target {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.on {
		return nil
	}
	var out []probe.Target
	if t.first {
		for p, w := range t.routes {
			if _, listed := t.listed[p.Addr()]; !listed && !p.IsSingleIP() {
				out = append(out, probe.Target{Addr: p.Addr(), Kind: probe.Address, Cluster: w.cluster, NextHop: w.hop, Guessed: true})
			}
		}
	}
	for a, cluster := range t.listed {
		out = append(out, probe.Target{Addr: a, Kind: probe.Address, Cluster: cluster, NextHop: t.hopTo(a)})
	}
	for w := range t.hops {
		out = append(out, probe.Target{Addr: w.hop, Kind: probe.NextHop, Cluster: w.cluster, NextHop: w.hop})
	}
	return out
}

// hopTo is the next hop of the narrowest route that holds an address; the zero Addr: none does.
func (t *probeTargets) hopTo(a netip.Addr) netip.Addr {
	for bits := a.BitLen(); bits > 0; bits-- {
		p, err := a.Prefix(bits)
		if err != nil {
			return netip.Addr{}
		}
		if w, ok := t.routes[p]; ok {
			return w.hop
		}
	}
	return netip.Addr{}
}

// feedProber hands the prober its targets as they change, until ctx ends.
func (d *daemon) feedProber(ctx context.Context) error {
	settle := time.NewTimer(0)
	settle.Stop()
	defer settle.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-d.targets.changed:
		}
		settle.Reset(probeSettle)
		select {
		case <-ctx.Done():
			return nil
		case <-settle.C:
			d.prober.SetTargets(d.targets.all())
		}
	}
}

// reprobe brings the probes of a new configuration into force. It runs in the mesh loop, which knows the routes.
func (d *daemon) reprobe(cfg *config.Config) {
	d.targets.configure(cfg, d.loop.mesh.Routes())
	d.prober.Configure(probeSettings(cfg.Probe))
}

// probeMeaning says in words what is probed.
func probeMeaning(cfg *config.Config) string {
	p := cfg.Probe
	if p.Interval == 0 {
		return "none"
	}
	listed := 0
	for _, r := range cfg.Remotes {
		listed += len(r.ProbeAddresses)
	}
	text := fmt.Sprintf("every next hop each %s, answers within %s, at most %d packets a second", p.Interval, p.Timeout, p.PacketsPerSecond)
	if p.PathMTU {
		text += "; the path MTU"
	}
	if p.Addresses == config.ProbeFirst {
		text += "; the first address of each block"
	}
	if listed > 0 {
		text += fmt.Sprintf("; %d listed addresses", listed)
	}
	return text
}

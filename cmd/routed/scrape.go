package main

import (
	"context"
	"runtime"
	"time"

	"routed/config"
	"routed/metrics"
	"routed/page"
	"routed/peering"
)

// serveMetrics serves the metrics listener until ctx ends.
func (d *daemon) serveMetrics(ctx context.Context, cfg *config.Config) error {
	build := metrics.Build{Version: version, Revision: revision, GoVersion: runtime.Version()}
	registry, err := metrics.NewRegistry(build, d.timings, metrics.NewCollector(func() (metrics.Snapshot, error) {
		return d.snapshot(ctx)
	}, metrics.Options{NoPeerLabel: !cfg.Metrics.PeerLabel}))
	if err != nil {
		return err
	}
	status, err := page.NewHandler(page.Config{Read: d.look, Within: turnWithin, Log: d.log})
	if err != nil {
		return err
	}
	return metrics.NewServer(metrics.ServerConfig{
		Listen: cfg.Metrics.Listen.String(), WebConfigFile: cfg.Metrics.WebConfigFile,
		Registry: registry, Page: status, Log: d.log,
		Healthy: func() error { return d.alive(ctx) },
		Ready:   func() error { return d.ready(ctx) },
	}).Run(ctx)
}

// snapshot is the daemon's numbers at this moment.
func (d *daemon) snapshot(ctx context.Context) (metrics.Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, turnWithin)
	defer cancel()
	mesh, err := d.meshStatus(ctx)
	if err != nil {
		return metrics.Snapshot{}, err
	}
	reload := d.settings.status()
	return metrics.Snapshot{
		Mesh:       mesh,
		Advertised: advertised(mesh),
		Kernel:     d.reconciler.Status(),
		Guard:      d.guard.Status(),
		Probe:      d.prober.Status(),
		Reload:     metrics.Reload{Successful: reload.LastReloadOK, LastSuccessAt: reload.LastSuccessAt},
		Rosters:    d.rosterNumbers(time.Now()),
		HostChecks: d.host.numbers(),
	}, nil
}

func (d *daemon) rosterNumbers(now time.Time) []metrics.Roster {
	var out []metrics.Roster
	for name, s := range d.rosters.status(now) {
		out = append(out, metrics.Roster{Cluster: name, LastSuccessAt: s.lastSuccess, Failures: s.failures})
	}
	return out
}

// advertised sums up what the nodes of each cluster are told, by family.
func advertised(mesh peering.Status) []metrics.Advertised {
	type key struct {
		cluster string
		family  peering.Families
	}
	sums := map[key]int{}
	own := map[peering.Families]int{}
	for _, b := range mesh.Own {
		own[peering.FamilyOf(b.Prefix.Addr())]++
	}
	for _, c := range mesh.Clusters {
		for _, p := range c.Peers {
			for _, f := range p.Negotiated.List() {
				if p.Up {
					sums[key{c.Name, f}] += own[f]
				}
			}
		}
	}
	out := make([]metrics.Advertised, 0, len(sums))
	for k, n := range sums {
		out = append(out, metrics.Advertised{Cluster: k.cluster, Family: k.family, Count: n})
	}
	return out
}

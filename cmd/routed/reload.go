package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"routed/config"
	"routed/peering/roster"
)

// hangups delivers SIGHUP from now on. It is called before anything else, since an unhandled SIGHUP ends a process.
func hangups() <-chan os.Signal {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	return c
}

// reloads brings into force what changes while the daemon runs, until ctx ends: the configuration and the files it
// names, at SIGHUP and when one changes, and what the APIs of remote clusters list. It is one goroutine, so that each
// change is judged against all that was before it.
func (d *daemon) reloads(ctx context.Context) error {
	defer d.rosters.wait()
	select {
	case <-d.begun:
	case <-ctx.Done():
		return nil
	}
	d.rosters.follow(ctx, d.settings.loaded().sources.apis, d.firstLists)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-d.hangups:
			d.reload(ctx, "signal")
		case <-d.files.Changed():
			d.reload(ctx, "file")
		case <-d.rosters.news:
			d.takeLists(ctx)
		}
	}
}

// reload tries what there is now, tells how it went, and watches the files that can make the next attempt go otherwise.
func (d *daemon) reload(ctx context.Context, why string) {
	d.notify.reloading()
	inForce := d.settings.loaded().files
	l, err := d.ask.load(ctx, d.path, inForce...)
	if err == nil {
		err = d.enforce(ctx, l)
	}
	watched := l.files
	if err != nil {
		watched = slices.Concat(inForce, l.files)
		d.settings.refuse(err, time.Now())
		d.log.Error("configuration not reloaded, the old one stays", "event", "reload-failed", "cause", why, "error", err)
	} else {
		r := d.settings.roster()
		d.log.Info("configuration reloaded", "event", "reloaded", "cause", why, "clusters", len(r.Clusters), "peers", len(r.Peers()))
	}
	slices.Sort(watched)
	d.files.Watch(slices.Compact(watched), l.sums)
	d.notify.ready()
}

// enforce puts a configuration in force: all of it or, when it returns an error, nothing.
func (d *daemon) enforce(ctx context.Context, l *loaded) error {
	old := d.settings.config()
	if keys := needsRestart(old, l.cfg); len(keys) > 0 {
		return fmt.Errorf("%s: changed, and cannot while routed runs; restart it", strings.Join(keys, ", "))
	}
	l.host.hops = decidedHops(old, d.settings.roster())
	apis, gone := d.rosters.inForce().split(l.sources.apis)
	if _, err := l.resolve(apis); err != nil {
		return err
	}
	apis = l.admit(d.log, apis, d.rosters.known(d.store(l.cfg), l.sources.apis))
	r, err := l.resolve(apis)
	if err != nil {
		return err
	}
	err = d.loop.do(ctx, func(now time.Time) {
		d.loop.setRetention(ctx, now, l.cfg.Mesh.Retention)
		d.loop.mesh.SetServiceCIDRs(l.cfg.Cluster.ServiceCIDRs)
		d.loop.setRoster(ctx, now, r)
		d.reprobe(l.cfg)
	})
	if err != nil {
		return err
	}
	d.level.follow(l.cfg)
	d.rosters.forget(d.store(old), gone.names())
	if old.State != l.cfg.State {
		d.rosters.keep(d.store(l.cfg), apis)
	}
	d.rosters.follow(ctx, l.sources.apis, apis)
	d.rosters.again()
	logWarnings(d.log, l.cfg, r)
	d.settings.accept(l, r, time.Now())
	return nil
}

// store is where a configuration has lists of nodes kept.
func (d *daemon) store(cfg *config.Config) roster.Store {
	return roster.Store{Dir: cfg.State.Directory}
}

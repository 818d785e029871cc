package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// hangups delivers SIGHUP from now on. It is called before anything else, since an unhandled SIGHUP ends a process.
func hangups() <-chan os.Signal {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	return c
}

// reloadOnHangup reloads the configuration at each SIGHUP until ctx ends.
func (d *daemon) reloadOnHangup(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-d.hangups:
		}
		d.notify.reloading()
		if err := d.reload(ctx); err != nil {
			d.settings.refuse(err, time.Now())
			d.log.Error("configuration not reloaded, the old one stays", "event", "reload-failed", "error", err)
		}
		d.notify.ready()
	}
}

// reload reads the configuration and the files it names, and puts the roster in force. It changes everything or, when
// it returns an error, nothing.
func (d *daemon) reload(ctx context.Context) error {
	cfg, roster, err := load(ctx, d.path)
	if err != nil {
		return err
	}
	if keys := needsRestart(d.settings.config(), cfg); len(keys) > 0 {
		return fmt.Errorf("%s: changed, but only remotes and their files can change while routed runs; restart it",
			strings.Join(keys, ", "))
	}
	err = d.loop.do(ctx, func(now time.Time) { d.loop.setRoster(ctx, now, roster) })
	if err != nil {
		return err
	}
	logWarnings(d.log, cfg, roster)
	d.settings.accept(cfg, roster, time.Now())
	d.log.Info("configuration reloaded", "event", "reloaded", "clusters", len(roster.Clusters), "peers", len(roster.Peers()))
	return nil
}

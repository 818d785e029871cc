package main

import (
	"context"
	"log/slog"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"
)

// notifier speaks sd_notify(3). Without a service manager it says nothing.
type notifier struct{ log *slog.Logger }

func (n notifier) ready()          { n.send(sd.SdNotifyReady) }
func (n notifier) stopping()       { n.send(sd.SdNotifyStopping) }
func (n notifier) status(s string) { n.send("STATUS=" + s) }
func (n notifier) reloading()      { n.send(sd.SdNotifyReloading) }
func (n notifier) send(state string) {
	if _, err := sd.SdNotify(false, state); err != nil {
		n.log.Warn("the service manager could not be told", "event", "notify-error", "error", err)
	}
}

// watch feeds the service manager's watchdog as long as alive says nil, and tells it the status line now and then.
func (n notifier) watch(ctx context.Context, alive func(context.Context) error, status func(context.Context) string) error {
	interval, err := sd.SdWatchdogEnabled(false)
	if err != nil {
		n.log.Warn("the watchdog's settings are not usable", "event", "notify-error", "error", err)
	}
	every := 5 * time.Second
	if interval > 0 {
		every = min(every, interval/3)
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	last := ""
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if s := status(ctx); s != last {
			n.status(s)
			last = s
		}
		if interval == 0 {
			continue
		}
		if err := alive(ctx); err != nil {
			n.log.Error("not feeding the watchdog", "event", "watchdog", "error", err)
			continue
		}
		n.send(sd.SdNotifyWatchdog)
	}
}

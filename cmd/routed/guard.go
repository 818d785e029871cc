package main

import (
	"context"
	"log/slog"

	"routed/config"
	"routed/guard"
	"routed/peering"
)

func guardConfig(cfg *config.Config, log *slog.Logger) guard.Config {
	return guard.Config{Mode: guard.Mode(cfg.Listen.Guard), Interval: cfg.Kernel.ResyncInterval, Log: log}
}

// guardState is who may reach the BGP port: the peers of the roster, and the local BIRD.
func guardState(cfg *config.Config, r peering.Roster) guard.State {
	s := guard.State{Port: cfg.Listen.Port, Listen: listenAddresses(cfg)}
	for _, p := range r.BIRD {
		s.BIRD = append(s.BIRD, p.Addr)
	}
	for _, c := range r.Clusters {
		for _, p := range c.Peers {
			s.Peers = append(s.Peers, guard.Peer{Addr: p.Addr, Port: p.DialPort, MaxHops: p.MaxHops})
		}
	}
	return s
}

// speakBehindGuard opens the BGP port once the guard has been tried, so that there is no moment in which the port is open
// and the guard could be there, but is not.
func (d *daemon) speakBehindGuard(ctx context.Context) error {
	select {
	case <-d.guard.Tried():
		return d.speaker.Run(ctx, d.loop.updates)
	case <-ctx.Done():
		return nil
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"routed/kernel"
	"routed/peering"
)

// turnWithin is how long a loop may take to answer before the daemon counts as stuck.
const turnWithin = 5 * time.Second

// alive reports whether the loops turn: /healthz, and what the watchdog is fed on.
func (d *daemon) alive(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, turnWithin)
	defer cancel()
	if err := d.reconciler.Ping(ctx); err != nil {
		return fmt.Errorf("the reconciler does not turn: %w", err)
	}
	if !d.reconciler.Status().Adopted {
		return nil // the mesh loop waits for that
	}
	if err := d.loop.do(ctx, func(time.Time) {}); err != nil {
		return fmt.Errorf("the mesh loop does not turn: %w", err)
	}
	return nil
}

// ready reports whether the first convergence is over: /readyz.
func (d *daemon) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, turnWithin)
	defer cancel()
	k := d.reconciler.Status()
	if !k.Adopted {
		return errNotAdopted
	}
	mesh, err := d.meshStatus(ctx)
	if err != nil {
		return err
	}
	return notReady(k, mesh)
}

var errNotAdopted = errors.New("the kernel's route table has not been read yet")

// notReady says what a daemon that has just started still waits for; nil: nothing.
func notReady(k kernel.Status, mesh peering.Status) error {
	switch {
	case !k.Adopted:
		return errNotAdopted
	case !mesh.OwnKnown:
		return errors.New("this node's own blocks are not known yet: waiting for the local BIRD")
	case !mesh.Converged:
		waiting, all := 0, 0
		for _, c := range mesh.Clusters {
			all += len(c.Peers)
			for _, p := range c.Peers {
				if !p.Up || !p.EndOfRIB.Has(p.Negotiated) {
					waiting++
				}
			}
		}
		return fmt.Errorf("the first convergence is not over: no End-of-RIB yet from %d of %d peers", waiting, all)
	}
	return nil
}

// statusLine is what the service manager shows beside the unit.
func (d *daemon) statusLine(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, turnWithin)
	defer cancel()
	s, err := d.Status(ctx)
	if err != nil {
		return "not answering: " + err.Error()
	}
	known, up, wanted, installed := 0, 0, 0, 0
	for _, c := range s.Clusters {
		known, up = known+c.NodesKnown, up+c.NodesUp
		for _, r := range c.Routes {
			wanted, installed = wanted+r.Wanted, installed+r.Installed
		}
	}
	line := fmt.Sprintf("%d of %d remote nodes up, %d of %d routes installed", up, known, installed, wanted)
	if s.NotReady != "" {
		line += "; " + s.NotReady
	}
	return line
}

package bgp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"routed/peering"
)

// ErrStopped is returned by the setters once Run has returned, and by a second Run.
var ErrStopped = errors.New("the BGP speaker has stopped")

// Speaker holds the BGP sessions of this node. Its methods are safe for concurrent use.
type Speaker struct {
	cfg      Config
	log      *slog.Logger
	sessions *sessions

	started atomic.Bool
	done    chan struct{} // closed when Run returns
	ops     chan op       // to the goroutine that owns the engine; unbuffered
	wake    chan struct{} // capacity 1: a session wants the owner's attention
	own     atomic.Pointer[advertisedCount]
}

// op is one call of a setter, done by the owner under its own context.
type op struct {
	do  func(context.Context, *engine) error
	err chan error // capacity 1: the caller may have gone
}

// NewSpeaker checks cfg. It opens nothing and starts nothing.
func NewSpeaker(cfg Config) (*Speaker, error) {
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("bgp speaker: %w", err)
	}
	cfg.Listen = slices.Clone(cfg.Listen)
	s := &Speaker{
		cfg:      cfg,
		log:      cfg.logger(),
		sessions: newSessions(),
		done:     make(chan struct{}),
		ops:      make(chan op),
		wake:     make(chan struct{}, 1),
	}
	s.own.Store(&advertisedCount{})
	return s, nil
}

// Run opens the listeners, holds the sessions and sends what the peers do to updates, in the order it happens for
// each peer, until ctx ends; then it returns nil. A receiver that is slow holds the sending back (see the package
// comment); after ctx ends nothing more is sent.
//
// At the end the connections are closed without a NOTIFICATION where the peer knows graceful restart, as if the
// process had died: a peer that holds routes of lost sessions holds ours. Other peers get Cease.
func (s *Speaker) Run(ctx context.Context, updates chan<- peering.Update) error {
	if !s.started.CompareAndSwap(false, true) {
		return fmt.Errorf("run: %w", ErrStopped)
	}
	defer close(s.done)
	e, err := startEngine(ctx, s.cfg, &watcher{sessions: s.sessions, out: updates, wake: s.wake, log: s.log})
	if err != nil {
		return err
	}
	defer e.stop(ctx)
	s.log.Info("bgp speaker started", "event", "bgp-started", "asn", s.cfg.ASN, "router_id", s.cfg.RouterID,
		"listen", s.cfg.Listen, "port", s.cfg.Port)
	s.serve(ctx, e)
	s.log.Info("bgp speaker stopped", "event", "bgp-stopped")
	return nil
}

// serve is the loop of the one goroutine that owns the engine.
func (s *Speaker) serve(ctx context.Context, e *engine) {
	due := time.NewTimer(0)
	defer due.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case o := <-s.ops:
			o.err <- o.do(ctx, e)
		case <-s.wake:
		case <-due.C:
		}
		e.attend(ctx, time.Now())
		due.Stop()
		if next := s.sessions.nextDue(); !next.IsZero() {
			due.Reset(max(time.Until(next), attendPause))
		}
	}
}

// SetPeers makes peers the full list of sessions. Sessions whose parameters did not change are left alone; a change
// of Name or Cluster touches no session, one of HoldTime the next. A peer that cannot be used is reported and skipped (its session, if it has
// one, is left as it was); the others are set all the same. It waits for Run to be ready, as long as ctx allows.
func (s *Speaker) SetPeers(ctx context.Context, peers []peering.Peer) error {
	peers = slices.Clone(peers)
	return s.do(ctx, func(ctx context.Context, e *engine) error { return e.setPeers(ctx, peers) })
}

// SetAdvertised makes blocks the full list of what is announced to the remote peers. Blocks of a family without a
// next hop in Config are left out. It waits for Run to be ready, as long as ctx allows.
func (s *Speaker) SetAdvertised(ctx context.Context, blocks []netip.Prefix) error {
	blocks = slices.Clone(blocks)
	return s.do(ctx, func(_ context.Context, e *engine) error {
		err := e.setAdvertised(blocks)
		s.own.Store(countAdvertised(e.advertised))
		return err
	})
}

func (s *Speaker) do(ctx context.Context, fn func(context.Context, *engine) error) error {
	o := op{do: fn, err: make(chan error, 1)}
	select {
	case s.ops <- o:
	case <-s.done:
		return ErrStopped
	case <-ctx.Done():
		return fmt.Errorf("bgp speaker not ready: %w", context.Cause(ctx))
	}
	select {
	case err := <-o.err:
		return err
	case <-ctx.Done():
		return fmt.Errorf("bgp speaker busy: %w", context.Cause(ctx))
	}
}

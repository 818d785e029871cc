package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/netip"
	"time"

	"routed/kernel"
	"routed/peering"
)

// speaker is what the mesh loop needs of bgp.Speaker.
type speaker interface {
	SetPeers(ctx context.Context, peers []peering.Peer) error
	SetAdvertised(ctx context.Context, blocks []netip.Prefix) error
}

// fib is what the mesh loop needs of kernel.Reconciler. None of its methods blocks.
type fib interface {
	Set(changes []kernel.Change)
	SetLookups(cidrs []netip.Prefix)
	AllowDelete()
}

// retryEvery is how soon a setter that failed at the speaker is tried again.
const retryEvery = time.Second

// errLoopEnded answers a question that came after the mesh loop had ended.
var errLoopEnded = errors.New("the daemon is shutting down")

// meshLoop owns the Mesh: the one goroutine in Run applies what happens to it and carries what it decides to the speaker
// and to the FIB. Others reach the Mesh through do.
type meshLoop struct {
	mesh    *peering.Mesh
	roster  peering.Roster
	speaker speaker
	fib     fib
	log     *slog.Logger

	onRoster func(peering.Roster)        // told of every new roster; must not block; nil: nobody
	onRoutes func([]peering.RouteChange) // told of every change of the wanted routes; likewise

	updates  chan peering.Update // from the speaker; it waits when the loop is busy
	evidence chan []netip.Prefix // this node's own blocks as the kernel shows them
	asks     chan func(now time.Time)
	ended    chan struct{}

	told         toldState
	retry        *time.Timer
	deleteOpened bool
}

// toldState is which of the speaker's setters still have to be called.
type toldState struct {
	peers      bool // SetPeers has succeeded for the present roster and phase
	advertised bool // SetAdvertised has succeeded for the present own blocks
	remotes    bool // the last SetPeers held the remote peers, not only BIRD
}

func newMeshLoop(mesh *peering.Mesh, s speaker, f fib, log *slog.Logger) *meshLoop {
	l := &meshLoop{
		mesh: mesh, speaker: s, fib: f, log: log,
		updates:  make(chan peering.Update, 1024),
		evidence: make(chan []netip.Prefix),
		asks:     make(chan func(time.Time)),
		ended:    make(chan struct{}),
		retry:    time.NewTimer(retryEvery),
	}
	l.retry.Stop()
	return l
}

// Run serves until ctx ends. The roster must have been set before.
func (l *meshLoop) Run(ctx context.Context) error {
	defer close(l.ended)
	wake := time.NewTimer(0)
	defer wake.Stop()
	defer l.retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case u := <-l.updates:
			l.act(ctx, l.mesh.Apply(time.Now(), u), u.At)
		case blocks := <-l.evidence:
			l.act(ctx, l.mesh.SetEvidence(time.Now(), blocks), time.Time{})
		case ask := <-l.asks:
			ask(time.Now())
		case <-wake.C:
			l.act(ctx, l.mesh.Tick(time.Now()), time.Time{})
		case <-l.retry.C:
		}
		l.tell(ctx)
		resetTo(wake, l.mesh.Next())
	}
}

// resetTo arms a timer for t; the zero time disarms it.
func resetTo(timer *time.Timer, t time.Time) {
	if t.IsZero() {
		timer.Stop()
		return
	}
	timer.Reset(time.Until(t))
}

// act carries out what a step of the mesh decided. arrived is when the BGP message behind it came; zero: none did.
func (l *meshLoop) act(ctx context.Context, ch peering.Changes, arrived time.Time) {
	if len(ch.Routes) > 0 {
		changes := make([]kernel.Change, len(ch.Routes))
		for i, r := range ch.Routes {
			changes[i] = kernel.Change{
				Route: kernel.Route{Prefix: r.Prefix, NextHop: r.NextHop, Group: r.Cluster},
				At:    arrived,
			}
		}
		l.fib.Set(changes)
		if l.onRoutes != nil {
			l.onRoutes(ch.Routes)
		}
	}
	if ch.OwnChanged {
		l.told.advertised = false
	}
	for _, e := range ch.Events {
		logEvent(ctx, l.log, e)
	}
	if l.mesh.Converged() && !l.deleteOpened {
		l.deleteOpened = true
		l.fib.AllowDelete()
	}
}

// tell brings the speaker up to date. Until our own blocks are known it has a session with BIRD only, so that the
// End-of-RIB that remote peers get is never a lie; then the blocks go first and the peers after them.
func (l *meshLoop) tell(ctx context.Context) {
	known := l.mesh.OwnKnown()
	if known && !l.told.advertised {
		err := l.speaker.SetAdvertised(ctx, l.mesh.OwnBlocks())
		l.told.advertised = l.settled(ctx, err, "own blocks could not be announced")
	}
	if known != l.told.remotes {
		l.told.peers = false
	}
	if l.told.peers || (known && !l.told.advertised) {
		return
	}
	peers := l.roster.BIRD
	if known {
		peers = l.roster.Peers()
	}
	err := l.speaker.SetPeers(ctx, peers)
	l.told.remotes = known
	l.told.peers = l.settled(ctx, err, "peers could not be configured")
}

// settled reports whether a setter succeeded, and otherwise logs why and arms the retry.
func (l *meshLoop) settled(ctx context.Context, err error, msg string) bool {
	if err == nil {
		return true
	}
	if ctx.Err() == nil {
		l.log.Error(msg, "event", "speaker-error", "error", err, "retry_in", retryEvery)
		l.retry.Reset(retryEvery)
	}
	return false
}

// SetRoster replaces the roster. It may be called before Run, and through do afterwards.
func (l *meshLoop) setRoster(ctx context.Context, now time.Time, r peering.Roster) {
	l.roster = r
	l.told.peers = false
	ch := l.mesh.SetRoster(now, r)
	var cidrs []netip.Prefix
	for _, c := range r.Clusters {
		cidrs = append(cidrs, c.PodCIDRs...)
	}
	l.fib.SetLookups(cidrs)
	if l.onRoster != nil {
		l.onRoster(r)
	}
	l.act(ctx, ch, time.Time{})
}

// setRetention changes how long the paths of a lost session stay. It runs in the loop, through do.
func (l *meshLoop) setRetention(ctx context.Context, now time.Time, d time.Duration) {
	l.act(ctx, l.mesh.SetRetention(now, d), time.Time{})
}

// adopt hands the routes that an earlier run left in the kernel to the mesh.
func (l *meshLoop) adopt(ctx context.Context, now time.Time, left []kernel.Route) {
	routes := make([]peering.RouteChange, len(left))
	for i, r := range left {
		routes[i] = peering.RouteChange{Prefix: r.Prefix, NextHop: r.NextHop}
	}
	l.act(ctx, l.mesh.Adopt(now, routes), time.Time{})
}

// do runs f in the loop's goroutine, where the Mesh may be read and changed, and waits for it.
func (l *meshLoop) do(ctx context.Context, f func(now time.Time)) error {
	done := make(chan struct{})
	select {
	case l.asks <- func(now time.Time) { defer close(done); f(now) }:
	case <-ctx.Done():
		return fmt.Errorf("the mesh loop did not answer: %w", ctx.Err())
	case <-l.ended:
		return errLoopEnded
	}
	<-done // the loop runs what it took
	return nil
}

// routesAtOnce is how many routes are copied in one turn of the loop: less than a millisecond.
const routesAtOnce = 2000

// routes copies all wanted routes, a piece at each turn of the loop: what happens meanwhile is not kept waiting.
func (l *meshLoop) routes(ctx context.Context) ([]peering.RouteStatus, error) {
	next, stop := iter.Pull(l.mesh.Routes())
	defer stop()
	var out []peering.RouteStatus
	piece := make([]peering.RouteStatus, 0, routesAtOnce) // out grows outside the loop
	for more := true; more; {
		piece = piece[:0]
		err := l.do(ctx, func(time.Time) {
			for len(piece) < routesAtOnce && more {
				var r peering.RouteStatus
				if r, more = next(); more {
					piece = append(piece, r)
				}
			}
		})
		if err != nil {
			return nil, err
		}
		out = append(out, piece...)
	}
	return out, nil
}

// logEvent writes one event of the mesh as one line.
func logEvent(ctx context.Context, log *slog.Logger, e peering.Event) {
	level := slog.LevelInfo
	if e.Warn {
		level = slog.LevelWarn
	}
	attrs := []slog.Attr{slog.String("event", string(e.Kind))}
	if e.Cluster != "" {
		attrs = append(attrs, slog.String("cluster", e.Cluster))
	}
	if e.Peer.IsValid() {
		attrs = append(attrs, slog.String("peer", e.Peer.String()))
	}
	if e.Prefix.IsValid() {
		attrs = append(attrs, slog.String("prefix", e.Prefix.String()))
	}
	if e.Count > 0 {
		attrs = append(attrs, slog.Int("count", e.Count))
	}
	log.LogAttrs(ctx, level, e.Detail, attrs...)
}

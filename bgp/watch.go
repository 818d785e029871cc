package bgp

import (
	"context"
	"log/slog"
	"time"

	"routed/peering"

	"github.com/osrg/gobgp/v4/pkg/apiutil"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/osrg/gobgp/v4/pkg/server"
)

// watcher turns GoBGP's events into Updates. GoBGP calls it from one goroutine, so the order per peer is kept.
type watcher struct {
	sessions *sessions
	out      chan<- peering.Update
	wake     chan<- struct{}
	unsigned func(*apiutil.WatchEventMessage_PeerEvent) bool // whether the connection of a session lacks its key
	log      *slog.Logger
}

// callbacks convert and enqueue, nothing else; they send nothing once ctx has ended.
func (w *watcher) callbacks(ctx context.Context) server.WatchEventMessageCallbacks {
	return server.WatchEventMessageCallbacks{
		OnPeerUpdate: func(ev *apiutil.WatchEventMessage_PeerEvent, at time.Time) { w.peer(ctx, ev, at) },
		OnPathUpdate: func(paths []*apiutil.Path, at time.Time) { w.paths(ctx, paths, at) },
		OnPathEor:    func(p *apiutil.Path, at time.Time) { w.endOfRIB(ctx, p, at) },
	}
}

func (w *watcher) peer(ctx context.Context, ev *apiutil.WatchEventMessage_PeerEvent, at time.Time) {
	if ev == nil || !ev.Peer.State.NeighborAddress.IsValid() { // ends GoBGP's initial list
		return
	}
	st := ev.Peer.State
	unsigned := st.SessionState == bgp.BGP_FSM_ESTABLISHED && w.sessions.hasPassword(st.NeighborAddress) && w.unsigned(ev)
	u, attention := w.sessions.changed(ev, unsigned, arrival(at))
	if u.Session != peering.SessionSame {
		w.send(ctx, u)
	}
	w.wakeIf(attention)
}

func (w *watcher) wakeIf(attention bool) {
	if !attention {
		return
	}
	select {
	case w.wake <- struct{}{}:
	default: // already awake
	}
}

// paths handles one UPDATE. What comes outside an established session is the echo of one that was just removed.
func (w *watcher) paths(ctx context.Context, paths []*apiutil.Path, at time.Time) {
	if len(paths) == 0 || paths[0] == nil {
		return
	}
	addr := paths[0].PeerAddress
	negotiated, up := w.sessions.received(addr)
	if !up {
		return
	}
	announce, withdraw := convert(paths, negotiated)
	if len(announce)+len(withdraw) == 0 {
		return
	}
	w.send(ctx, peering.Update{Peer: addr, At: arrival(at), Announce: announce, Withdraw: withdraw})
}

func (w *watcher) endOfRIB(ctx context.Context, p *apiutil.Path, at time.Time) {
	if p == nil {
		return
	}
	negotiated, up := w.sessions.received(p.PeerAddress)
	if f := familyOf(p.Family); up && f != 0 && negotiated.Has(f) {
		w.send(ctx, peering.Update{Peer: p.PeerAddress, At: arrival(at), EndOfRIB: f})
	}
}

func (w *watcher) send(ctx context.Context, u peering.Update) {
	if ctx.Err() != nil {
		return
	}
	select {
	case w.out <- u:
	case <-ctx.Done():
	}
}

// arrival is GoBGP's time of an event; it leaves it out of some.
func arrival(at time.Time) time.Time {
	if at.IsZero() {
		return time.Now()
	}
	return at
}

package bgp

import (
	"context"
	"net/netip"
	"time"

	"routed/peering"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// GoBGP's state machine has habits that the owner of the engine corrects by giving a session a fresh one:
//   - After a loss it stays Idle for 5 s, and closes what the peer dials meanwhile.
//   - In OpenConfirm it has no hold timer before the first session, in OpenSent one of 240 s: a peer that falls silent
//     there would never be heard again. A connection collision (RFC 4271 section 6.8) can end like this when each
//     side closes the connection the other one chose.
//   - It has no answer to connections that come to nothing (see intruders.go).
//
// So that collisions stay rare although both ends dial, one of them begins (dialsFirst) and the other only listens,
// until nothing has come of it for dialLate.
const (
	reviveEvery = 10 * time.Second // sooner after the last time it waits for revivePause, which damps oscillation
	revivePause = 2 * time.Second
	stuckAfter  = 4 * time.Second // in OpenSent or OpenConfirm
	dialLate    = 5 * time.Second
	attendPause = 100 * time.Millisecond // between corrections that only time asks for: one that fails is no reason to spin
	keyRetry    = 30 * time.Second       // after the kernel refused a key: somebody has to raise a limit first

	birdStuckAfter = 10 * time.Second // the event loop of BIRD 2.0 can go to sleep for a while
)

// dialsFirst tells which end of a session opens it: between daemons the lower address, towards BIRD and reflectors we do.
func dialsFirst(p peering.Peer) bool {
	return p.Role != peering.RoleRemote || p.Local.Less(p.Addr)
}

// planRevival decides when a session that left Established gets a fresh state machine.
func (s *session) planRevival(at time.Time) {
	switch {
	case s.mayIgnore() && !s.intruded.IsZero() && at.Sub(s.intruded) <= intrudersStay:
		s.ignore(at)
	case at.Sub(s.revived) >= reviveEvery:
		s.reviveAt = at
	default:
		s.reviveAt = at.Add(revivePause)
	}
}

// remedy is what a session needs at a time.
type remedy uint8

const (
	remedyNone remedy = iota
	remedyRestart
	remedyDial   // restart, and dial from now on
	remedyClose  // restart although it is established
	remedyCut    // cut the connections that the peer's address opened
	remedyGiveUp // the attempt came to nothing
)

// due is what a session needs if nothing happens to it, and when.
func (s *session) due() (remedy, time.Time) {
	left := s.since // to itself
	if s.treated.After(left) {
		left = s.treated
	}
	switch {
	case s.gone || s.up:
		return remedyNone, time.Time{}
	case s.unsigned:
		return remedyClose, left
	case s.refused.text != "":
		return remedyRestart, s.refused.at.Add(keyRetry)
	case !s.reviveAt.IsZero() && s.reviveAt.Before(s.ignoredUntil):
		return remedyDial, s.reviveAt
	case !s.reviveAt.IsZero():
		return remedyRestart, s.reviveAt
	case s.state == bgp.BGP_FSM_OPENSENT || s.state == bgp.BGP_FSM_OPENCONFIRM:
		return s.stuck(left)
	case s.state == bgp.BGP_FSM_ACTIVE && !s.dialing && s.peer.DialPort != 0:
		return remedyDial, left.Add(dialLate)
	default:
		return remedyNone, time.Time{}
	}
}

// nextDue is when the first session needs something; the zero time: none does.
func (t *sessions) nextDue() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	var next time.Time
	for _, s := range t.m {
		if r, at := s.due(); r != remedyNone && (next.IsZero() || at.Before(next)) {
			next = at
		}
		if at := s.ignoredUntil; !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	return next
}

// ailing lists the sessions that need a remedy now, and takes it as given.
func (t *sessions) ailing(now time.Time) map[netip.Addr]remedy {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out map[netip.Addr]remedy
	for addr, s := range t.m {
		r, at := s.due()
		if r == remedyNone || at.After(now) {
			continue
		}
		if out == nil {
			out = map[netip.Addr]remedy{}
		}
		out[addr] = s.take(r, now)
	}
	return out
}

// take notes that the session gets a remedy, and tells what is left to do.
func (s *session) take(r remedy, now time.Time) remedy {
	s.treated = now // the next one has to wait again
	switch r {
	case remedyCut:
		s.cut = true
		s.attempts++ // no bad luck
		return r
	case remedyGiveUp:
		s.attempts++
		if s.mayIgnore() {
			s.ignore(now)
			return remedyNone
		}
		return remedyRestart
	default:
		if !s.reviveAt.IsZero() && s.attempts == 0 {
			s.revived = now
		}
		s.reviveAt = time.Time{}
		return r
	}
}

// attend does what sessions need.
func (e *engine) attend(ctx context.Context, now time.Time) {
	for _, addr := range e.sessions.withoutHoldTime() {
		e.askHoldTime(ctx, addr)
		if err := e.adjRIBs.drop(addr); err != nil {
			e.log.WarnContext(ctx, "memory of a session not given back", "event", "adj-rib-in-kept", "peer", addr, "error", err)
		}
	}
	for addr, r := range e.sessions.ailing(now) {
		p, ok := e.peers[addr]
		if !ok || r == remedyNone || r != remedyClose && e.isEstablished(ctx, addr) {
			continue
		}
		if r == remedyCut {
			e.cut(ctx, addr)
			continue
		}
		if r == remedyClose {
			e.log.WarnContext(ctx, "connection without TCP MD5 signature closed", "event", "unsigned-connection", "peer", addr)
		}
		e.restart(ctx, p, r == remedyDial || dialsFirst(p))
	}
	e.ignoreIntruders(ctx, now)
}

// restart replaces the state machine of a session that is down by a fresh one, which listens at once.
func (e *engine) restart(ctx context.Context, p peering.Peer, dial bool) {
	if err := e.close(ctx, p.Addr); err != nil {
		e.log.Warn("session not restarted", "event", "session-restart-failed", "peer", p.Addr, "error", err)
		return
	}
	if err := e.open(ctx, p, dial); err != nil {
		delete(e.peers, p.Addr) // the next SetPeers tries again
		e.sessions.forget(p.Addr)
		e.log.Error("session not restarted", "event", "session-restart-failed", "peer", p.Addr, "error", err)
	}
}

// isEstablished asks GoBGP itself: its events may be waiting behind a slow receiver.
func (e *engine) isEstablished(ctx context.Context, addr netip.Addr) bool {
	up := false
	err := e.srv.ListPeer(ctx, &api.ListPeerRequest{Address: addr.String()}, func(p *api.Peer) {
		up = p.GetState().GetSessionState() == api.PeerState_SESSION_STATE_ESTABLISHED
	})
	return err == nil && up
}

// askHoldTime learns the hold time that was negotiated, which GoBGP's events do not carry.
func (e *engine) askHoldTime(ctx context.Context, addr netip.Addr) {
	err := e.srv.ListPeer(ctx, &api.ListPeerRequest{Address: addr.String()}, func(p *api.Peer) {
		d := time.Duration(p.GetTimers().GetState().GetNegotiatedHoldTime()) * time.Second
		e.sessions.setHoldTime(addr, d)
	})
	if err != nil {
		e.log.Debug("hold time unknown", "event", "hold-time-unknown", "peer", addr, "error", err)
	}
}

package bgp

import (
	"context"
	"net/netip"
	"time"

	"routed/peering"

	"github.com/osrg/gobgp/v4/api"
)

// BIRD 2.0's event loop can go to sleep, for up to 3 s, on top of UPDATEs that it has just queued; whatever arrives
// wakes it. That would make its first feed 3 s late, so a BIRD session that came up is nudged a few times with an
// End-of-RIB marker, which says nothing that is not so: we have no routes for it. Later the keepalives do (see
// keepalive).

// nudgeAfter is when, counted from Established, the nth nudge is sent; 0: there is none.
func nudgeAfter(n int) time.Duration {
	switch n {
	case 0:
		return 20 * time.Millisecond
	case 1:
		return 60 * time.Millisecond
	case 2:
		return 200 * time.Millisecond
	case 3:
		return 500 * time.Millisecond
	default:
		return 0
	}
}

// toNudge lists the sessions to nudge now, and takes it as done; next is how long until there is another, 0: none.
func (t *sessions) toNudge(now time.Time) (due []netip.Addr, next time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for addr, s := range t.m {
		after := nudgeAfter(s.nudged)
		if !s.up || s.gone || s.peer.Role != peering.RoleBIRD || after == 0 {
			continue
		}
		wait := s.upAt.Add(after).Sub(now)
		if wait <= 0 {
			due = append(due, addr)
			s.nudged++
			wait = time.Millisecond // for the next to be looked at
		}
		if next == 0 || wait < next {
			next = wait
		}
	}
	return due, next
}

// nudge makes GoBGP advertise what it has for the peer again: nothing but End-of-RIB.
func (e *engine) nudge(ctx context.Context, addr netip.Addr) {
	err := e.srv.ResetPeer(ctx, &api.ResetPeerRequest{
		Address: addr.String(), Soft: true, Direction: api.ResetPeerRequest_DIRECTION_OUT,
	})
	if err != nil {
		e.log.Debug("bird not nudged", "event", "nudge-failed", "peer", addr, "error", err)
	}
}

package bgp

import (
	"slices"
	"time"

	"routed/peering"
)

// Status is an immutable picture of the sessions. Taking it costs as much as there are peers and never waits for
// GoBGP.
type Status struct {
	Peers []PeerStatus // by address
}

// PeerStatus is one session.
type PeerStatus struct {
	Peer       peering.Peer
	State      string    // as RFC 4271 section 8.2.2 names it: Idle, Connect, Active, OpenSent, OpenConfirm, Established
	Since      time.Time // of State
	Negotiated peering.Families
	HoldTime   time.Duration // negotiated; 0 when not Established, and for a moment after
	Advertised int           // own prefixes the peer is told
	Updates    uint64        // UPDATE messages received since the peer was configured

	Refused     string // why it is held closed: the kernel refused its TCP MD5 key; empty: it is not
	DownReason  string // why it last left Established; empty: it never did
	DownAt      time.Time
	LastError   string // the latest trouble, also of attempts to connect: refused, NOTIFICATION, malformed message
	LastErrorAt time.Time
}

// Status tells how the sessions are.
func (s *Speaker) Status() Status {
	st := Status{Peers: s.sessions.statuses(s.own.Load())}
	slices.SortFunc(st.Peers, func(a, b PeerStatus) int { return a.Peer.Addr.Compare(b.Peer.Addr) })
	return st
}

// statuses are in no order: sorting them is not for GoBGP's goroutines to wait for.
func (t *sessions) statuses(own *advertisedCount) []PeerStatus {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]PeerStatus, 0, len(t.m))
	for _, x := range t.m {
		if x.gone {
			continue
		}
		out = append(out, PeerStatus{
			Peer: x.peer, State: stateName(x.state), Since: x.since,
			Negotiated: x.negotiated, HoldTime: x.holdTime, Updates: x.updates,
			Advertised: own.to(x.peer.Role, x.negotiated),
			Refused:    x.refused.text,
			DownReason: x.down.text, DownAt: x.down.at,
			LastError: x.last.text, LastErrorAt: x.last.at,
		})
	}
	return out
}

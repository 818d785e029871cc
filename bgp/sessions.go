package bgp

import (
	"net/netip"
	"sync"
	"time"

	"routed/peering"

	"github.com/osrg/gobgp/v4/pkg/apiutil"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// sessions is what GoBGP's events and log tell of each session. It is written by GoBGP's goroutines and the owner of
// the engine, and read by Status; nobody calls GoBGP while holding mu.
type sessions struct {
	mu sync.Mutex
	m  map[netip.Addr]*session
}

type session struct {
	peer    peering.Peer
	leaving string // why the owner removes it; cleared when GoBGP says it did
	gone    bool   // removed for good: to be forgotten then

	state      bgp.FSMState
	since      time.Time
	up         bool
	upAt       time.Time
	negotiated peering.Families
	holdTime   time.Duration // 0: not asked yet
	updates    uint64

	refused  cause     // the kernel's refusal of its key: it has no state machine
	keyFault string    // GoBGP's complaint about the key, of the present state machine
	unsigned bool      // established over a connection without the key: to be closed
	last     cause     // the latest from GoBGP's log
	fatal    cause     // the latest of those that end a session
	down     cause     // why it last left Established
	dialing  bool      // its state machine dials, not only listens
	treated  time.Time // when it last got a remedy
	reviveAt time.Time
	revived  time.Time

	attempts     int       // that came to nothing since it was last up
	cut          bool      // its connections in the present state were cut
	ignoredUntil time.Time // the listeners ignore its address; zero: they do not
	intruded     time.Time // when there was last a reason for that
}

// cause is something that went wrong, in words for people.
type cause struct {
	text  string
	at    time.Time
	fatal bool // it ends an established session
}

func newSessions() *sessions { return &sessions{m: map[netip.Addr]*session{}} }

// configure adds a peer or updates what is said of it.
func (t *sessions) configure(p peering.Peer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.m[p.Addr]
	if s == nil {
		s = &session{since: time.Now()}
		t.m[p.Addr] = s
	}
	s.peer, s.gone = p, false
}

// leave says that the owner is about to remove the session; it is forgotten when GoBGP's event comes.
func (t *sessions) leave(addr netip.Addr, why string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.m[addr]; s != nil {
		s.leaving, s.gone = why, true
	}
}

// opened says that the session has a fresh state machine.
func (t *sessions) opened(addr netip.Addr, dialing bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.m[addr]; s != nil {
		s.dialing, s.refused, s.keyFault, s.unsigned = dialing, cause{}, "", false
	}
}

func (t *sessions) isDialing(addr netip.Addr) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.m[addr]
	return s != nil && s.dialing
}

// hasPassword tells whether the session has to be signed.
func (t *sessions) hasPassword(addr netip.Addr) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.m[addr]
	return s != nil && s.peer.Password.IsSet()
}

func (t *sessions) forget(addr netip.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.m, addr)
}

// received counts an UPDATE and tells what the session has negotiated.
func (t *sessions) received(addr netip.Addr) (negotiated peering.Families, up bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.m[addr]
	if s == nil || !s.up {
		return 0, false
	}
	s.updates++
	return s.negotiated, true
}

// note keeps what GoBGP's log says went wrong.
func (t *sessions) note(addr netip.Addr, c cause) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.m[addr]; s != nil {
		s.last = c
		if c.fatal {
			s.fatal = c
		}
	}
}

// changed takes in a state change. The Update says SessionSame unless the session came up or went down; attention
// tells that the owner of the engine has something to do for it.
//
// A session that came up unsigned although its peer has a password is kept from being one.
func (t *sessions) changed(ev *apiutil.WatchEventMessage_PeerEvent, unsigned bool, at time.Time) (u peering.Update, attention bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	st := ev.Peer.State
	s := t.m[st.NeighborAddress]
	if s == nil {
		return peering.Update{}, false
	}
	u = peering.Update{Peer: st.NeighborAddress, At: at}
	removed := st.SessionState == bgp.BGP_FSM_IDLE && st.DisconnectMessage == "" // GoBGP's DeletePeer: no reason
	before := s.state
	if before != st.SessionState {
		s.state, s.since, s.cut = st.SessionState, at, false
		attention = true // it may be due for something now
	}
	switch {
	case st.SessionState == bgp.BGP_FSM_ESTABLISHED && unsigned:
		s.unsigned = true
		s.last = cause{text: "a connection without TCP MD5 signature, from before the kernel had the key", at: at}
	case st.SessionState == bgp.BGP_FSM_ESTABLISHED && !s.up:
		s.up, s.upAt, s.holdTime, s.reviveAt, s.attempts = true, at, 0, time.Time{}, 0
		s.negotiated = negotiatedFamilies(s.peer.Families, st.RemoteCap)
		u.Session, u.Families = peering.SessionUp, s.negotiated
		return u, attention
	case st.SessionState != bgp.BGP_FSM_ESTABLISHED && s.up:
		s.down = cause{text: s.downReason(st, removed), at: at}
		s.up, s.negotiated, s.holdTime = false, 0, 0
		u.Session, u.Reason = peering.SessionDown, s.down.text
		if !removed {
			s.planRevival(at)
		}
	case st.SessionState == bgp.BGP_FSM_IDLE && before != bgp.BGP_FSM_IDLE && !removed:
		s.attemptFailed(at)
	}
	if removed {
		s.leaving = ""
		if s.gone {
			delete(t.m, st.NeighborAddress)
		}
	}
	return u, attention
}

// withoutHoldTime lists the sessions that came up and whose negotiated hold time is not known yet.
func (t *sessions) withoutHoldTime() []netip.Addr {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []netip.Addr
	for addr, s := range t.m {
		if s.up && s.holdTime == 0 {
			out = append(out, addr)
		}
	}
	return out
}

func (t *sessions) setHoldTime(addr netip.Addr, d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.m[addr]; s != nil && s.up {
		s.holdTime = d
	}
}

// negotiatedFamilies is what both sides named; a peer without multiprotocol capability speaks IPv4 (RFC 4760
// section 8).
func negotiatedFamilies(ours peering.Families, remote []bgp.ParameterCapabilityInterface) peering.Families {
	var theirs peering.Families
	multiprotocol := false
	for _, c := range remote {
		if mp, ok := c.(*bgp.CapMultiProtocol); ok {
			multiprotocol = true
			theirs |= familyOf(mp.CapValue)
		}
	}
	if !multiprotocol {
		theirs = peering.IPv4
	}
	return ours & theirs
}

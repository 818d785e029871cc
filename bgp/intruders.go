package bgp

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"routed/peering"

	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"golang.org/x/sys/unix"
)

// Whoever can send from the address of a peer can open connections that come to nothing: say nothing, say half, or close at
// once, hundreds of times a second. GoBGP has one place for the connections of a peer, and after each that failed none for
// 5 s. So a connection in OpenSent that does not speak is cut; and when a second attempt has come to nothing, or one got
// stuck, the listeners ignore the peer's address for a while, in which it is up to us to dial. The peer itself is then
// found where it listens, which nobody else can do for it.
//
// Both ends can come to think so of each other. So the one that dials first ignores for longer.
const (
	muteLimit   = time.Second            // in OpenSent: what was accepted has said something (see deferAccept), and now says no more
	ignoreFirst = 6 * time.Second        // by the end that dials first
	ignoreLater = 3 * time.Second        // by the other: long enough for its dial, which takes up to 2 s
	turnAway    = 200 * time.Millisecond // in which the old state machine closes what had been accepted already

	intrudersStay = time.Minute // a session that is lost within this time does without listening from the start
)

// attemptFailed decides what comes after an attempt that came to nothing. The first can be bad luck, such as a collision. A
// peer that we cannot dial, or that is the local BIRD, is left to GoBGP's pace.
func (s *session) attemptFailed(at time.Time) {
	switch s.attempts++; {
	case !s.mayIgnore():
	case s.attempts == 1:
		s.reviveAt = at
	default:
		s.ignore(at)
	}
}

func (s *session) mayIgnore() bool { return s.peer.Role.Remote() && s.peer.DialPort != 0 }

// ignore has the listeners ignore the peer, and then a fresh state machine dial.
func (s *session) ignore(at time.Time) {
	s.reviveAt = at.Add(turnAway)
	if at.Before(s.ignoredUntil) {
		return
	}
	d := ignoreLater
	if dialsFirst(s.peer) {
		d = ignoreFirst
	}
	s.ignoredUntil, s.intruded = at.Add(d), at
	if s.last.text == "" || at.Sub(s.last.at) > ignoreFirst {
		s.last = cause{at: at, text: fmt.Sprintf("connections from its address come to nothing: not listening to it for %s, only dialling", d)}
	}
}

// ignored lists the addresses that the listeners are to ignore, sorted.
func (t *sessions) ignored(now time.Time) []netip.Addr {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []netip.Addr
	for addr, s := range t.m {
		if s.up || s.gone || !now.Before(s.ignoredUntil) {
			s.ignoredUntil = time.Time{}
			continue
		}
		out = append(out, addr)
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return out
}

// ignoreIntruders brings into force whom the listeners ignore now.
func (e *engine) ignoreIntruders(ctx context.Context, now time.Time) {
	wanted := e.sessions.ignored(now)
	if slices.Equal(wanted, e.ignored) {
		return
	}
	for _, addr := range wanted {
		if !slices.Contains(e.ignored, addr) {
			e.log.DebugContext(ctx, "not listening to a peer for a while", "event", "peer-ignored", "peer", addr)
		}
	}
	if err := e.listeners.ignore(wanted); err != nil {
		e.log.WarnContext(ctx, "listeners cannot ignore an address", "event", "peer-not-ignored", "peers", wanted, "error", err)
	}
	e.ignored = wanted
}

// ignore makes the listeners drop every packet from these addresses and from no other, by a socket filter (socket(7)). The
// connections there are have sockets of their own.
func (ls listeners) ignore(addrs []netip.Addr) error {
	for _, l := range ls {
		filter := dropFrom(l.addr.Addr().Is4(), addrs)
		if len(filter) == 0 {
			_ = unix.SetsockoptInt(l.fd, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0) // ENOENT: it had none
			continue
		}
		program := &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
		if err := unix.SetsockoptSockFprog(l.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, program); err != nil {
			return fmt.Errorf("socket filter on %s: %w", l.addr, err)
		}
	}
	return nil
}

const (
	netOffset  = 0xfff00000 // SKF_NET_OFF (include/uapi/linux/filter.h): offsets from the IP header
	maxFilter  = 256        // instructions: 127 IPv4 or 28 IPv6 addresses; they count against net.core.optmem_max, as keys do
	sourceIPv4 = 12
	sourceIPv6 = 8
)

// dropFrom is a program that drops packets of one family from any of the addresses; none: there is nothing to drop. What
// does not fit into a program is let through.
func dropFrom(is4 bool, addrs []netip.Addr) []unix.SockFilter {
	var out []unix.SockFilter
	source := uint32(netOffset + sourceIPv6)
	if is4 {
		source = netOffset + sourceIPv4
	}
	for _, a := range addrs {
		b := a.AsSlice()
		words := len(b) / 4
		if a.Is4() != is4 || len(out)+2*words+2 > maxFilter {
			continue
		}
		for i := range words {
			next := uint8(2 * (words - 1 - i)) // over the other words and the verdict
			out = append(out,
				unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: source + uint32(4*i)},
				unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: next + 1, K: binary.BigEndian.Uint32(b[4*i:])})
		}
		out = append(out, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: 0})
	}
	if len(out) == 0 {
		return nil
	}
	return append(out, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: ^uint32(0)})
}

func (e *engine) cut(ctx context.Context, peer netip.Addr) {
	if err := e.listeners.cut(peer); err != nil {
		e.log.WarnContext(ctx, "silent connection not cut", "event", "connection-not-cut", "peer", peer, "error", err)
	}
}

// cut ends the connections that the peer's address has opened to the listeners: GoBGP would wait for the rest of a message
// for as long as it likes to take, even when it has found a better connection meanwhile.
func (ls listeners) cut(peer netip.Addr) error {
	fds, err := openSockets(func(fd int) bool { return ls.accepted(fd, peer) })
	for _, fd := range fds {
		_ = unix.Shutdown(fd, unix.SHUT_RDWR) // ENOTCONN: it has ended by itself
		_ = unix.Close(fd)
	}
	if err != nil {
		return fmt.Errorf("find the connections of %s: %w", peer, err)
	}
	return nil
}

// accepted tells whether a descriptor is a connection from the peer to one of the listeners.
func (ls listeners) accepted(fd int, peer netip.Addr) bool {
	at := boundTo(fd)
	if !slices.ContainsFunc(ls, func(l listener) bool { return l.addr.Port() == at.Port() && l.isAt(at.Addr()) }) {
		return false
	}
	name, err := unix.Getpeername(fd)
	return err == nil && addrPortOf(name).Addr() == peer.WithZone("")
}

// stuck is when a state machine that waits for the peer's next message has waited enough, and what is to be done then.
func (s *session) stuck(since time.Time) (remedy, time.Time) {
	switch {
	case s.peer.Role == peering.RoleBIRD:
		return remedyRestart, since.Add(birdStuckAfter)
	case s.state == bgp.BGP_FSM_OPENSENT && !s.cut:
		return remedyCut, since.Add(muteLimit)
	default:
		return remedyGiveUp, since.Add(stuckAfter)
	}
}

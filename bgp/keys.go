package bgp

import (
	"context"
	"iter"
	"net/netip"
	"time"

	"routed/peering"
)

// TCP MD5 (RFC 2385) has to fail closed, and GoBGP does not: when the kernel refuses a key, it logs that and goes on
// without. So the key is put on the listening sockets here, before GoBGP hears of the peer, and what the kernel says
// counts; a peer whose key is refused is not configured at all. GoBGP then sets the same key once more, which changes
// nothing, and uses it when it dials, where a refusal does end the attempt. Should it complain all the same, that is a
// refusal too. What the connection of a session really has is asked when it comes up (see unsigned).

// maxPassword is TCP_MD5SIG_MAXKEYLEN (include/uapi/linux/tcp.h).
const maxPassword = 80

// protect puts the peer's key on the listening sockets. It says why the kernel did not take it; empty: it did, or there is
// none.
func (e *engine) protect(p peering.Peer) (refusal string) {
	if !p.Password.IsSet() {
		return ""
	}
	if err := e.listeners.setKey(p.Addr, p.Password); err != nil {
		return refusalWords(err, e.keys)
	}
	return ""
}

// refuse notes that a peer is held closed.
func (e *engine) refuse(ctx context.Context, p peering.Peer, why string) {
	if !e.refused[p.Addr] {
		e.log.ErrorContext(ctx, "peer held closed", "event", "peer-key-refused", "peer", p.Addr, "cluster", p.Cluster,
			"error", why, "retry", keyRetry)
	}
	e.refused[p.Addr] = true
	e.sessions.refuse(p.Addr, cause{text: why, at: time.Now()})
}

// keysOnOneSocket counts the keys of the family that has more of them.
func keysOnOneSocket(peers iter.Seq[peering.Peer]) int {
	var v4, v6 int
	for p := range peers {
		switch {
		case !p.Password.IsSet():
		case p.Addr.Is4():
			v4++
		default:
			v6++
		}
	}
	return max(v4, v6)
}

// refuse says that a session is held closed, and why.
func (t *sessions) refuse(addr netip.Addr, why cause) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.m[addr]; s != nil {
		s.refused, s.last = why, why
	}
}

// noteKeyFault keeps GoBGP's complaint that the kernel refused a key.
func (t *sessions) noteKeyFault(peer, why string) {
	addr, err := netip.ParseAddr(peer)
	if err != nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.m[addr]; s != nil {
		s.keyFault = "the kernel refused the TCP MD5 key: " + why
	}
}

// keyRefusal is that complaint since the session was opened; empty: there was none.
func (t *sessions) keyRefusal(addr netip.Addr) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.m[addr]; s != nil {
		return s.keyFault
	}
	return ""
}

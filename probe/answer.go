package probe

import (
	"net/netip"
	"time"
)

// answer is an ICMP message about an echo with our identifier.
type answer struct {
	kind   answerKind
	from   netip.Addr // who sent the message
	to     netip.Addr // whom the echo was for: of a reply who sent it, else what the message quotes
	seq    uint16
	nonce  uint64
	quoted bool // nonce is there; a message that quotes an echo may cut it off (RFC 792: 8 bytes will do)
	mtu    int  // of tooBig; 0: not said
	text   string
	at     time.Time
}

type answerKind uint8

const (
	reply       answerKind = iota
	tooBig                 // fragmentation needed and DF set (RFC 1191); Packet Too Big (RFC 4443)
	unreachable            // destination unreachable, for another reason
)

// about reports whether the answer is about an echo that was sent, as far as it can tell.
func (a answer) about(e *echo) bool {
	if a.to != e.to {
		return false
	}
	if a.kind == reply {
		return a.from == e.to && a.quoted && a.nonce == e.nonce
	}
	return !a.quoted || a.nonce == e.nonce
}

package probe

import (
	"net/netip"
	"time"
)

// echo is one packet, sent or about to be.
type echo struct {
	to    netip.Addr
	seq   uint16
	nonce uint64 // known to nobody but us and the target
	size  int    // bytes of the whole IP packet

	target *target
	search *search // that it is a step of; nil: a plain echo
	at     time.Time
	before time.Time // the answer has to come
}

// pending is what is under way, by sequence number, and in the order of sending for those that get no answer.
type pending struct {
	bySeq map[uint16]*echo
	queue []*echo
	last  uint16
}

// add gives e a sequence number that no other echo under way has: MaxPacketsPerSecond and MaxTimeout leave most unused.
func (p *pending) add(e *echo) {
	if p.bySeq == nil {
		p.bySeq = map[uint16]*echo{}
	}
	for p.last++; p.bySeq[p.last] != nil; p.last++ {
	}
	e.seq = p.last
	p.bySeq[e.seq] = e
	p.queue = append(p.queue, e)
}

// take ends the echo of a sequence number.
func (p *pending) take(e *echo) { delete(p.bySeq, e.seq) }

// overdue takes out the first echo whose time is over at now; nil: there is none.
func (p *pending) overdue(now time.Time) *echo {
	e := p.first()
	if e == nil || e.before.After(now) {
		return nil
	}
	p.take(e)
	return e
}

// first is the echo that has been under way longest; nil: nothing is.
func (p *pending) first() *echo {
	for len(p.queue) > 0 {
		if e := p.queue[0]; p.bySeq[e.seq] == e {
			return e
		}
		p.queue[0] = nil
		p.queue = p.queue[1:]
	}
	p.queue = nil
	return nil
}

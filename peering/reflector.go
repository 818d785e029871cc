package peering

import "time"

// reflectorGrace is how long the End-of-RIB of a reflector waits. A reflector that has just started says that it has told
// everything when it has told what it knows, and its own clients may be seconds behind: what is missing may only be late.
// It is longer than routed takes to dial again, and shorter than anybody minds a route too many.
const reflectorGrace = 30 * time.Second

// startGrace puts the effect of a reflector's End-of-RIB off.
func (m *Mesh) startGrace(now time.Time, p *peer) {
	if !p.graceEnd.IsZero() {
		return
	}
	p.graceEnd = now.Add(reflectorGrace)
	if m.nextDrop.IsZero() || p.graceEnd.Before(m.nextDrop) {
		m.nextDrop = p.graceEnd
	}
}

// endGrace lets the End-of-RIB of those reflectors take effect that have had their time.
func (m *Mesh) endGrace(now time.Time) {
	m.nextDrop = time.Time{}
	for _, p := range m.peers {
		switch {
		case p.graceEnd.IsZero():
		case now.Before(p.graceEnd):
			if m.nextDrop.IsZero() || p.graceEnd.Before(m.nextDrop) {
				m.nextDrop = p.graceEnd
			}
		default:
			p.graceEnd = time.Time{}
			m.dropStale(now, p, p.eor)
		}
	}
}

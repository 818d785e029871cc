package main

import (
	"net/netip"
	"time"
)

// losses counts the blocks whose route was taken from the kernel, or ceased to lead anywhere, since the monitor was last
// drained. It looks at what has been heard by now.
func (m *monitor) losses() (int, error) {
	lost := map[netip.Prefix]bool{}
	for {
		select {
		case e, open := <-m.events:
			if !open {
				return len(lost), m.err
			}
			if e.prefix.Bits() == 26 && (e.deleted || !e.leads) {
				lost[e.prefix] = true
			}
		default:
			return len(lost), nil
		}
	}
}

// How long the kernel's route events are watched: after sessions are back, and after the loss of a reflector, which takes
// others seconds to act on.
const (
	backWatch = 3 * time.Second
	lossWatch = 10 * time.Second
)

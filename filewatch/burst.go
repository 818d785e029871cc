package filewatch

import "time"

// burst decides when a row of events is over: an editor, a copy or a ConfigMap's update is several. It has no clock.
type burst struct {
	quiet  time.Duration // after the last event
	atMost time.Duration // after the first, for rows without an end

	first, last time.Time // zero: there is none
}

func (b *burst) event(now time.Time) {
	if b.first.IsZero() {
		b.first = now
	}
	b.last = now
}

// due is when the row is to be taken for over; the zero time: there is none.
func (b *burst) due() time.Time {
	if b.first.IsZero() {
		return time.Time{}
	}
	due := b.last.Add(b.quiet)
	if latest := b.first.Add(b.atMost); due.After(latest) {
		return latest
	}
	return due
}

func (b *burst) over() { b.first, b.last = time.Time{}, time.Time{} }

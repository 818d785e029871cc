package main

import (
	"testing"
	"testing/synctest"
	"time"
)

// Who asks for the status has the host looked at, but not again and again.
func TestHostIsLookedAtWhenAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHostChecks()
		for _, c := range []struct {
			name string
			do   func()
			want int
		}{
			{"before the first look", func() { h.ask(); h.ask() }, 1},
			{"right after a look", func() { h.set(nil, time.Now()); h.ask() }, 0},
			{"when the look is old", func() { <-time.After(hostAsked); h.ask() }, 1},
		} {
			c.do()
			if got := len(h.asked); got != c.want {
				t.Errorf("%s: %d looks asked for, want %d", c.name, got, c.want)
			}
			for len(h.asked) > 0 {
				<-h.asked
			}
		}
	})
}

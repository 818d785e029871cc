package probe

import (
	"testing"

	"pgregory.net/rapid"
)

// way is a path that a search can be played on.
type way struct {
	device int  // MTU of the first link
	mtu    int  // of the smallest one
	tells  bool // a router in front of the smallest says so
	silent bool // it says so without the MTU (RFC 1191 section 5)
}

// play runs a search to its end and returns how many packets left the host.
func (w way) play(s *search) (sent int) {
	for !s.done {
		switch {
		case s.size > w.device:
			s.refusedHere()
			continue
		case s.size <= w.mtu:
			s.arrived()
		case w.tells && w.silent:
			s.refused(0)
		case w.tells:
			s.refused(w.mtu)
		default:
			s.lost()
		}
		sent++
	}
	return sent
}

func TestSearch(t *testing.T) {
	for name, tc := range map[string]struct {
		way      way
		ceilings []int
		last     int
		sent     int // at most
	}{
		"the device is all":                  {way{1500, 1500, false, false}, []int{1500}, 0, 1},
		"another device is larger":           {way{1450, 1450, false, false}, []int{9000, 1500, 1450}, 0, 1},
		"a router tells":                     {way{1500, 1400, true, false}, []int{1500}, 0, 2},
		"a router tells without the MTU":     {way{1500, 1400, true, true}, []int{1500}, 0, 12},
		"a black hole":                       {way{1500, 1400, false, false}, []int{1500}, 0, 30},
		"a black hole that is still there":   {way{1500, 1400, false, false}, []int{1500}, 1400, 7},
		"a black hole that is gone":          {way{1500, 1500, false, false}, []int{1500}, 1400, 1},
		"a black hole that became narrower":  {way{9000, 1300, false, false}, []int{9000}, 1400, 45},
		"a black hole that became wider":     {way{9000, 8000, false, false}, []int{9000}, 1400, 45},
		"the device is none of those listed": {way{1480, 1480, false, false}, []int{1500}, 0, 12},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSearch(tc.ceilings, 84, tc.last)
			sent := tc.way.play(s)
			equal(t, tc.way.mtu, s.found)
			check(t, sent <= tc.sent, sent)
		})
	}
}

// A packet that is lost by chance does not make a path narrower.
func TestSearchOutlivesALoss(t *testing.T) {
	s := newSearch([]int{1500}, 84, 0)
	for range triesOfSize - 1 {
		s.lost()
	}
	s.arrived()
	check(t, s.done)
	equal(t, 1500, s.found)
}

// Whatever routers say, a search ends, within its bound, and never finds what no packet has shown.
func TestSearchEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ceilings := []int{rapid.IntRange(256, largestPacket).Draw(t, "ceiling"), 256}
		s := newSearch(ceilings, 84, rapid.IntRange(0, largestPacket).Draw(t, "last"))
		arrived, steps := map[int]bool{84: true}, 0
		for ; !s.done; steps++ {
			switch rapid.IntRange(0, 3).Draw(t, "outcome") {
			case 0:
				arrived[s.size] = true
				s.arrived()
			case 1:
				s.lost()
			case 2:
				s.refused(rapid.IntRange(-1, 2*largestPacket).Draw(t, "mtu"))
			case 3:
				s.refusedHere()
			}
		}
		check(t, steps <= stepsOfSearch, steps)
		if s.found > 0 {
			check(t, arrived[s.found], s.found)
		}
	})
}

// Of every path whose routers are of one mind the search finds the MTU exactly.
func TestSearchFindsThePathMTU(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		device := rapid.IntRange(256, largestPacket).Draw(t, "device")
		w := way{
			device: device, mtu: rapid.IntRange(84, device).Draw(t, "mtu"),
			tells: rapid.Bool().Draw(t, "tells"), silent: rapid.Bool().Draw(t, "silent"),
		}
		s := newSearch([]int{max(device, 9000), device}, 84, rapid.IntRange(0, largestPacket).Draw(t, "last"))
		if s.ceilings[0] == device {
			s.ceilings = s.ceilings[1:]
		}
		w.play(s)
		equal(t, w.mtu, s.found)
	})
}

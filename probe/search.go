package probe

// search finds the largest packet that reaches a target unfragmented (RFC 1191, RFC 8201; by the answers of the target as
// in RFC 8899). It begins at the MTU of the device, goes on at what a router on the way says, and halves the rest where
// nobody says anything (a black hole). It is pure: sizes out, outcomes in. Sizes are bytes of the whole IP packet.
type search struct {
	ceilings []int // MTUs of devices that may be the first link, largest first
	lo, hi   int   // the path MTU is at least lo, and below hi
	size     int   // being tried
	told     bool  // size is what a device or a router says, so that there is nothing to find above it
	last     int   // what an earlier search found, a good guess; 0: nothing, or used up
	tries    int   // of size, that got no answer
	steps    int
	done     bool
	found    int // when done; 0: nothing
}

const (
	// triesOfSize is how many packets of one size must be lost for it to count as too large: one can be lost by chance.
	triesOfSize = 3
	// stepsOfSearch bounds a search. Halving 65535 takes 16 sizes, each up to triesOfSize packets.
	stepsOfSearch = 64
)

// newSearch begins a search. lo is a size that is known to arrive, ceilings are not empty.
func newSearch(ceilings []int, lo, last int) *search {
	return &search{ceilings: ceilings, lo: lo, hi: ceilings[0] + 1, size: ceilings[0], told: true, last: last}
}

// step counts an outcome, and ends a search that leads nowhere.
func (s *search) step() bool {
	if s.steps++; s.steps >= stepsOfSearch {
		s.done = true
	}
	return !s.done
}

// arrived is that size was answered.
func (s *search) arrived() {
	s.lo = s.size
	if s.told {
		s.end()
		return
	}
	if s.step() {
		s.halve()
	}
}

// lost is that size got no answer.
func (s *search) lost() {
	if !s.step() {
		return
	}
	if s.tries++; s.tries < triesOfSize {
		return
	}
	s.tooLarge()
}

// refusedHere is that this host's own device is too small for size: nothing was sent.
func (s *search) refusedHere() {
	if !s.step() {
		return
	}
	for _, c := range s.ceilings {
		if c < s.size && c > s.lo {
			s.hi = s.size
			s.try(c, true)
			return
		}
	}
	s.tooLarge()
}

// refused is that a router on the way has no larger link than mtu; 0: it does not say (RFC 1191 section 5). It is
// believed as far as a packet of that size arrives.
func (s *search) refused(mtu int) {
	if !s.step() {
		return
	}
	if mtu > s.lo && mtu < s.size {
		s.hi = s.size
		s.try(mtu, true)
		return
	}
	s.tooLarge()
}

func (s *search) tooLarge() {
	s.hi = s.size
	s.halve()
}

// halve goes on between lo and hi, first where an earlier search ended: mostly nothing changed.
func (s *search) halve() {
	switch guess := s.last; {
	case s.hi-s.lo <= 1:
		s.end()
	case guess > s.lo && guess < s.hi:
		s.try(guess, false)
	case guess == s.lo:
		s.last = 0
		s.try(guess+1, false)
	default:
		s.last = 0
		s.try((s.lo+s.hi)/2, false)
	}
}

func (s *search) try(size int, told bool) { s.size, s.told, s.tries = size, told, 0 }

func (s *search) end() { s.done, s.found = true, s.lo }

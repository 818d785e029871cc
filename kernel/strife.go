package kernel

import "time"

const (
	strifeWindow = time.Second
	strifeMost   = 50          // times that a route is put back in a window
	strifeBatch  = 100         // of a larger batch nothing is counted: a storm is no strife
	strifeEvery  = time.Minute // between lines of the log
)

// strife bounds what it costs when somebody else takes a route away as often as we put it back. Two that both act on
// events would keep a core busy each, for good; a route in strife waits for the end of the window instead.
type strife struct {
	until  time.Time // the end of the window; zero: nothing is counted
	counts map[*entry]int
	held   []task
}

// note counts a repair that was one of a batch.
func (s *strife) note(t task, batch int, now time.Time) {
	if t.cause != causeDeleted && t.cause != causeChanged || batch > strifeBatch {
		return
	}
	if s.until.IsZero() {
		s.until, s.counts = now.Add(strifeWindow), make(map[*entry]int)
	}
	s.counts[t.entry]++
}

// holds keeps a task back for the end of the window when its entry has had its share.
func (s *strife) holds(t task) bool {
	if s.until.IsZero() || t.cause != causeDeleted && t.cause != causeChanged || s.counts[t.entry] < strifeMost {
		return false
	}
	s.held = append(s.held, t)
	return true
}

// truce ends the window: what was held back is looked at now.
func (l *loop) truce() {
	held := l.strife.held
	l.strife = strife{}
	if len(held) == 0 {
		return
	}
	if now := time.Now(); now.Sub(l.strifeTold) >= strifeEvery {
		l.strifeTold = now
		l.r.log.Warn("somebody takes routes away as often as they are put back", "event", "route-strife", "routes", len(held),
			"one", held[0].entry.prefix)
	}
	for _, t := range held {
		l.repairs.push(t)
	}
}

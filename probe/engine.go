package probe

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"
)

// engine is the schedule and what came of it. It is pure: the time and all that happened are arguments, and what is to be
// sent is a result.
type engine struct {
	set   Settings
	links links

	targets map[netip.Addr]*target
	jobs    jobs
	pending pending
	free    time.Time // when the next packet may be sent
	changes []change  // of states, that nobody was told of yet
}

// links is what this host's devices are good for.
type links struct {
	mtus   []int // of those that may lead to a target, largest first, each once
	podMTU int   // the largest of devices of pods; 0: there are none
}

// change is a target that turned from one state to another.
type change struct {
	target Target
	state  State
	reason string
}

// target is what the engine knows of one.
type target struct {
	Target
	state   State
	since   time.Time
	success bool
	rtt     time.Duration
	reason  string
	lost    int // in a row
	mtu     int
	mtuAt   time.Time

	echo, measure job
	search        *search // that is under way; nil: none is
}

// How often the path MTU of a target is measured again: a way changes rarely, and a search takes many packets.
const (
	measureEvery  = 10 * time.Minute
	measureRounds = 10 // and at most at every so many echoes
)

// jitter is by what share the interval varies either way, so that targets that were probed together do not stay together.
const jitter = 0.1

func newEngine() *engine { return &engine{targets: map[netip.Addr]*target{}} }

// configure changes the settings. Whoever was probed is probed again within the new interval.
func (e *engine) configure(now time.Time, set Settings) {
	if e.set == set {
		return
	}
	e.set = set
	if set.Interval <= 0 {
		e.pending = pending{}
	}
	for _, t := range e.targets {
		if set.Interval <= 0 {
			e.forget(now, t)
			continue
		}
		e.jobs.plan(&t.echo, e.spread(now))
		if !set.PathMTU {
			e.jobs.drop(&t.measure)
			t.search, t.mtu, t.mtuAt = nil, 0, time.Time{}
		} else if t.state == Answering && t.Kind == NextHop && t.measure.index < 0 && t.search == nil {
			e.jobs.plan(&t.measure, e.spread(now))
		}
	}
}

// forget makes a target one that nothing is known of.
func (e *engine) forget(now time.Time, t *target) {
	e.jobs.drop(&t.echo)
	e.jobs.drop(&t.measure)
	*t = target{Target: t.Target, state: Unprobed, since: now, echo: t.echo, measure: t.measure}
}

// spread is a random time within the next interval.
func (e *engine) spread(now time.Time) time.Time {
	return now.Add(time.Duration(rand.Float64() * float64(e.set.Interval)))
}

// setTargets replaces the targets. Those that stay keep all that is known of them, and their turn.
func (e *engine) setTargets(now time.Time, all []Target) {
	wanted := make(map[netip.Addr]Target, len(all))
	for _, t := range all {
		wanted[t.Addr] = t
	}
	maps.DeleteFunc(e.targets, func(a netip.Addr, t *target) bool {
		_, stays := wanted[a]
		if !stays {
			e.jobs.drop(&t.echo)
			e.jobs.drop(&t.measure)
		}
		return !stays
	})
	for a, w := range wanted {
		if t, known := e.targets[a]; known {
			if t.Target = w; t.state == Silent && !w.Guessed {
				t.state, t.since = Unprobed, now
			}
			continue
		}
		t := &target{Target: w, state: Unprobed, since: now}
		t.echo = job{target: t, index: -1}
		t.measure = job{target: t, search: true, index: -1}
		e.targets[a] = t
		e.jobs.plan(&t.echo, e.spread(now))
	}
}

// next is what is to be sent now, or else when to ask again; the zero time: when something changes.
func (e *engine) next(now time.Time) (*echo, time.Time) {
	j := e.jobs.first()
	if j == nil || e.set.Interval <= 0 {
		return nil, time.Time{}
	}
	if at := later(j.due, e.free); at.After(now) {
		return nil, at
	}
	out := &echo{
		to: j.target.Addr, size: echoSize(j.target.Addr), nonce: rand.Uint64(), target: j.target,
		at: now, before: now.Add(e.set.Timeout),
	}
	e.free = now.Add(e.gap())
	switch {
	case !j.search:
		e.jobs.plan(j, e.again(now))
	case e.searchStep(j.target, out):
		e.jobs.drop(j) // until the outcome is known
	default:
		e.jobs.plan(j, now.Add(lookEvery))
		return nil, e.free
	}
	e.pending.add(out)
	return out, time.Time{}
}

// gap is the least time between two packets.
func (e *engine) gap() time.Duration {
	return time.Second / time.Duration(max(e.set.PacketsPerSecond, 1))
}

// again is when a target that is probed now is probed again.
func (e *engine) again(now time.Time) time.Time {
	off := 1 + jitter*(2*rand.Float64()-1)
	return now.Add(time.Duration(off * float64(e.set.Interval)))
}

// searchStep makes out a step of the target's search, which begins if none is under way; false: it cannot.
func (e *engine) searchStep(t *target, out *echo) bool {
	if t.search == nil {
		if len(e.links.mtus) == 0 {
			return false
		}
		t.search = newSearch(e.links.mtus, echoSize(t.Addr), t.mtu)
	}
	out.search, out.size = t.search, t.search.size
	return true
}

// answered takes in an answer, and reports whether it was to something under way.
func (e *engine) answered(a answer) bool {
	out := e.pending.bySeq[a.seq]
	if out == nil || !a.about(out) || !a.at.Before(out.before) {
		return false
	}
	e.pending.take(out)
	switch {
	case !e.current(out):
	case out.search != nil:
		switch a.kind {
		case reply:
			out.search.arrived()
		case tooBig:
			out.search.refused(a.mtu)
		default:
			out.search.lost()
		}
		e.searched(a.at, out)
	case a.kind == reply:
		e.good(a.at, out.target, a.at.Sub(out.at))
	default:
		e.bad(a.at, out.target, a.text)
	}
	return true
}

// unsent takes in that out could not be sent; tooLarge: for its size.
func (e *engine) unsent(now time.Time, out *echo, err error, tooLarge bool) {
	e.pending.take(out)
	switch {
	case !e.current(out):
	case out.search == nil:
		e.bad(now, out.target, err.Error())
	case tooLarge:
		out.search.refusedHere()
		e.searched(now, out)
	default:
		out.search.lost()
		e.searched(now, out)
	}
}

// expire gives up what got no answer in time.
func (e *engine) expire(now time.Time) {
	for out := e.pending.overdue(now); out != nil; out = e.pending.overdue(now) {
		switch {
		case !e.current(out):
		case out.search != nil:
			out.search.lost()
			e.searched(now, out)
		default:
			e.bad(now, out.target, fmt.Sprintf("no answer within %s", e.set.Timeout))
		}
	}
}

// current reports whether the outcome of an echo still matters.
func (e *engine) current(out *echo) bool {
	return e.targets[out.to] == out.target && (out.search == nil || out.search == out.target.search)
}

// searched goes on with a search, or ends it.
func (e *engine) searched(now time.Time, out *echo) {
	t := out.target
	if !out.search.done {
		e.jobs.plan(&t.measure, now)
		return
	}
	t.search = nil
	if out.search.found > 0 {
		t.mtu, t.mtuAt = out.search.found, now
	}
	e.jobs.plan(&t.measure, now.Add(max(measureEvery, measureRounds*e.set.Interval)))
}

// good is that a target answered. What did not answer before may be reached another way now: its path is measured anew.
func (e *engine) good(now time.Time, t *target, rtt time.Duration) {
	t.success, t.rtt, t.reason, t.lost = true, rtt, "", 0
	if t.state == Answering {
		return
	}
	e.turn(now, t, Answering)
	if e.set.PathMTU && t.Kind == NextHop {
		e.jobs.plan(&t.measure, now)
	}
}

// bad is that a probe of a target was lost.
func (e *engine) bad(now time.Time, t *target, reason string) {
	t.success, t.reason = false, reason
	t.lost = min(t.lost+1, LostToFail)
	if t.lost < LostToFail || t.state == Failing || t.state == Silent {
		return
	}
	t.search = nil
	e.jobs.drop(&t.measure)
	if t.Guessed && t.state == Unprobed {
		e.turn(now, t, Silent)
		return
	}
	e.turn(now, t, Failing)
}

func (e *engine) turn(now time.Time, t *target, s State) {
	// That somebody answers from the start on is no news.
	if news := s == Failing || t.state == Failing; news {
		e.changes = append(e.changes, change{target: t.Target, state: s, reason: t.reason})
	}
	t.state, t.since = s, now
}

// wake is when expire has something to do; the zero time: nothing is under way.
func (e *engine) wake() time.Time {
	if out := e.pending.first(); out != nil {
		return out.before
	}
	return time.Time{}
}

// status is the picture, targets by address.
func (e *engine) status() Status {
	s := Status{Settings: e.set, Round: max(e.set.Interval, time.Duration(len(e.targets))*e.gap()), PodMTU: e.podMTU()}
	s.Targets = make([]TargetStatus, 0, len(e.targets))
	for _, t := range e.targets {
		s.Targets = append(s.Targets, t.status())
	}
	slices.SortFunc(s.Targets, func(a, b TargetStatus) int {
		return cmp.Or(cmp.Compare(a.Cluster, b.Cluster), a.Addr.Compare(b.Addr))
	})
	return s
}

// podMTU is what pods may send, where that is to be compared with anything.
func (e *engine) podMTU() int {
	if !e.set.PathMTU {
		return 0
	}
	return e.links.podMTU
}

func (t *target) status() TargetStatus {
	return TargetStatus{
		Target: t.Target, State: t.state, Since: t.since, Success: t.success, RTT: t.rtt, Reason: t.reason, MTU: t.mtu, MTUAt: t.mtuAt,
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

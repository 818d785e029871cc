package probe

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"
)

// began is when the tests of the engine begin; it has no clock of its own.
var began = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func settings() Settings {
	return Settings{Interval: 10 * time.Second, Timeout: time.Second, PathMTU: true, PacketsPerSecond: 100}
}

func node(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 9, byte(i >> 8), byte(i)}) }

func nodes(n int) []Target {
	all := make([]Target, n)
	for i := range all {
		all[i] = Target{Addr: node(i), Kind: NextHop, Cluster: "cluster-2", NextHop: node(i)}
	}
	return all
}

// world plays an engine against targets in made-up time.
type world struct {
	t    *testing.T
	e    *engine
	now  time.Time
	dead map[netip.Addr]bool
	mtu  int // of the path; larger packets vanish
	sent []*echo
}

func newWorld(t *testing.T, set Settings, all []Target) *world {
	t.Helper()
	w := &world{t: t, e: newEngine(), now: began, dead: map[netip.Addr]bool{}, mtu: 1500}
	w.e.links = links{mtus: []int{1500}, podMTU: 1480}
	w.e.configure(w.now, set)
	w.e.setTargets(w.now, all)
	return w
}

// pass plays a span of time, answers arriving 1 ms after the echo.
func (w *world) pass(span time.Duration) {
	w.t.Helper()
	var answers []answer
	for end := w.now.Add(span); ; {
		w.e.expire(w.now)
		out, next := w.e.next(w.now)
		if out != nil {
			w.sent = append(w.sent, out)
			if !w.dead[out.to] && out.size <= w.mtu {
				answers = append(answers, answerTo(out, w.now.Add(time.Millisecond)))
			}
			continue
		}
		next = sooner(next, w.e.wake())
		if len(answers) > 0 && !next.Before(answers[0].at) {
			w.now = answers[0].at
			check(w.t, w.e.answered(answers[0]))
			answers = answers[1:]
			continue
		}
		if next.IsZero() || next.After(end) {
			w.now = end
			return
		}
		check(w.t, next.After(w.now), "the engine asks to be woken now, and has nothing to do")
		w.now = next
	}
}

func answerTo(out *echo, at time.Time) answer {
	return answer{kind: reply, from: out.to, to: out.to, seq: out.seq, nonce: out.nonce, quoted: true, at: at}
}

func (w *world) of(a netip.Addr) TargetStatus {
	w.t.Helper()
	t := w.e.targets[a]
	if t == nil {
		w.t.Fatalf("%s is no target", a)
	}
	return t.status()
}

// echoes counts what was sent to each target, searches for the path MTU left out.
func (w *world) echoes() map[netip.Addr]int {
	counts := map[netip.Addr]int{}
	for _, out := range w.sent {
		if out.search == nil {
			counts[out.to]++
		}
	}
	return counts
}

func TestEveryTargetIsProbedOnceAnInterval(t *testing.T) {
	w := newWorld(t, settings(), nodes(50))
	w.pass(10 * time.Second)
	equal(t, 50, len(w.echoes()), "all were probed within the first interval")
	w.pass(90 * time.Second)
	for a, n := range w.echoes() {
		check(t, within(10, n, 2), a, n)
	}
}

// The first probes are spread over the interval: no burst at the start, nor when a thousand targets come at once.
func TestTheFirstProbesAreSpread(t *testing.T) {
	set := settings()
	set.PathMTU, set.PacketsPerSecond = false, MaxPacketsPerSecond
	w := newWorld(t, set, nodes(1000))
	for second := range 10 {
		before := len(w.sent)
		w.pass(time.Second)
		check(t, within(100, len(w.sent)-before, 60), second)
	}
}

// With more targets than the rate allows, the rate holds in every second, and everybody waits alike.
func TestTheRateHoldsAndIsFair(t *testing.T) {
	set := settings()
	set.PacketsPerSecond = 20
	w := newWorld(t, set, nodes(1000))
	equal(t, 50*time.Second, w.e.status().Round)
	for i := range 500 {
		w.dead[node(2*i)] = true
	}
	w.mtu = 1400
	w.pass(10 * time.Minute)
	gap := w.e.gap()
	for i, out := range w.sent[1:] {
		if between := out.at.Sub(w.sent[i].at); between < gap {
			t.Fatalf("packet %d came %s after the one before, and not %s", i+1, between, gap)
		}
	}
	check(t, within(20*600, len(w.sent), 20))
	least, most := 1<<30, 0
	for _, n := range w.echoes() {
		least, most = min(least, n), max(most, n)
	}
	equal(t, 1000, len(w.echoes()))
	check(t, most-least <= 2, most-least)
}

func TestATargetFailsAndAnswersAgain(t *testing.T) {
	w := newWorld(t, settings(), nodes(2))
	w.pass(11 * time.Second)
	one := w.of(node(1))
	equal(t, Answering, one.State)
	check(t, one.Success)
	equal(t, time.Millisecond, one.RTT)
	equal(t, 1500, one.MTU)
	equal(t, 0, len(w.e.changes), "that somebody answers from the start is no news")

	w.dead[node(1)] = true
	w.pass(15 * time.Second)
	one = w.of(node(1))
	equal(t, Answering, one.State, "one lost probe is no failure")
	check(t, !one.Success)
	equal(t, "no answer within 1s", one.Reason)
	w.pass(25 * time.Second)
	equal(t, Failing, w.of(node(1)).State)
	equal(t, Answering, w.of(node(0)).State)
	equal(t, 1, len(w.e.changes))
	equal(t, Failing, w.e.changes[0].state)

	delete(w.dead, node(1))
	w.pass(12 * time.Second)
	equal(t, Answering, w.of(node(1)).State)
	equal(t, 2, len(w.e.changes))
	equal(t, Answering, w.e.changes[1].state)
}

// The path MTU is measured with the first answer, again when somebody answers again, and else rarely.
func TestThePathIsMeasured(t *testing.T) {
	w := newWorld(t, settings(), nodes(1))
	searches := func() (n int) {
		for _, out := range w.sent {
			if out.search != nil {
				n++
			}
		}
		w.sent = nil
		return n
	}
	w.pass(11 * time.Second)
	equal(t, 1500, w.of(node(0)).MTU)
	equal(t, 1, searches())
	w.mtu = 1400
	w.pass(9 * time.Minute)
	equal(t, 0, searches())
	w.pass(3 * time.Minute)
	equal(t, 1400, w.of(node(0)).MTU)
	n := searches()
	check(t, n > 1 && n <= 30, n)

	w.dead[node(0)] = true
	w.pass(time.Minute)
	equal(t, 0, searches())
	w.mtu = 1500
	delete(w.dead, node(0))
	w.pass(15 * time.Second)
	equal(t, 1, searches())
	equal(t, 1500, w.of(node(0)).MTU)
}

func TestAnAddressThatNobodyNeedHave(t *testing.T) {
	all := []Target{
		{Addr: node(0), Kind: Address, Guessed: true}, {Addr: node(1), Kind: Address, Guessed: true}, {Addr: node(2), Kind: Address},
	}
	w := newWorld(t, settings(), all)
	w.dead[node(0)], w.dead[node(2)] = true, true
	w.pass(time.Minute)
	equal(t, Silent, w.of(node(0)).State)
	equal(t, Answering, w.of(node(1)).State)
	equal(t, Failing, w.of(node(2)).State)
	equal(t, 0, w.of(node(1)).MTU, "only the path to next hops is measured")

	delete(w.dead, node(0))
	w.dead[node(1)] = true
	w.pass(time.Minute)
	equal(t, Answering, w.of(node(0)).State)
	equal(t, Failing, w.of(node(1)).State, "it has answered before")
}

func TestTargetsComeAndGo(t *testing.T) {
	w := newWorld(t, settings(), nodes(3))
	w.pass(11 * time.Second)
	since := w.of(node(1)).Since
	all := nodes(5)[1:]
	all[0].Cluster = "cluster-3"
	w.e.setTargets(w.now, all)
	check(t, nil == w.e.targets[node(0)])
	equal(t, since, w.of(node(1)).Since)
	equal(t, "cluster-3", w.of(node(1)).Cluster)
	equal(t, Unprobed, w.of(node(4)).State)
	w.sent = nil
	w.pass(11 * time.Second)
	equal(t, 0, w.echoes()[node(0)])
	equal(t, 4, len(w.echoes()))

	w.e.setTargets(w.now, nil)
	equal(t, 0, len(w.e.jobs.list))
	w.sent = nil
	w.pass(time.Minute)
	equal(t, 0, len(w.sent))
}

// A target that left, with a probe under way, and came back is a new one: the old probe's outcome is not its.
func TestAnAnswerToATargetThatLeft(t *testing.T) {
	w := newWorld(t, settings(), nodes(1))
	w.dead[node(0)] = true
	for len(w.sent) == 0 {
		w.pass(100 * time.Millisecond)
	}
	w.e.setTargets(w.now, nil)
	w.e.setTargets(w.now, nodes(1))
	check(t, w.e.answered(answerTo(w.sent[0], w.now)))
	equal(t, Unprobed, w.of(node(0)).State)
}

func TestSwitchedOffAndOn(t *testing.T) {
	w := newWorld(t, settings(), nodes(3))
	w.pass(11 * time.Second)
	w.e.configure(w.now, Settings{})
	w.sent = nil
	w.pass(time.Hour)
	equal(t, 0, len(w.sent))
	equal(t, Unprobed, w.of(node(0)).State)
	set := settings()
	set.PathMTU = false
	w.e.configure(w.now, set)
	w.pass(11 * time.Second)
	equal(t, Answering, w.of(node(0)).State)
	equal(t, 0, w.of(node(0)).MTU)
	w.e.configure(w.now, settings())
	w.pass(11 * time.Second)
	equal(t, 1500, w.of(node(0)).MTU)
}

// What does not match a probe under way in everything changes nothing.
func TestForeignAndForgedAnswers(t *testing.T) {
	w := newWorld(t, settings(), nodes(1))
	w.dead[node(0)] = true
	for len(w.sent) == 0 {
		w.pass(100 * time.Millisecond)
	}
	out := w.sent[0]
	right := answerTo(out, w.now)
	for name, change := range map[string]func(*answer){
		"another sequence number":    func(a *answer) { a.seq++ },
		"another sender":             func(a *answer) { a.from = node(7) },
		"another target":             func(a *answer) { a.from, a.to = node(7), node(7) },
		"another nonce":              func(a *answer) { a.nonce++ },
		"no nonce":                   func(a *answer) { a.quoted = false },
		"too late":                   func(a *answer) { a.at = out.before },
		"unreachable, another quote": func(a *answer) { a.kind, a.nonce = unreachable, 0 },
		"unreachable, of another":    func(a *answer) { a.kind, a.to = unreachable, node(7) },
	} {
		a := right
		change(&a)
		check(t, !w.e.answered(a), name)
	}
	equal(t, Unprobed, w.of(node(0)).State)
	check(t, w.e.answered(right))
	equal(t, Answering, w.of(node(0)).State)
	check(t, !w.e.answered(right), "a second time")
}

func TestWhatCannotBeSentIsLost(t *testing.T) {
	w := newWorld(t, settings(), nodes(1))
	for range LostToFail {
		out, next := w.e.next(w.now)
		for ; out == nil; out, next = w.e.next(w.now) {
			w.now = next
		}
		w.e.unsent(w.now, out, errors.New("network is unreachable"), false)
	}
	equal(t, Failing, w.of(node(0)).State)
	equal(t, "network is unreachable", w.of(node(0)).Reason)
	check(t, w.e.wake().IsZero(), "nothing is under way")
}

func BenchmarkEngine(b *testing.B) {
	for _, n := range []int{100, 10_000} {
		b.Run(fmt.Sprintf("targets=%d", n), func(b *testing.B) {
			e, now := newEngine(), began
			set := settings()
			set.PathMTU, set.PacketsPerSecond = false, MaxPacketsPerSecond
			e.configure(now, set)
			e.setTargets(now, nodes(n))
			for b.Loop() {
				out, next := e.next(now)
				for ; out == nil; out, next = e.next(now) {
					now = next
				}
				e.answered(answerTo(out, now))
			}
		})
	}
}

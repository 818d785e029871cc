package kernel

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"
)

const (
	resyncGap  = 200 * time.Millisecond // the least time between full compares that events ask for
	doubtsMost = 8                      // times that the gap doubles

	// resyncPerRoute is the least time between full compares for each route that there is. The kernel takes 0.4 to 0.7 µs to
	// tell of a route, so that the compares of a large table take 0.04 % of a core, and never less rest than that. What may
	// have been missed is no matter of the interval: it has a compare done at once.
	resyncPerRoute = 2 * time.Millisecond
)

// dump is a dump of the table that runs beside the loop and hands it pieces.
type dump struct {
	pieces chan []FIBRoute // closed at its end
	free   chan []FIBRoute // pieces whose memory can be used again
	begun  time.Time
	edits  uint64 // of the mirror, when it began
	quick  bool   // it takes the digest only, for it to be that of the last agreement
	again  bool   // another is needed after it
	void   bool   // what it says may be of the past

	// Set when pieces is closed.
	digest Digest
	err    error
}

// agreement is what a dump and the mirror were when they said the same. As long as neither is another, they still do: so a
// full compare of a table that rests is the reading of a dump, without a look at any route.
type agreement struct {
	digest Digest
	edits  uint64
}

func (l *loop) dumpPieces() <-chan []FIBRoute {
	if l.dump == nil {
		return nil
	}
	return l.dump.pieces
}

// resyncInterval is the time between full compares that nothing else asks for, before jitter.
func (l *loop) resyncInterval() time.Duration {
	return max(l.r.cfg.ResyncInterval, time.Duration(len(l.all))*resyncPerRoute)
}

// nextResync is when the next full compare is due: when it was asked for, else after the interval.
func (l *loop) nextResync() time.Time {
	interval := l.resyncInterval()
	regular := l.lastDump.Add(interval + time.Duration(float64(interval)*l.jitter))
	if !l.resyncAt.IsZero() && l.resyncAt.Before(regular) {
		return l.resyncAt
	}
	return regular
}

// resyncBy asks for a full compare at a time at the latest.
func (l *loop) resyncBy(at time.Time) {
	if l.resyncAt.IsZero() || at.Before(l.resyncAt) {
		l.resyncAt = at
	}
}

// resyncRegularly asks for nothing but the interval, give or take a tenth, so that the nodes of a cluster do not work in
// step.
func (l *loop) resyncRegularly() {
	l.resyncAt = time.Time{}
	l.jitter = 0.2*rand.Float64() - 0.1 //nolint:gosec // no secret
}

// resyncSoon has a full compare done as soon as the last is a little while ago.
func (l *loop) resyncSoon(now time.Time) {
	at := l.lastDump.Add(resyncGap)
	if at.Before(now) {
		at = now
	}
	if l.dump != nil {
		l.dump.again = true
	}
	l.resyncBy(at)
}

// startDump begins a full compare. The dump runs in a goroutine of its own, and the loop goes on meanwhile; what it
// learns or does about a prefix from here on is newer than what the dump will say.
func (l *loop) startDump(ctx context.Context) {
	l.resyncRegularly()
	l.dumpCount++
	l.merged = nil
	d := &dump{
		pieces: make(chan []FIBRoute, 1), free: make(chan []FIBRoute, 3),
		begun: time.Now(), edits: l.edits, quick: l.agreed.edits == l.edits, again: l.twice,
	}
	l.twice = false
	l.dump = d
	yield := func(routes []FIBRoute) { d.send(ctx, append(d.buffer(), routes...)) }
	if d.quick {
		yield = nil
	}
	go func() {
		defer close(d.pieces)
		d.digest, d.err = l.r.fib.Routes(ctx, l.r.own.table, yield)
	}()
}

func (d *dump) send(ctx context.Context, routes []FIBRoute) {
	select {
	case d.pieces <- routes:
	case <-ctx.Done():
	}
}

func (d *dump) buffer() []FIBRoute {
	select {
	case b := <-d.free:
		return b[:0]
	default:
		return nil
	}
}

// onDump takes a piece of the dump, or its end.
func (l *loop) onDump(routes []FIBRoute, ok bool) {
	d := l.dump
	l.now = time.Now()
	if !ok {
		l.dump = nil
		l.lastDump = time.Now()
		l.endDump(d)
		return
	}
	l.merge(routes)
	select {
	case d.free <- routes:
	default:
	}
}

// endDump draws the conclusions of a dump. One that failed says nothing about what is missing.
func (l *loop) endDump(d *dump) {
	if d.err != nil {
		clear(l.unlike)
		l.doubtful = false
		l.dumpFails++
		if !errors.Is(d.err, ErrInterrupted) {
			l.tally.failed("dump", d.err)
			l.r.log.Warn("route table dump failed", "event", "dump-failed", "error", d.err)
		}
		l.resyncBy(l.lastDump.Add(backoff(l.dumpFails)))
		return
	}
	l.dumpFails = 0
	if d.void {
		clear(l.unlike)
		l.doubtful = false
		l.resyncSoon(l.lastDump)
		return
	}
	if !l.conclude(d) {
		return
	}
	l.tally.status.LastResync = time.Now()
	l.tally.dirty = true
	l.rulesAt = l.lastDump
	if d.again {
		l.resyncSoon(l.lastDump)
	}
	if l.r.cfg.Observer != nil {
		l.r.cfg.Observer.Reconciled(kindResync, time.Since(d.begun))
	}
}

// conclude makes the mirror what a complete dump says. It is false when a quick one did not tell, and then a thorough one
// follows at once.
func (l *loop) conclude(d *dump) bool {
	agree := l.edits == d.edits
	if d.quick {
		if agree && d.digest == l.agreed.digest {
			return true
		}
		l.agreed.edits = l.edits - 1 // of the past: the next dump is not quick
		l.resyncBy(l.lastDump)
		return false
	}
	l.mergeEnd(d.begun)
	l.settleDoubt()
	if agree && l.edits == d.edits { // nothing happened meanwhile, and the merge had nothing to do
		l.agreed = agreement{digest: d.digest, edits: l.edits}
	}
	return true
}

// merge compares a piece of a dump with the mirror. It changes nothing yet but to make entries: a prefix may come
// in several pieces.
func (l *loop) merge(routes []FIBRoute) {
	for _, r := range routes {
		if link, known := l.topology.Links[r.Device]; known && !link.Up && isIPv4(r) {
			continue // the kernel is about to drop it, without a word
		}
		e := l.following(r.Prefix)
		if e.seenIn != l.dumpCount {
			e.seenIn, e.seen = l.dumpCount, 0
		}
		differs, known := l.unlike[e]
		n := int(e.seen)
		same := n < e.have.len() && e.have.at(n) == slotOf(r)
		switch {
		case e.touched == l.dumpCount:
			l.doubtful = l.doubtful || !same
		case known:
			l.unlike[e] = append(differs, r)
		case !same:
			l.unlike[e] = append(slices.Clone(l.routes(e)[:n]), r)
		}
		e.seen++
	}
}

// following finds or makes the entry of the next prefix of a dump. A dump is told in the same order each time, so the
// entry is mostly known without a look into the map, which is what a full compare spent most of its own time on.
func (l *loop) following(p netip.Prefix) *entry {
	last := l.merged
	if last == nil || last.after == nil || last.after.dropped || last.after.prefix != p {
		e := l.entryFor(p)
		if last != nil && !last.dropped {
			last.after = e
		}
		l.merged = e
		return e
	}
	l.merged = last.after
	return last.after
}

// mergeEnd makes the mirror equal to a complete dump, and has every prefix where it was not looked at.
func (l *loop) mergeEnd(at time.Time) {
	for i := len(l.all) - 1; i >= 0; i-- { // downwards: drop moves the last into the place of the dropped
		e := l.all[i]
		if e == nil {
			continue
		}
		have, differs := l.unlike[e]
		if e.touched == l.dumpCount {
			l.doubtful = l.doubtful || differs || e.have.len() > 0 && (e.seenIn != l.dumpCount || int(e.seen) < e.have.len())
			continue
		}
		switch {
		case e.seenIn != l.dumpCount && e.have.len() > 0:
			have = nil
		case differs:
		case e.seenIn == l.dumpCount && int(e.seen) < e.have.len():
			have = slices.Clone(l.routes(e)[:e.seen])
		default:
			l.drop(e)
			continue
		}
		l.setHave(e, have)
		for _, r := range have {
			l.overlaid(r)
		}
		l.enqueue(e, causeResync, at)
	}
	clear(l.unlike)
}

// settleDoubt has another look taken when the dump and the mirror differ over a prefix that something was learned of
// or done about meanwhile. The mirror is newer in that one thing, but the dump may have told of another, whose event
// was lost. Something that changes all the time would have us look all the time, so the looks become rarer.
func (l *loop) settleDoubt() {
	if !l.doubtful {
		l.doubts = 0
		return
	}
	l.doubtful = false
	l.resyncBy(l.lastDump.Add(resyncGap << min(l.doubts, doubtsMost)))
	l.doubts++
}

package kernel

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// batch is the work of one turn: operations and whose they are.
type batch struct {
	puts, removes         []Op
	putTasks, removeTasks []task
	failed                int
	firstFailure          error
}

func (b *batch) reset() {
	*b = batch{
		puts: b.puts[:0], removes: b.removes[:0],
		putTasks: b.putTasks[:0], removeTasks: b.removeTasks[:0],
	}
}

// work does one batch of the most urgent queue, and says whether there was any.
func (l *loop) work() bool {
	q, kind := l.nextQueue()
	if q == nil {
		return false
	}
	l.repaired = q == &l.repairs
	begin := time.Now()
	l.batch.reset()
	for _, t := range q.pop(workBatch) {
		t.entry.queued = false
		l.plan(t)
		if !t.at.IsZero() && kind == kindRepair && t.at.Before(begin) {
			begin = t.at
		}
	}
	if l.apply() && l.r.cfg.Observer != nil {
		l.r.cfg.Observer.Reconciled(kind, time.Since(begin))
	}
	return true
}

// The kinds of work an Observer is told of.
const (
	kindChange = "change"
	kindRepair = "repair"
	kindResync = "resync"
)

// nextQueue is the most urgent queue. Where somebody keeps us repairing, every other turn is for the rest.
func (l *loop) nextQueue() (*queue, string) {
	others := !l.changes.empty() || !l.removals.empty()
	switch {
	case !l.repairs.empty() && (!l.repaired || !others):
		return &l.repairs, kindRepair
	case !l.changes.empty():
		return &l.changes, kindChange
	case !l.removals.empty():
		return &l.removals, kindChange
	}
	return nil, ""
}

// plan compares one entry and notes what has to be done about it.
func (l *loop) plan(t task) {
	e := t.entry
	var want *FIBRoute
	if e.wanted() {
		if e.hop.way.reason != "" || familyOf(e.prefix) != familyOfAddr(e.hop.addr) {
			l.setState(e, StateUnresolved) // what the table has is left as it is
			return
		}
		target := l.r.own.target(e.prefix, e.hop.addr, e.hop.way)
		want = &target
	}
	s := l.r.own.diff(want, l.routes(e), !l.deletes)
	switch {
	case s.puts:
		put := l.op(s.put, *want)
		put.Old = s.holder
		l.batch.puts = append(l.batch.puts, put)
		l.batch.putTasks = append(l.batch.putTasks, t)
	case want != nil:
		l.settled(e, s.state)
	}
	for _, r := range s.deletes {
		l.batch.removes = append(l.batch.removes, l.op(OpDeleteRoute, r))
		l.batch.removeTasks = append(l.batch.removeTasks, t)
	}
	if !s.puts && len(s.deletes) == 0 {
		l.forgive(e)
		l.drop(e)
	}
}

func (l *loop) op(kind OpKind, r FIBRoute) Op {
	return Op{Kind: kind, Table: l.r.own.table, Route: r, DeviceName: l.topology.DeviceName(r.Device)}
}

// forgive forgets the failures of an entry. It is for when nothing is left to do about it, or what failed succeeded: while one
// of several deletes fails, the success of another says nothing.
func (l *loop) forgive(e *entry) {
	e.fail = nil
	delete(l.failing, e)
}

// settled notes the state of a wanted route that needs nothing done.
func (l *loop) settled(e *entry, s State) {
	if s == StateInstalled {
		if !e.placed {
			l.suspect(e, probe(e.prefix, 0))
		}
		e.placed = true
		if e.state == StateShadowed {
			return // until a lookup says otherwise
		}
	}
	l.setState(e, s)
}

// apply does a planned batch, adds before deletes, and says whether there was anything to do.
func (l *loop) apply() bool {
	b := &l.batch
	puts := len(b.puts)
	b.puts = append(b.puts, b.removes...)
	b.putTasks = append(b.putTasks, b.removeTasks...)
	if len(b.puts) == 0 {
		return false
	}
	errs := l.r.fib.Apply(b.puts)
	now := time.Now()
	for i, op := range b.puts {
		if i < puts {
			l.afterPut(b.putTasks[i], op, errs[i], now)
		} else {
			l.afterDelete(b.putTasks[i], op, errs[i], now)
		}
	}
	if b.failed > 0 {
		l.r.log.Warn("route changes failed", "event", "kernel-refused", "failed", b.failed, "of", len(b.puts),
			"error", b.firstFailure)
	}
	return true
}

func (l *loop) afterPut(t task, op Op, err error, now time.Time) {
	e := t.entry
	if err != nil {
		l.putFailed(t, op, err, now)
		return
	}
	mode := putFirst
	if op.Kind == OpReplaceRoute {
		mode = putReplace
	}
	l.edit(e, func(have []FIBRoute) []FIBRoute { return put(have, op.Route, mode) })
	l.tally.did(op.Kind)
	if e.placed && t.cause != causeChange {
		l.tally.repaired(t.cause)
		l.journal.note(e.prefix, now)
		l.strife.note(t, len(l.batch.puts), now)
	}
	if t.cause == causeChange && !t.at.IsZero() && l.r.cfg.Observer != nil {
		l.r.cfg.Observer.Converged(now.Sub(t.at))
	}
	l.forgive(e)
	l.settled(e, StateInstalled)
}

func (l *loop) putFailed(t task, op Op, err error, now time.Time) {
	e := t.entry
	if errors.Is(err, unix.EEXIST) || errors.Is(err, ErrUnknownOutcome) {
		l.resyncSoon(now) // look who is there
	}
	l.failed(e, op, err, now)
	l.setState(e, StateUnresolved)
}

func (l *loop) afterDelete(t task, op Op, err error, now time.Time) {
	e := t.entry
	gone := isGone(err)
	if err != nil && !gone {
		if errors.Is(err, ErrUnknownOutcome) {
			l.resyncSoon(now)
		}
		l.failed(e, op, err, now)
		return
	}
	l.edit(e, func(have []FIBRoute) []FIBRoute {
		have, _ = take(have, op.Route)
		return have
	})
	if !gone {
		l.tally.did(op.Kind)
	}
	l.drop(e)
}

// failed counts a failure and has the operation tried again later.
func (l *loop) failed(e *entry, op Op, err error, now time.Time) {
	l.batch.failed++
	if l.batch.firstFailure == nil {
		l.batch.firstFailure = fmt.Errorf("%s: %w", op, err)
	}
	l.tally.failed(op.Kind.String(), err)
	if e.fail == nil {
		e.fail = &failure{}
	}
	e.fail.err = err
	e.fail.times++
	e.fail.next = now.Add(backoff(e.fail.times))
	l.failing[e] = struct{}{}
	if l.retryAt.IsZero() || e.fail.next.Before(l.retryAt) {
		l.retryAt = e.fail.next
	}
}

// retryFailing has the failed entries whose time has come looked at again.
func (l *loop) retryFailing(now time.Time) {
	l.retryAt = time.Time{}
	for e := range l.failing {
		if !e.fail.next.After(now) {
			l.enqueue(e, causeChange, time.Time{})
			e.fail.next = now.Add(backoff(e.fail.times + 1))
		}
		if l.retryAt.IsZero() || e.fail.next.Before(l.retryAt) {
			l.retryAt = e.fail.next
		}
	}
}

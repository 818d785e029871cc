package kernel

import "time"

// cause is why an entry has to be looked at.
type cause uint8

const (
	causeChange  cause = iota // what is wanted changed, or a failed operation is tried again
	causeDeleted              // the rest are repairs
	causeChanged
	causeLink
	causeResync
	causeRule
)

// task is one entry to look at.
type task struct {
	entry *entry
	cause cause
	at    time.Time // when the change arrived, or the event was read; zero: nobody measures
}

// queue is a first-in-first-out of tasks. An entry is in at most one queue, once.
type queue struct {
	tasks []task
	next  int
}

func (q *queue) empty() bool { return q.next == len(q.tasks) }

func (q *queue) push(t task) {
	if q.next > queueKeeps && q.next > len(q.tasks)/2 {
		q.tasks = q.tasks[:copy(q.tasks, q.tasks[q.next:])]
		q.next = 0
	}
	q.tasks = append(q.tasks, t)
}

// pop takes up to n tasks. They are valid until the next push.
func (q *queue) pop(n int) []task {
	from := q.next
	q.next = min(from+n, len(q.tasks))
	taken := q.tasks[from:q.next]
	if q.empty() {
		q.tasks, q.next = q.tasks[:0], 0
		if cap(q.tasks) > queueKeeps {
			q.tasks = nil // a burst's memory is not kept
		}
	}
	return taken
}

const queueKeeps = 4096

// enqueue has an entry looked at. Repairs come first, then changes; entries that nobody wants come last, so that
// what replaces a route is there before it goes.
func (l *loop) enqueue(e *entry, c cause, at time.Time) {
	if e.queued {
		return
	}
	if !e.wanted() && (!l.deletes || e.have.len() == 0) {
		l.drop(e) // there is nothing to do about it
		return
	}
	e.queued = true
	t := task{entry: e, cause: c, at: at}
	switch {
	case l.strife.holds(t):
		l.setState(e, StateMissing)
	case !e.wanted():
		l.removals.push(t)
	case c == causeChange:
		l.changes.push(t)
	default:
		l.repairs.push(t)
	}
}

package kernel

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const stateCount = int(StateShadowed) + 1

// Status is how things stand. It is immutable.
type Status struct {
	Adopted        bool          // the table was dumped for the first time
	AdoptedRoutes  int           // how many routes of an earlier run were there then
	DeletesAllowed bool          // AllowDelete took effect
	Routes         []GroupStatus // sorted by group and family; groups without a wanted route count zero
	RulesWanted    int
	RulesPresent   int
	LastResync     time.Time     // the end of the last full compare that succeeded
	ResyncInterval time.Duration // from there to the next one, give or take a tenth
	LastError      string
	LastErrorAt    time.Time
	Repairs        Repairs
	Changes        Changes
	Errors         []ErrorCount // sorted by operation and errno
	Overruns       uint64       // times that events were lost
}

// GroupStatus counts the wanted routes of one group and family by state.
type GroupStatus struct {
	Group  string
	IPv6   bool
	Wanted int
	States [stateCount]int // indexed by State
}

// Count is the number of routes in a state.
func (g GroupStatus) Count(s State) int { return g.States[s] }

// Repairs counts what was put back, by what took it away.
type Repairs struct {
	Deleted uint64 // somebody deleted the route
	Changed uint64 // somebody replaced or altered it
	Link    uint64 // a link or address went and came back
	Resync  uint64 // a full compare found it missing or different
	Rule    uint64 // a rule was gone
}

// Changes counts successful operations on routes.
type Changes struct{ Add, Replace, Delete uint64 }

// ErrorCount counts failures of one operation with one errno.
type ErrorCount struct {
	Op    string // an OpKind, or dump, watch, rules
	Errno string // its symbol (EINVAL …), or "other"
	Count uint64
}

// Status returns how things stood when the loop last came to rest or ended a batch. It costs nothing.
func (r *Reconciler) Status() Status { return *r.status.Load() }

// tally is the loop's own count of what happened.
type tally struct {
	status Status // everything but Routes and Errors
	errors map[errorKey]uint64
	dirty  bool // not published yet
}

type errorKey struct{ op, errno string }

func (t *tally) failed(op string, err error) {
	t.errors[errorKey{op, errnoName(err)}]++
	t.status.LastError, t.status.LastErrorAt = op+": "+err.Error(), time.Now()
	t.status.Errors = nil // rebuilt when published; what was published is not touched
	t.dirty = true
}

func errnoName(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		if name := unix.ErrnoName(errno); name != "" {
			return name
		}
	}
	return "other"
}

func (t *tally) repaired(c cause) {
	switch c {
	case causeDeleted:
		t.status.Repairs.Deleted++
	case causeChanged:
		t.status.Repairs.Changed++
	case causeLink:
		t.status.Repairs.Link++
	case causeResync:
		t.status.Repairs.Resync++
	case causeRule:
		t.status.Repairs.Rule++
	case causeChange:
	}
	t.dirty = true
}

func (t *tally) did(k OpKind) {
	switch k {
	case OpAddRoute:
		t.status.Changes.Add++
	case OpReplaceRoute:
		t.status.Changes.Replace++
	case OpDeleteRoute:
		t.status.Changes.Delete++
	case OpAddRule, OpDeleteRule:
	}
	t.dirty = true
}

// publish makes the loop's counts visible, when they changed.
func (l *loop) publish() {
	if !l.tally.dirty {
		return
	}
	l.tally.dirty = false
	if l.tally.status.Errors == nil {
		l.tally.status.Errors = l.tally.errorCounts()
	}
	s := l.tally.status
	s.ResyncInterval = l.resyncInterval()
	s.Routes = l.groupCounts()
	l.r.status.Store(&s)
}

func (t *tally) errorCounts() []ErrorCount {
	counts := make([]ErrorCount, 0, len(t.errors))
	for k, n := range t.errors {
		counts = append(counts, ErrorCount{Op: k.op, Errno: k.errno, Count: n})
	}
	slices.SortFunc(counts, func(a, b ErrorCount) int {
		return cmp.Or(cmp.Compare(a.Op, b.Op), cmp.Compare(a.Errno, b.Errno))
	})
	return counts
}

func (l *loop) groupCounts() []GroupStatus {
	counts := make([]GroupStatus, 0, 2*len(l.groups))
	for _, name := range slices.Sorted(maps.Keys(l.groups)) {
		g := l.groups[name]
		for family, used := range g.used {
			if !used {
				continue
			}
			s := GroupStatus{Group: name, IPv6: family == 1, States: g.states[family]}
			for _, n := range s.States {
				s.Wanted += n
			}
			counts = append(counts, s)
		}
	}
	return counts
}

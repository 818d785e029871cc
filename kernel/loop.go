package kernel

import (
	"context"
	"errors"
	"net/netip"
	"time"
)

const (
	workBatch   = 500 // entries looked at before events are read again: about 2 ms of the kernel's time
	startTries  = 20  // for a dump that the kernel interrupts
	rewatchWait = time.Second
)

// loop is the state of a running Reconciler. One goroutine, Run's, owns all of it.
type loop struct {
	r        *Reconciler
	now      time.Time      // when this turn began, or the loop awoke
	events   <-chan []Event // nil: the subscription is lost
	topology Topology

	entries  map[netip.Prefix]*entry
	all      []*entry // the same, in an order that can be walked in pieces
	holes    bool     // all has nil entries
	hops     map[netip.Addr]*hop
	lastHop  *hop // that was asked for; it counts as long as it has users
	groups   map[string]*group
	riding   map[int32]int // how many routes of the table leave by a device
	failing  map[*entry]struct{}
	shadowed map[*entry]shadow
	listed   []FIBRoute // by routes

	repairs, changes, removals queue
	repaired                   bool // the last turn's work were repairs
	strife                     strife
	strifeTold                 time.Time // in the log
	journal                    journal

	incoming    [][]Change // taken from the inbox, not yet taken up
	after       inbox      // what came with them, and counts when they are done
	deletes     bool       // AllowDelete
	rulesWanted []netip.Prefix
	rulesSet    bool // SetLookups was called
	ruleFails   int

	edits     uint64    // of what the mirror says of the table
	agreed    agreement // the last between a dump and the mirror
	dumpCount uint32    // of the dump that runs or ran last
	dump      *dump     // that runs; nil: none does
	dumpFails int
	lastDump  time.Time
	jitter    float64               // of the time to the next dump, as a share
	unlike    map[*entry][]FIBRoute // where the running dump differs from the mirror: what it says
	merged    *entry                // that the running dump told of last
	doubtful  bool                  // it differs where something was learned or done meanwhile
	doubts    int                   // dumps in a row that ended so
	twice     bool                  // the next dump may come too early, and needs another after it

	verifier verifier

	resyncAt, retryAt, rulesAt, rewatchAt, topologyAt time.Time // zero: not due

	walking []*walk
	tally   tally
	batch   batch
}

func newLoop(r *Reconciler) *loop {
	return &loop{
		r:        r,
		entries:  make(map[netip.Prefix]*entry),
		hops:     make(map[netip.Addr]*hop),
		groups:   make(map[string]*group),
		riding:   make(map[int32]int),
		failing:  make(map[*entry]struct{}),
		shadowed: make(map[*entry]shadow),
		unlike:   make(map[*entry][]FIBRoute),
		tally:    tally{errors: make(map[errorKey]uint64)},
	}
}

// close waits for the goroutines that ended with Run's context.
func (l *loop) close() {
	if l.events != nil {
		drain(l.events)
	}
	if l.dump != nil {
		drain(l.dump.pieces)
	}
}

// drain reads a channel until its sender, which is about to end, closes it.
func drain[T any](c <-chan T) {
	for {
		if _, open := <-c; !open {
			return
		}
	}
}

// start subscribes and then adopts what the kernel has.
func (l *loop) start(ctx context.Context) error {
	events, err := l.r.fib.Watch(ctx, l.r.own.table)
	if err != nil {
		return err
	}
	l.events = events
	if err := l.readTopology(ctx); err != nil {
		return err
	}
	if err := l.adopt(ctx); err != nil {
		return err
	}
	if _, err := l.readRules(ctx); err != nil {
		return err
	}
	l.r.adoptedRoutes = l.ownRoutes()
	l.tally.status.AdoptedRoutes = len(l.r.adoptedRoutes)
	l.tally.status.Adopted = true
	l.tally.status.LastResync = time.Now()
	l.tally.dirty = true
	l.lastDump = time.Now()
	l.resyncRegularly()
	l.publish()
	close(l.r.adopted)
	l.r.log.Info("route table adopted", "event", "adopted", "routes", len(l.r.adoptedRoutes))
	return nil
}

// adopt reads the whole table into the mirror.
func (l *loop) adopt(ctx context.Context) error {
	for try := 1; ; try++ {
		l.dumpCount++
		clear(l.unlike)
		l.merged, l.doubtful = nil, false
		digest, err := l.r.fib.Routes(ctx, l.r.own.table, l.merge)
		if err == nil {
			l.mergeEnd(time.Time{})
			l.agreed = agreement{digest: digest, edits: l.edits}
			return nil
		}
		if !errors.Is(err, ErrInterrupted) || try == startTries {
			return err
		}
	}
}

// ownRoutes lists the routes of ours that lead somewhere.
func (l *loop) ownRoutes() []Route {
	var routes []Route
	for _, e := range l.all {
		for _, r := range l.routes(e) {
			if l.r.own.owns(r) && r.Metric == ownMetric(r.Prefix) && r.TOS == 0 && r.Gateway.IsValid() {
				routes = append(routes, Route{Prefix: r.Prefix, NextHop: r.Gateway})
				break
			}
		}
	}
	return routes
}

// run turns until ctx ends: what the kernel says first, then what is wanted, then one batch of work.
func (l *loop) run(ctx context.Context) {
	for ctx.Err() == nil {
		l.now = time.Now()
		l.readEvents(ctx)
		busy := l.takeUp(ctx)
		busy = l.work() || busy
		busy = l.stepWalks() || busy
		l.onTime(ctx, time.Now())
		l.publish()
		if q, _ := l.nextQueue(); q == nil && !busy {
			l.wait(ctx)
		} else {
			l.poll()
		}
	}
}

// readEvents handles the events that are there, up to a bound that lets the rest of the loop turn.
func (l *loop) readEvents(ctx context.Context) {
	for range eventBatches {
		select {
		case batch, ok := <-l.events:
			l.onEvents(ctx, batch, ok)
		default:
			return
		}
	}
}

// wait sleeps until there is something to do, and does it when it is short.
func (l *loop) wait(ctx context.Context) {
	timer := time.NewTimer(time.Until(l.due()))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-l.r.wake:
	case batch, ok := <-l.events:
		l.onEvents(ctx, batch, ok)
	case piece, ok := <-l.dumpPieces():
		l.onDump(piece, ok)
	case w := <-l.r.walks:
		l.walking = append(l.walking, w)
	case pong := <-l.r.pings:
		close(pong)
	}
}

// poll is wait for a loop that has work: it takes what is there and does not sleep.
func (l *loop) poll() {
	select {
	case piece, ok := <-l.dumpPieces():
		l.onDump(piece, ok)
	case w := <-l.r.walks:
		l.walking = append(l.walking, w)
	case pong := <-l.r.pings:
		close(pong)
	default:
	}
}

// due is when the next timed thing has to happen. A full compare waits for the running one, and for a subscription.
func (l *loop) due() time.Time {
	next := time.Now().Add(l.r.cfg.ResyncInterval)
	if l.canDump() {
		next = l.nextResync()
	}
	for _, t := range []time.Time{l.retryAt, l.rulesAt, l.rewatchAt, l.topologyAt, l.verifier.at, l.strife.until, l.journal.due} {
		if !t.IsZero() && t.Before(next) {
			next = t
		}
	}
	return next
}

// onTime does what is due.
func (l *loop) onTime(ctx context.Context, now time.Time) {
	if past(l.rewatchAt, now) {
		l.rewatch(ctx)
	}
	if past(l.topologyAt, now) {
		l.refreshTopology(ctx)
	}
	if past(l.strife.until, now) {
		l.truce()
	}
	if past(l.journal.due, now) {
		l.tellRepairs(ctx, now)
	}
	if past(l.rulesAt, now) {
		l.reconcileRules(ctx, causeRule)
	}
	if past(l.retryAt, now) {
		l.retryFailing(now)
	}
	if l.canDump() && past(l.nextResync(), now) {
		l.startDump(ctx)
	}
	if past(l.verifier.at, now) {
		l.verifySome(now)
	}
}

func (l *loop) canDump() bool { return l.dump == nil && l.events != nil }

func past(t, now time.Time) bool { return !t.IsZero() && !t.After(now) }

// takeUp moves some of what was set into the entries and says whether there is more.
func (l *loop) takeUp(ctx context.Context) bool {
	if len(l.incoming) == 0 {
		l.after = l.r.take()
		l.incoming = l.after.lists
	}
	if l.takeChanges(workBatch); len(l.incoming) > 0 {
		return true
	}
	after := l.after
	l.incoming, l.after = nil, inbox{}
	if after.newLookups {
		l.rulesWanted, l.rulesSet = after.lookups, true
		l.verifier.at = time.Now().Add(verifyInterval)
	}
	if after.allowDelete && !l.deletes {
		l.allowDelete()
		after.newLookups = true // rules that nobody wants go as well
	}
	if after.newLookups {
		l.reconcileRules(ctx, causeChange)
	}
	return false
}

// takeChanges takes up to n changes up.
func (l *loop) takeChanges(n int) {
	for n > 0 && len(l.incoming) > 0 {
		list := l.incoming[0]
		some := min(n, len(list))
		for _, c := range list[:some] {
			l.takeChange(c)
		}
		n -= some
		if l.incoming[0] = list[some:]; some == len(list) {
			l.incoming[0], l.incoming = nil, l.incoming[1:]
		}
	}
}

func (l *loop) takeChange(c Change) {
	if !c.Route.Prefix.IsValid() {
		return
	}
	if !c.Route.NextHop.IsValid() {
		if e := l.entries[c.Route.Prefix]; e != nil {
			l.unwant(e)
			l.enqueue(e, causeChange, c.At)
		}
		return
	}
	e := l.entryFor(c.Route.Prefix)
	l.want(e, c.Route.NextHop, c.Route.Group)
	l.verifier.lengths[familyIndex(e.prefix)][e.prefix.Bits()] = true
	l.enqueue(e, causeChange, c.At)
}

func (l *loop) allowDelete() {
	l.deletes = true
	l.tally.status.DeletesAllowed = true
	l.tally.dirty = true
	for _, e := range l.all {
		if e != nil && e.have.len() > 0 && (e.have.len() > 1 || e.state != StateInstalled || !e.wanted()) {
			l.enqueue(e, causeChange, time.Time{})
		}
	}
	l.r.log.Info("deletions allowed", "event", "deletes-allowed")
}

package guard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	firstRetry = time.Second // after a failure; then twice as long each time, up to the interval between checks
	// betweenRepairs keeps a program that fights with us from taking the processor as well.
	betweenRepairs = 50 * time.Millisecond
)

// errForeign is a table under our name that is not ours.
var errForeign = errors.New("table inet " + tableName + " was made by somebody else, and is left alone")

// loop is the state of a running Keeper. One goroutine, Run's, owns all of it.
type loop struct {
	keeper  *Keeper
	status  Status
	notices <-chan notice // nil: nobody listens

	wanted  table
	known   bool     // wanted is: Set was called
	fresh   bool     // wanted changed, and the kernel was not made to hold it yet
	handles []uint64 // of the rules that we wrote; nil: we wrote none yet
	settled bool     // the guard was active in this run
	retry   time.Duration
}

// run turns until ctx ends: at every new state, at every change in the kernel, and from time to time.
func (l *loop) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		l.listen(ctx)
		var by notice
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-l.keeper.wake:
		case n, open := <-l.notices:
			by = l.latest(n, open)
		}
		if s := l.keeper.take(); s != nil {
			l.want(*s)
		}
		timer.Reset(l.turn(ctx, by))
	}
}

// listen subscribes before anything is read, so that no change can slip between. Without it the periodic check is all.
func (l *loop) listen(ctx context.Context) {
	if l.notices != nil || l.keeper.cfg.Mode == None {
		return
	}
	notices, err := l.keeper.tables.watch(ctx)
	if err != nil {
		l.keeper.log.Debug("changes of the packet filter cannot be watched", "event", "guard-unwatched", "error", err)
		return
	}
	l.notices = notices
}

// latest takes all notices that are there and picks the last that somebody else caused.
func (l *loop) latest(n notice, open bool) notice {
	var by notice
	for {
		switch {
		case !open:
			l.notices = nil
			return by
		case n.name != "" && int(n.pid) != os.Getpid():
			by = n
		}
		select {
		case n, open = <-l.notices:
		default:
			return by
		}
	}
}

// close waits for the watcher, which ends with Run's context.
func (l *loop) close() {
	if l.notices == nil {
		return
	}
	for {
		if _, open := <-l.notices; !open {
			return
		}
	}
}

func (l *loop) want(s State) {
	l.status.Peers = len(s.Peers)
	t := build(s)
	if l.known && l.wanted.equal(t) {
		return
	}
	l.wanted, l.known, l.fresh = t, true, true
}

// turn makes the kernel as wanted, publishes how that went, and says when to look again.
func (l *loop) turn(ctx context.Context, by notice) time.Duration {
	next := l.keeper.cfg.Interval
	if !l.known && l.keeper.cfg.Mode != None {
		return next
	}
	pause, err := l.ensure(by)
	switch {
	case err != nil:
		l.retry = min(max(2*l.retry, firstRetry), next)
		next = l.retry
		l.failed(ctx, err)
	case pause > 0:
		next = pause
	default:
		l.retry = 0
	}
	published := l.status
	l.keeper.status.Store(&published)
	l.keeper.tryOnce.Do(func() { close(l.keeper.tried) })
	return next
}

// ensure looks at the kernel's table and changes what is not as wanted. A pause asks to be called again after it.
func (l *loop) ensure(by notice) (pause time.Duration, err error) {
	if l.keeper.cfg.Mode == None {
		return 0, l.off()
	}
	have, c, err := l.look()
	if err != nil {
		return 0, err
	}
	switch {
	case l.handles == nil:
		// What an earlier run left may hold what we cannot read: it is written anew, and from then on watched.
		err = l.write(change{rebuild: true}, have)
	case c.why == "":
		l.fresh = false
	case l.fresh:
		err = l.write(c, have)
	default:
		pause, err = l.repair(by)
	}
	if err == nil && pause == 0 {
		l.active()
	}
	return pause, err
}

// look reads the table and compares it.
func (l *loop) look() (found, change, error) {
	have, err := l.keeper.tables.read()
	if err != nil {
		return have, change{}, err
	}
	l.status.LastCheck = time.Now()
	if have.exists && !have.ours() {
		return have, change{}, errForeign
	}
	return have, compare(l.wanted, have, l.handles), nil
}

// repair puts back what somebody changed. It looks a second time: the kernel gives a listing in pieces, and one that
// others interrupt by changes of theirs may lack something.
func (l *loop) repair(by notice) (pause time.Duration, err error) {
	if since := time.Since(l.status.LastRepair); since < betweenRepairs {
		return betweenRepairs - since, nil
	}
	have, c, err := l.look()
	if err != nil || c.why == "" {
		return 0, err
	}
	if err := l.write(c, have); err != nil {
		return 0, fmt.Errorf("repair: %w", err)
	}
	l.status.Repairs++
	l.status.LastRepair = time.Now()
	l.keeper.log.Warn("somebody changed the guard in front of the BGP port; it was put back",
		"event", "guard-repaired", "what", c.why, "by", by.name, "pid", by.pid)
	return 0, nil
}

// write carries a change out and reads back what came of it. That alone counts: the kernel's answer to a write can get
// lost although the write was done.
func (l *loop) write(c change, have found) error {
	var err error
	if c.rebuild {
		err = l.keeper.tables.replace(l.wanted, have.exists)
	} else {
		err = l.keeper.tables.update(c.edits)
	}
	back, readErr := l.keeper.tables.read()
	if readErr != nil {
		return errors.Join(err, readErr)
	}
	if left := compare(l.wanted, back, nil); left.why != "" {
		if err == nil {
			err = fmt.Errorf("the kernel does not show what was written: %s", left.why)
		}
		return err
	}
	l.handles, l.fresh = back.handles, false
	return nil
}

// off removes what an earlier run left. Who may not even look has nothing there to remove.
func (l *loop) off() error {
	removed, err := flush(l.keeper.tables)
	if err != nil && !errors.Is(err, unix.EPERM) {
		return err
	}
	if removed {
		l.keeper.log.Info("the guard in front of the BGP port is not wanted any more and was removed", "event", "guard-removed")
	}
	l.become(Off, "")
	return nil
}

func (l *loop) active() {
	if l.status.Condition != Active {
		l.keeper.log.Info("the guard in front of the BGP port is active", "event", "guard-active", "peers", l.status.Peers)
	}
	l.settled = true
	l.become(Active, "")
}

// failed notes an error, and logs it when it is another one than before.
func (l *loop) failed(ctx context.Context, err error) {
	l.status.Errors++
	l.status.LastError, l.status.LastErrorAt = explain(err), time.Now()
	condition, level, text := Unavailable, slog.LevelWarn, "there is no guard in front of the BGP port; "+
		"whoever can reach it from the address of a listed node can speak for that node"
	switch mode := l.keeper.cfg.Mode; {
	case mode == None:
		condition, text = Failing, "the guard in front of the BGP port is not wanted any more, but cannot be removed"
	case l.settled:
		condition, text = Failing, "the guard in front of the BGP port is not as wanted"
	case errors.Is(err, errForeign):
		condition = Failing
	case mode == NFTables:
		level = slog.LevelError
	}
	if l.status.Condition != condition || l.status.Reason != l.status.LastError {
		l.keeper.log.Log(ctx, level, text, "event", "guard-"+string(condition), "error", err)
	}
	l.become(condition, l.status.LastError)
}

func (l *loop) become(c Condition, reason string) {
	if l.status.Condition != c {
		l.status.Condition, l.status.Since = c, time.Now()
	}
	l.status.Reason = reason
}

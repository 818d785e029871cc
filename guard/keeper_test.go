package guard

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// fakeTables behaves as the kernel does, as far as a Keeper can tell, and fails on command.
type fakeTables struct {
	mu      sync.Mutex
	now     found
	calls   []string
	handle  uint64
	notices chan notice

	fail    func(call string) error // asked before each call
	reading func(f *found)          // may spoil what a read gives
}

func (f *fakeTables) begin(call string) error {
	f.calls = append(f.calls, call)
	if f.fail == nil {
		return nil
	}
	return f.fail(call)
}

func (f *fakeTables) read() (found, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.begin("read"); err != nil {
		return found{}, err
	}
	out := f.now
	out.chains, out.rules, out.sets = slices.Clone(out.chains), slices.Clone(out.rules), slices.Clone(out.sets)
	out.handles = slices.Clone(out.handles)
	if f.reading != nil {
		f.reading(&out)
	}
	return out, nil
}

func (f *fakeTables) replace(t table, exists bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.begin("replace"); err != nil {
		return err
	}
	if f.now.exists != exists {
		return unix.EEXIST
	}
	f.now = inKernel(t)
	for i := range f.now.handles {
		f.handle++
		f.now.handles[i] = f.handle
	}
	return nil
}

func (f *fakeTables) update(edits []edit) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.begin("update"); err != nil {
		return err
	}
	f.now = f.now.edited(edits)
	return nil
}

func (f *fakeTables) remove() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.begin("remove"); err != nil {
		return err
	}
	f.now = found{}
	return nil
}

func (f *fakeTables) watch(ctx context.Context) (<-chan notice, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.begin("watch"); err != nil {
		return nil, err
	}
	notices := make(chan notice, noticesWait)
	f.notices = notices
	context.AfterFunc(ctx, func() { close(notices) })
	return notices, nil
}

// somebody changes the table, and the kernel tells of it.
func (f *fakeTables) somebody(change func(f *found)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(&f.now)
	f.notices <- notice{pid: 1, name: "nft"}
}

// forget clears the calls, and since gives those that came then, without reads.
func (f *fakeTables) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = nil
}

func (f *fakeTables) since() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(slices.DeleteFunc(slices.Clone(f.calls), func(c string) bool { return c == "read" || c == "watch" }), " ")
}

func (f *fakeTables) failWith(fail func(call string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail = fail
}

// bench is a Keeper that runs over a fake, in a bubble of its own time.
type bench struct {
	t      *testing.T
	fake   *fakeTables
	keeper *Keeper
	log    *bytes.Buffer
}

// withKeeper runs a test in such a bubble, and ends the Keeper after it.
func withKeeper(t *testing.T, mode Mode, fake *fakeTables, test func(b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{t: t, fake: fake, log: &bytes.Buffer{}}
		b.keeper = newKeeper(Config{Mode: mode, Interval: time.Minute, Log: slog.New(slog.NewTextHandler(b.log, nil))}, fake)
		b.keeper.Set(nodeState())
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- b.keeper.Run(ctx) }()
		synctest.Wait()
		test(b)
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// settle lets time pass until nothing happens any more at this moment.
func (b *bench) settle(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // the bubble's time
	synctest.Wait()
}

func (b *bench) want(c Condition, calls string) Status {
	b.t.Helper()
	synctest.Wait()
	s := b.keeper.Status()
	if s.Condition != c || b.fake.since() != calls {
		b.t.Errorf("%s (%s) after %q, want %s after %q", s.Condition, s.Reason, b.fake.since(), c, calls)
	}
	b.fake.forget()
	return s
}

func (b *bench) wantTable(s State) {
	b.t.Helper()
	b.fake.mu.Lock()
	defer b.fake.mu.Unlock()
	if c := compare(build(s), b.fake.now, nil); c.why != "" {
		b.t.Errorf("the kernel has not what is wanted: %s", c.why)
	}
}

func (b *bench) logged(event string) int { return strings.Count(b.log.String(), "event="+event+" ") }

func TestBecomesActiveAndStays(t *testing.T) {
	fake := &fakeTables{}
	withKeeper(t, Auto, fake, func(b *bench) {
		s := b.want(Active, "replace")
		if s.Peers != 4 || s.Mode != Auto {
			t.Errorf("status %+v", s)
		}
		select {
		case <-b.keeper.Tried():
		default:
			t.Error("Tried is not closed")
		}
		b.wantTable(nodeState())
		b.settle(time.Hour)
		if s := b.want(Active, ""); s.Repairs != 0 || time.Since(s.LastCheck) > time.Minute {
			t.Errorf("an hour later: %+v", s)
		}
	})
	if !fake.now.exists {
		t.Error("the table went with the keeper")
	}
}

func TestNothingIsTouchedBeforeSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := &fakeTables{now: inKernel(build(nodeState()))}
		k := newKeeper(Config{Mode: Auto}, fake)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { _ = k.Run(ctx) }()
		time.Sleep(time.Hour) //nolint:forbidigo // the bubble's time
		synctest.Wait()
		if got := fake.since(); got != "" || k.Status().Condition != Starting {
			t.Errorf("%q, %s", got, k.Status().Condition)
		}
		select {
		case <-k.Tried():
			t.Error("Tried is closed")
		default:
		}
	})
}

func TestARosterChangeIsWrittenAtOnce(t *testing.T) {
	withKeeper(t, Auto, &fakeTables{}, func(b *bench) {
		b.want(Active, "replace")
		b.keeper.Set(nodeState())
		b.want(Active, "")
		s := nodeState()
		s.Peers = s.Peers[1:]
		b.keeper.Set(s)
		if st := b.want(Active, "update"); st.Peers != 3 || st.Repairs != 0 {
			t.Errorf("status %+v", st)
		}
		b.wantTable(s)
		s.Peers = append(s.Peers, Peer{Addr: addr("9.9.9.9"), Port: 1790, MaxHops: 3})
		b.keeper.Set(s)
		b.want(Active, "replace")
		b.wantTable(s)
	})
}

func TestWhatSomebodyChangesIsPutBack(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(f *found)
		call   string
	}{
		"table deleted":    {func(f *found) { *f = found{} }, "replace"},
		"rule deleted":     {func(f *found) { f.rules, f.handles = f.rules[1:], f.handles[1:] }, "replace"},
		"address added":    {func(f *found) { f.sets[0].addrs = append(f.sets[0].addrs, addr("255.0.0.1")) }, "update"},
		"replaced, unseen": {func(f *found) { f.handles = append([]uint64{77}, f.handles[1:]...) }, "replace"},
	} {
		t.Run(name, func(t *testing.T) {
			withKeeper(t, Auto, &fakeTables{}, func(b *bench) {
				b.want(Active, "replace")
				b.settle(time.Second)
				b.fake.somebody(tc.change)
				if s := b.want(Active, tc.call); s.Repairs != 1 || s.LastRepair.IsZero() {
					t.Errorf("status %+v", s)
				}
				b.wantTable(nodeState())
				if b.logged("guard-repaired") != 1 || !strings.Contains(b.log.String(), "by=nft pid=1") {
					t.Errorf("log: %s", b.log)
				}
			})
		})
	}
}

// A change that no event told of is found by the periodic check.
func TestASilentChangeIsFound(t *testing.T) {
	withKeeper(t, Auto, &fakeTables{}, func(b *bench) {
		b.want(Active, "replace")
		b.fake.mu.Lock()
		b.fake.now = found{}
		b.fake.mu.Unlock()
		b.settle(61 * time.Second)
		b.want(Active, "replace")
	})
}

// A listing that lacks something once is no reason to write.
func TestAnInterruptedListingIsReadAgain(t *testing.T) {
	withKeeper(t, Auto, &fakeTables{}, func(b *bench) {
		b.want(Active, "replace")
		b.fake.mu.Lock()
		once := true
		b.fake.reading = func(f *found) {
			if once {
				f.chains, once = f.chains[1:], false
			}
		}
		b.fake.mu.Unlock()
		b.settle(61 * time.Second)
		if s := b.want(Active, ""); s.Repairs != 0 {
			t.Errorf("%d repairs", s.Repairs)
		}
	})
}

// Who changes the table all the time gets it back all the time, but not all of the processor.
func TestAFightIsBounded(t *testing.T) {
	withKeeper(t, Auto, &fakeTables{}, func(b *bench) {
		b.want(Active, "replace")
		for range 1000 {
			b.fake.somebody(func(f *found) { *f = found{} })
			b.settle(time.Millisecond)
		}
		if n := b.keeper.Status().Repairs; n < 15 || n > 25 {
			t.Errorf("%d repairs in a second", n)
		}
		b.settle(betweenRepairs)
		b.wantTable(nodeState())
	})
}

func TestAKernelWithoutNFTables(t *testing.T) {
	for _, errno := range []error{unix.EINVAL, unix.EAFNOSUPPORT, unix.EPERM} {
		fake := &fakeTables{fail: func(string) error { return errno }}
		withKeeper(t, Auto, fake, func(b *bench) {
			b.settle(time.Hour)
			s := b.keeper.Status()
			if s.Condition != Unavailable || !strings.Contains(s.Reason, errno.Error()) || s.Errors < 60 {
				t.Errorf("%v: %+v", errno, s)
			}
			if b.logged("guard-unavailable") != 1 || !strings.Contains(b.log.String(), "level=WARN") {
				t.Errorf("not one warning: %s", b.log)
			}
			select {
			case <-b.keeper.Tried():
			default:
				t.Error("whoever waits for the first attempt waits for ever")
			}
			fake.failWith(nil) // somebody loaded the module
			b.settle(2 * time.Minute)
			b.wantTable(nodeState())
			if s := b.keeper.Status(); s.Condition != Active || s.Reason != "" {
				t.Errorf("with nf_tables: %+v", s)
			}
		})
	}
}

func TestAGuardThatIsDemandedFailsLoud(t *testing.T) {
	withKeeper(t, NFTables, &fakeTables{fail: func(string) error { return unix.EPERM }}, func(b *bench) {
		if s := b.keeper.Status(); s.Condition != Unavailable || !strings.Contains(b.log.String(), "level=ERROR") {
			t.Errorf("%+v, log %s", s, b.log)
		}
	})
}

func TestAFailureAfterSuccess(t *testing.T) {
	withKeeper(t, Auto, &fakeTables{}, func(b *bench) {
		b.want(Active, "replace")
		b.fake.failWith(func(call string) error {
			if call == "update" {
				return unix.ENOMEM
			}
			return nil
		})
		s := nodeState()
		s.Peers = s.Peers[1:]
		b.keeper.Set(s)
		if st := b.want(Failing, "update"); !strings.Contains(st.Reason, unix.ENOMEM.Error()) || st.LastError == "" {
			t.Errorf("status %+v", st)
		}
		b.fake.failWith(nil)
		b.settle(firstRetry)
		if st := b.want(Active, "update"); st.Reason != "" || st.Errors != 1 || st.Repairs != 0 {
			t.Errorf("status %+v", st)
		}
		b.wantTable(s)
	})
}

// What counts is what the kernel holds, not what became of its answer.
func TestALostAnswer(t *testing.T) {
	fake := &fakeTables{}
	lost := &losesAnswers{fakeTables: fake}
	synctest.Test(t, func(t *testing.T) {
		k := newKeeper(Config{Mode: Auto}, lost)
		k.Set(nodeState())
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { _ = k.Run(ctx) }()
		synctest.Wait()
		if s := k.Status(); s.Condition != Active || s.Errors != 0 {
			t.Errorf("status %+v", s)
		}
	})
}

// losesAnswers does every write and then reports a failure.
type losesAnswers struct{ *fakeTables }

func (l *losesAnswers) replace(t table, exists bool) error {
	return errors.Join(l.fakeTables.replace(t, exists), unix.ENOBUFS)
}

func TestAForeignTableIsLeftAlone(t *testing.T) {
	foreign := found{exists: true, table: table{chains: []chain{{name: "theirs", hook: hookInput, kind: kindFilter}}}}
	for _, mode := range []Mode{Auto, NFTables} {
		withKeeper(t, mode, &fakeTables{now: foreign}, func(b *bench) {
			if s := b.want(Failing, ""); !strings.Contains(s.Reason, "somebody else") {
				t.Errorf("status %+v", s)
			}
			b.fake.somebody(func(f *found) { *f = found{} })
			b.want(Active, "replace")
		})
	}
	withKeeper(t, None, &fakeTables{now: foreign}, func(b *bench) { b.want(Off, "") })
	if removed, err := flush(&fakeTables{now: foreign}); removed || err != nil {
		t.Errorf("flush: %t, %v", removed, err)
	}
}

func TestNoGuardIsWanted(t *testing.T) {
	withKeeper(t, None, &fakeTables{now: inKernel(build(nodeState()))}, func(b *bench) {
		b.want(Off, "remove")
		b.settle(time.Hour)
		b.want(Off, "")
	})
	withKeeper(t, None, &fakeTables{fail: func(string) error { return unix.EPERM }}, func(b *bench) { b.want(Off, "") })
	withKeeper(t, None, &fakeTables{now: inKernel(build(nodeState())), fail: func(call string) error {
		if call == "remove" {
			return unix.EBUSY
		}
		return nil
	}}, func(b *bench) {
		if s := b.keeper.Status(); s.Condition != Failing || !strings.Contains(s.Reason, unix.EBUSY.Error()) {
			t.Errorf("the table stands: %+v", s)
		}
	})
}

func TestFlush(t *testing.T) {
	fake := &fakeTables{now: inKernel(build(nodeState()))}
	if removed, err := flush(fake); !removed || err != nil || fake.now.exists {
		t.Errorf("flush: %t, %v, table there: %t", removed, err, fake.now.exists)
	}
	if removed, err := flush(fake); removed || err != nil {
		t.Errorf("flush of nothing: %t, %v", removed, err)
	}
	fake.failWith(func(string) error { return unix.EINVAL })
	if removed, err := flush(fake); removed || err != nil {
		t.Errorf("flush without nf_tables: %t, %v", removed, err)
	}
	fake.failWith(func(string) error { return unix.EPERM })
	if _, err := flush(fake); !errors.Is(err, unix.EPERM) {
		t.Errorf("flush without permission: %v", err)
	}
}

// The watcher may end, or never begin: the periodic check goes on, and listening is tried again.
func TestWithoutAWatcher(t *testing.T) {
	fake := &fakeTables{fail: func(call string) error {
		if call == "watch" {
			return unix.EPERM
		}
		return nil
	}}
	withKeeper(t, Auto, fake, func(b *bench) {
		b.want(Active, "replace")
		fake.mu.Lock()
		fake.now = found{}
		fake.mu.Unlock()
		b.settle(61 * time.Second)
		b.want(Active, "replace")
		fake.failWith(nil)
		b.settle(time.Minute)
		b.want(Active, "")
		b.fake.somebody(func(f *found) { *f = found{} })
		b.want(Active, "replace")
	})
}

func TestAKeeperRunsOnce(t *testing.T) {
	k := newKeeper(Config{Mode: None}, &fakeTables{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := k.Run(ctx); err != nil {
		t.Error(err)
	}
	if err := k.Run(ctx); !errors.Is(err, errRanBefore) {
		t.Errorf("a second run: %v", err)
	}
}

package kernel

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// settle lets the reconciler come to rest, and what it retries or compares by the clock as well.
func settle(d time.Duration) {
	synctest.Wait()
	if d > 0 {
		timer := time.NewTimer(d)
		<-timer.C
		synctest.Wait()
	}
}

func (f *fakeFIB) expect(t *testing.T, want ...FIBRoute) {
	t.Helper()
	if got := f.table(); !slices.Equal(got, want) {
		t.Fatalf("table\n got %v\nwant %v", got, want)
	}
}

// firstBlock is how the route to 20.1.0.0/26 stands.
func firstBlock(r *Reconciler) RouteStatus {
	s, _ := r.Route(netip.MustParsePrefix("20.1.0.0/26"))
	return s
}

func TestNothingIsDeletedBeforeAllowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		left := ours(t, "20.1.0.0/26", "192.0.2.77")
		f.routes = []FIBRoute{left}
		f.rules = []Rule{testConfig().owner().rule(netip.MustParsePrefix("20.9.0.0/16"))}
		r := runReconciler(t, testConfig(), f)
		r.SetLookups(prefixes("20.1.0.0/16"))
		r.Set([]Change{wanted("20.1.0.64/26", "192.0.2.77")})
		settle(0)
		r.Set([]Change{unwanted("20.1.0.64/26"), unwanted("20.1.0.0/26")})
		settle(3 * time.Hour) // resyncs included
		f.expect(t, left, ours(t, "20.1.0.64/26", "192.0.2.77"))
		if len(f.rules) != 2 {
			t.Fatalf("rules %v", f.rules)
		}
		r.AllowDelete()
		settle(0)
		f.expect(t)
		if s := r.Status(); len(f.rules) != 1 || s.Changes != (Changes{Add: 1, Delete: 2}) || !s.DeletesAllowed {
			t.Fatalf("rules %v, status %+v", f.rules, s)
		}
	})
}

func TestFailingRouteDoesNotStopOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		tries := 0
		f.fail = func(_ string, op *Op) error {
			if op != nil && op.Route.Prefix.String() == "20.1.0.0/26" {
				tries++
				return &OpError{Errno: unix.EINVAL, Text: "for the test"}
			}
			return nil
		}
		r := runReconciler(t, testConfig(), f)
		r.Set([]Change{wanted("20.1.0.0/26", "192.0.2.77"), wanted("20.1.0.64/26", "192.0.2.77")})
		settle(0)
		f.expect(t, ours(t, "20.1.0.64/26", "192.0.2.77"))
		s := firstBlock(r)
		if s.State != StateUnresolved || s.Err != "the kernel refused it: invalid argument (for the test)" {
			t.Fatalf("%+v", s)
		}
		settle(10 * time.Minute)
		if tries < 10 || tries > 20 { // 1+2+4+8+16+32 s, then every minute
			t.Errorf("%d tries in ten minutes", tries)
		}
		want := []ErrorCount{{Op: "add", Errno: "EINVAL", Count: uint64(tries)}}
		if got := r.Status().Errors; !slices.Equal(got, want) {
			t.Errorf("errors %v, want %v", got, want)
		}
		f.setFail(nil)
		before := time.Now()
		f.linkState(3, false) // any change of links is a reason to try at once
		settle(0)
		if s := firstBlock(r); s.State != StateInstalled || !time.Now().Equal(before) {
			t.Fatalf("%+v", s)
		}
	})
}

func TestResyncFindsWhatNoEventTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		r := runReconciler(t, testConfig(), f)
		r.AllowDelete()
		r.SetLookups(prefixes("20.1.0.0/16"))
		r.Set([]Change{wanted("20.1.0.0/26", "192.0.2.77"), wanted("20.1.0.64/26", "192.0.2.77")})
		settle(0)
		del := Op{Kind: OpDeleteRoute, Route: ours(t, "20.1.0.0/26", "192.0.2.77")}
		f.outside(true, del)
		f.outside(true, Op{Kind: OpAddRoute, Route: ours(t, "20.1.7.0/26", "192.0.2.77")})
		f.outside(true, Op{Kind: OpDeleteRule, Rule: f.rules[0]})
		settle(0)
		if len(f.table()) != 2 {
			t.Fatal("the reconciler knows what it cannot")
		}
		settle(2 * time.Hour)
		f.expect(t, ours(t, "20.1.0.0/26", "192.0.2.77"), ours(t, "20.1.0.64/26", "192.0.2.77"))
		if s := r.Status(); s.Repairs.Resync != 1 || s.Repairs.Rule != 1 || s.LastResync.IsZero() {
			t.Errorf("status %+v", s)
		}
		f.outside(true, del)
		f.overrun()
		settle(0)
		f.expect(t, ours(t, "20.1.0.0/26", "192.0.2.77"), ours(t, "20.1.0.64/26", "192.0.2.77"))
		f.outside(true, del)
		f.breakWatch()
		settle(0)
		f.expect(t, ours(t, "20.1.0.0/26", "192.0.2.77"), ours(t, "20.1.0.64/26", "192.0.2.77"))
		if n := r.Status().Overruns; n != 2 {
			t.Errorf("%d overruns, want 2", n)
		}
	})
}

// TestResyncIntervalGrowsWithTheTable: what full compares cost is bounded, and what may have been missed does not wait.
func TestResyncIntervalGrowsWithTheTable(t *testing.T) {
	cfg := testConfig()
	cfg.ResyncInterval = time.Minute
	l := loop{r: NewReconciler(cfg, newFake()), lastDump: time.Now()}
	for routes, want := range map[int]time.Duration{0: time.Minute, 30_000: time.Minute, 100_000: 200 * time.Second} {
		l.all = make([]*entry, routes)
		for range 100 {
			l.resyncRegularly()
			if got := l.nextResync().Sub(l.lastDump); got < want*9/10 || got > want*11/10 {
				t.Errorf("%d routes: compared after %s, want %s give or take a tenth", routes, got, want)
			}
		}
		l.resyncSoon(l.lastDump)
		if got := l.nextResync().Sub(l.lastDump); got != resyncGap {
			t.Errorf("%d routes: compared after %s when something may have been missed, want %s", routes, got, resyncGap)
		}
	}
}

// TestLinkFallsDuringADump: a dump may still have the routes of a link that is down, which the kernel then drops without a word.
func TestLinkFallsDuringADump(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		r := runReconciler(t, testConfig(), f)
		r.SetLookups(prefixes("20.1.0.0/16"))
		r.Set([]Change{wanted("20.1.0.0/26", "192.0.2.77"), wanted("20.1.0.64/26", "192.0.2.77")})
		settle(time.Second)
		routes := []FIBRoute{ours(t, "20.1.0.0/26", "192.0.2.77"), ours(t, "20.1.0.64/26", "192.0.2.77")}
		f.expect(t, routes...)
		for _, pause := range []time.Duration{0, time.Second} { // between the dump and the link's return
			before := r.Status().LastResync
			f.linkFalling(2)
			if settle(pause); pause > 0 && !r.Status().LastResync.After(before) {
				t.Fatal("no dump was taken of the falling link")
			}
			for _, route := range routes {
				f.outside(true, Op{Kind: OpDeleteRoute, Route: route})
			}
			f.linkState(2, true)
			settle(0)
			f.expect(t, routes...)
			settle(time.Second)
			f.expect(t, routes...)
		}
	})
}

// TestPodStartsDuringADump: links that carry nothing of ours come and go with pods, and are no reason to compare again.
func TestPodStartsDuringADump(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		r := runReconciler(t, testConfig(), f)
		r.Set([]Change{wanted("20.1.0.0/26", "192.0.2.77")})
		settle(time.Second)
		dumps := 0
		f.setDumping(func() {
			dumps++
			f.mu.Lock()
			f.emit(Event{Kind: EventLink, Link: Link{Index: 9, Name: "cali9", Up: true, Running: true}})
			f.mu.Unlock()
			<-time.After(time.Millisecond) // the loop hears of it
		})
		f.overrun()
		settle(time.Second)
		if dumps != 1 {
			t.Errorf("%d dumps, want 1", dumps)
		}
	})
}

// TestResyncDoubtsWhatMovedMeanwhile loses the event of one route of a prefix and, while a dump runs that knows of it,
// changes another route of the same prefix: what is learned of the second must not hide the first.
func TestResyncDoubtsWhatMovedMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		r := runReconciler(t, testConfig(), f)
		r.AllowDelete()
		block := ours(t, "20.1.0.0/26", "192.0.2.77")
		r.Set([]Change{wanted("20.1.0.0/26", "192.0.2.77")})
		settle(0)
		stray := block
		stray.Metric = 9
		f.outside(true, Op{Kind: OpAddRoute, Route: stray})
		dumps := 0
		f.setDumping(func() {
			if dumps++; dumps == 1 {
				f.outside(false, Op{Kind: OpDeleteRoute, Route: block})
				<-time.After(time.Millisecond) // the loop puts it back
			}
		})
		f.overrun()
		settle(time.Second)
		f.expect(t, block)
		if dumps != 2 {
			t.Errorf("%d dumps, want 2", dumps)
		}
	})
}

func TestInterruptedDumpDeletesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		r := runReconciler(t, testConfig(), f)
		r.AllowDelete()
		r.Set(blocks(20))
		settle(0)
		before := len(f.applied())
		f.setFail(func(call string, _ *Op) error {
			if call == "routes" {
				return ErrInterrupted
			}
			return nil
		})
		f.overrun()
		settle(5 * time.Minute)
		if len(f.applied()) != before || len(f.table()) != 20 {
			t.Fatalf("operations after a partial dump: %v", f.applied()[before:])
		}
		f.setFail(nil)
		stale := r.Status().LastResync
		settle(5 * time.Minute)
		if !r.Status().LastResync.After(stale) {
			t.Error("no resync once dumps work again")
		}
	})
}

func TestWatchIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		r := runReconciler(t, testConfig(), f)
		r.Set([]Change{wanted("20.1.0.0/26", "192.0.2.77")})
		settle(0)
		f.setFail(func(call string, _ *Op) error {
			if call == "watch" {
				return unix.ENOBUFS
			}
			return nil
		})
		f.breakWatch()
		settle(10 * time.Second)
		f.setFail(nil)
		settle(2 * time.Second)
		f.outside(false, Op{Kind: OpDeleteRoute, Route: ours(t, "20.1.0.0/26", "192.0.2.77")})
		settle(0)
		f.expect(t, ours(t, "20.1.0.0/26", "192.0.2.77"))
		if r.Status().Repairs.Deleted != 1 {
			t.Errorf("status %+v", r.Status())
		}
	})
}

func TestLinkFlapRepairsSilentLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		r := runReconciler(t, testConfig(), f)
		r.Set([]Change{wanted("20.1.0.0/26", "192.0.2.77"), wanted("20.2.0.0/26", "198.51.100.77")})
		settle(0)
		f.linkState(2, false)
		settle(0)
		f.expect(t, ours(t, "20.2.0.0/26", "198.51.100.77"))
		if s := firstBlock(r); s.State != StateUnresolved || s.Err != "next hop 192.0.2.77 is on eth0, which is down" {
			t.Fatalf("%+v", s)
		}
		f.linkState(2, true)
		settle(0)
		f.linkState(2, false)
		f.linkState(2, true) // down and up before anybody looked
		settle(0)
		f.expect(t, ours(t, "20.1.0.0/26", "192.0.2.77"), ours(t, "20.2.0.0/26", "198.51.100.77"))
		if n := r.Status().Repairs.Link; n != 2 {
			t.Errorf("%d repairs, want 2", n)
		}
	})
}

// TestQuickCompareSeesEverything: a full compare of a table that rests reads no route, and yet misses nothing.
func TestQuickCompareSeesEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		r := runReconciler(t, testConfig(), f)
		r.AllowDelete()
		r.Set([]Change{wanted("20.1.0.0/26", "192.0.2.77"), wanted("20.1.0.64/26", "192.0.2.77")})
		first, second := ours(t, "20.1.0.0/26", "192.0.2.77"), ours(t, "20.1.0.64/26", "192.0.2.77")
		stray := ours(t, "20.9.0.0/26", "192.0.2.9")
		for i, unheard := range []Op{
			{Kind: OpDeleteRoute, Route: second},
			{Kind: OpAddRoute, Route: stray},
			{Kind: OpReplaceRoute, Route: ours(t, "20.1.0.64/26", "192.0.2.9")},
		} {
			settle(5 * time.Hour) // the mirror and the table have agreed, and again
			if quick := f.digests; quick == 0 {
				t.Fatalf("%d: no compare was quick", i)
			}
			f.outside(true, unheard)
			settle(2 * time.Hour)
			f.expect(t, first, second)
		}
	})
}

func TestPlaceTakenUnheardBecomesAConflict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		r := runReconciler(t, testConfig(), f)
		r.AllowDelete()
		taken := foreignRoute(t, "20.1.0.0/26", "192.0.2.9")
		f.outside(true, Op{Kind: OpAddRoute, Route: taken})
		r.Set([]Change{wanted("20.1.0.0/26", "192.0.2.77")})
		settle(time.Second) // the exclusive add fails, and a dump tells who is there
		if s := firstBlock(r); s.State != StateConflict {
			t.Fatalf("%+v", s)
		}
		f.expect(t, taken)
	})
}

func TestRunMisuse(t *testing.T) {
	f := newFake()
	f.fail = func(string, *Op) error { return unix.EPERM }
	r := NewReconciler(testConfig(), f)
	if _, is := r.Route(netip.MustParsePrefix("20.1.0.0/26")); is || r.Routes() != nil || r.AdoptedRoutes() != nil {
		t.Error("routes before Run")
	}
	if err := r.Run(t.Context()); err == nil {
		t.Error("Run began without a subscription")
	}
	if r.Routes() != nil || r.Ping(t.Context()) == nil {
		t.Error("a stopped reconciler answers")
	}
	if err := r.Run(t.Context()); err == nil {
		t.Error("Run ran twice")
	}
}

// TestSoak lets the mesh, other daemons and mishaps loose on the table: at each quiet moment it must be as wanted,
// and foreign routes never change at our hands.
func TestSoak(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(noDeadline{t}, func(rt *rapid.T) { soak(t, rt) })
	})
}

// noDeadline hides T.Deadline, which must not be called inside a synctest bubble.
type noDeadline struct{ rapid.TB }

func soak(t *testing.T, rt *rapid.T) {
	t.Helper()
	s := &soakRun{rt: rt, fib: newFake(), want: make(map[netip.Prefix]netip.Addr)}
	cfg := testConfig()
	cfg.ResyncInterval = time.Minute
	s.rec = NewReconciler(cfg, s.fib)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.rec.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	<-s.rec.Adopted()
	for range rapid.IntRange(1, 25).Draw(rt, "steps") {
		s.step()
	}
	s.fib.setFail(nil)
	s.fib.linkState(2, true)
	for _, a := range testTopology().Addresses {
		s.fib.addressState(a, true)
	}
	settle(5 * time.Minute)
	s.check()
}

type soakRun struct {
	rt      *rapid.T
	fib     *fakeFIB
	rec     *Reconciler
	want    map[netip.Prefix]netip.Addr
	lookups []netip.Prefix
	deletes bool     // are allowed
	history []string // of the run, for people
}

func (s *soakRun) note(format string, args ...any) {
	s.history = append(s.history, time.Now().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
}

func (s *soakRun) fatalf(format string, args ...any) {
	s.rt.Helper()
	s.rt.Fatalf(format+"\nafter\n%s", append(args, strings.Join(s.history, "\n"))...)
}

func (s *soakRun) step() {
	p := genPrefix().Draw(s.rt, "prefix")
	switch rapid.SampledFrom([]string{
		"want", "want", "unwant", "outside", "outside", "outside", "unheard", "link", "address", "fail", "overrun", "break",
		"lookups", "rule", "allow", "quiet", "wait",
	}).Draw(s.rt, "what") {
	case "want":
		s.want[p] = genHop(p).Draw(s.rt, "hop")
		s.note("want %s via %s", p, s.want[p])
		s.rec.Set([]Change{{Route: Route{Prefix: p, NextHop: s.want[p], Group: "c2"}}})
	case "unwant":
		delete(s.want, p)
		s.note("unwant %s", p)
		s.rec.Set([]Change{{Route: Route{Prefix: p}}})
	case "outside":
		s.outside(false)
	case "unheard":
		s.outside(true)
		s.fib.overrun()
	case "link":
		up := rapid.Bool().Draw(s.rt, "up")
		s.note("link up: %v", up)
		s.fib.linkState(2, up)
	case "address":
		a := rapid.SampledFrom(testTopology().Addresses[1:]).Draw(s.rt, "address")
		present := rapid.Bool().Draw(s.rt, "present")
		s.note("address %s present: %v", a.Local, present)
		s.fib.addressState(a, present)
	case "lookups":
		s.lookups = genLookups().Draw(s.rt, "lookups")
		s.note("lookups %v", s.lookups)
		s.rec.SetLookups(s.lookups)
	case "rule":
		s.outsideRule()
	case "allow":
		s.checkKept()
		s.note("deletes allowed")
		s.deletes = true
		s.rec.AllowDelete()
	case "fail":
		s.failSome()
	case "overrun":
		s.note("overrun")
		s.fib.overrun()
	case "break":
		s.note("subscription lost")
		s.fib.breakWatch()
	case "quiet":
		s.note("quiet")
		synctest.Wait()
	case "wait":
		settle(rapid.SampledFrom([]time.Duration{time.Millisecond, time.Second, time.Minute}).Draw(s.rt, "time"))
	}
}

func (s *soakRun) outside(unheard bool) {
	r := genFIBRoute().Draw(s.rt, "route")
	r.Flags = 0
	if there := s.fib.table(); len(there) > 0 && rapid.Bool().Draw(s.rt, "existing") {
		r = rapid.SampledFrom(there).Draw(s.rt, "there")
		if rapid.Bool().Draw(s.rt, "seize") {
			r.Protocol, r.Gateway = unix.RTPROT_STATIC, genHop(r.Prefix).Draw(s.rt, "to")
		}
	}
	kind := rapid.SampledFrom([]OpKind{OpAddRoute, OpReplaceRoute, OpDeleteRoute}).Draw(s.rt, "kind")
	s.note("unheard: %v, %s %s", unheard, kind, routeText(r, ""))
	s.fib.outside(unheard, Op{Kind: kind, Route: r})
}

// shadowed says whether lookups, which are made once rules lead to the table, answer otherwise somewhere in a block where
// no other route is wanted.
func (s *soakRun) shadowed(route Route) bool {
	p := route.Prefix
	for a := p.Addr(); s.lookups != nil && p.Contains(a); a = a.Next() {
		covered := false
		for other := range s.want {
			covered = covered || other.Contains(a) && other.Bits() > p.Bits()
		}
		if a == p.Addr() && !p.IsSingleIP() || covered {
			continue
		}
		if found := s.fib.Lookup([]netip.Addr{a})[0]; found.Err != nil || found.Route.Gateway != route.NextHop ||
			found.Route.Device != s.fib.topology.resolve(route.NextHop).device {
			return true
		}
	}
	return false
}

// outsideRule is somebody else's change of a rule, of ours at times.
func (s *soakRun) outsideRule() {
	r := genRule().Draw(s.rt, "rule")
	if there := s.fib.ruleList(); len(there) > 0 && rapid.Bool().Draw(s.rt, "existing rule") {
		r = rapid.SampledFrom(there).Draw(s.rt, "rule there")
	}
	kind := rapid.SampledFrom([]OpKind{OpAddRule, OpDeleteRule}).Draw(s.rt, "kind of rule change")
	s.note("%s %s", kind, ruleCommand("", r))
	s.fib.outside(false, Op{Kind: kind, Rule: r})
}

// checkKept makes sure that nothing was deleted before it was allowed.
func (s *soakRun) checkKept() {
	for _, op := range s.fib.applied() {
		if !s.deletes && (op.Kind == OpDeleteRoute || op.Kind == OpDeleteRule) {
			s.fatalf("%s before deletes were allowed", op)
		}
	}
}

func (s *soakRun) failSome() {
	n, every := 0, rapid.IntRange(1, 4).Draw(s.rt, "every")
	err := rapid.SampledFrom([]error{
		&OpError{Errno: unix.EINVAL}, &OpError{Errno: unix.ENOBUFS}, &OpError{Errno: unix.EPERM}, ErrUnknownOutcome, ErrInterrupted,
	}).Draw(s.rt, "error")
	s.note("every %d. call fails: %v", every, err)
	s.fib.setFail(func(string, *Op) error {
		if n++; n%every == 0 {
			return err
		}
		return nil
	})
}

func (s *soakRun) check() {
	o := testConfig().owner()
	var routes []Route
	for p, hop := range s.want {
		routes = append(routes, Route{Prefix: p, NextHop: hop})
	}
	s.checkKept()
	plan := o.planRoutes(s.fib.topology, routes, s.fib.table(), !s.deletes)
	if len(plan.Ops) != 0 {
		s.fatalf("at rest, and still to do: %v", plan.Ops)
	}
	keep := !s.deletes || s.lookups == nil // before the first SetLookups no rule of ours is known to be unwanted
	if add, remove := o.diffRules(s.lookups, s.fib.ruleList(), keep); len(add)+len(remove) != 0 {
		s.fatalf("at rest, and rules to add %v, to remove %v", add, remove)
	}
	for _, op := range s.fib.applied() {
		if op.Kind.ofRoute() && op.Route.Protocol != 114 || !op.Kind.ofRoute() && op.Rule.Protocol != 114 {
			s.fatalf("%s is about something foreign", op)
		}
	}
	if wrong := s.fib.wronged(); len(wrong) > 0 {
		s.fatalf("%v changed something foreign", wrong)
	}
	want := make(map[netip.Prefix]State)
	for _, r := range plan.Routes {
		want[r.Route.Prefix] = r.State
	}
	counts := [stateCount]int{}
	for _, r := range s.rec.Routes() {
		counts[r.State]++
		if want[r.Route.Prefix] == StateInstalled && s.shadowed(r.Route) {
			want[r.Route.Prefix] = StateShadowed
		}
		if want[r.Route.Prefix] != r.State {
			s.fatalf("%v is reported as %v (%s), and is %v", r.Route, r.State, r.Err, want[r.Route.Prefix])
		}
		delete(want, r.Route.Prefix)
	}
	if len(want) != 0 {
		s.fatalf("not reported: %v", want)
	}
	total := [stateCount]int{}
	for _, g := range s.rec.Status().Routes {
		for i, n := range g.States {
			total[i] += n
		}
	}
	if total != counts {
		s.fatalf("counts %v, routes %v", fmt.Sprint(total), counts)
	}
}

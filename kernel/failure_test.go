package kernel

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// TestEveryCallCanFail has each call to the kernel fail for a while, at the start and later. At the start it is an error
// of Run, but for a dump that was interrupted; later nothing stops, and all is well once the call works again.
func TestEveryCallCanFail(t *testing.T) {
	for _, call := range []string{"watch", "topology", "routes", "rules", "lookup", "apply"} {
		t.Run(call, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake()
				f.fail = failing(call, unix.EPERM)
				err := runBriefly(t, f)
				if starts := call != "lookup" && call != "apply"; starts != errors.Is(err, unix.EPERM) {
					t.Fatalf("Run with a %s that fails: %v", call, err)
				}
			})
			synctest.Test(t, func(t *testing.T) { failsForAWhile(t, call) })
		})
	}
}

func failsForAWhile(t *testing.T, call string) {
	t.Helper()
	f := newFake()
	interrupted := 3
	f.fail = func(c string, _ *Op) error {
		if c == call && interrupted > 0 && call != "watch" && call != "apply" && call != "lookup" {
			interrupted--
			return ErrInterrupted
		}
		return nil
	}
	r := runReconciler(t, testConfig(), f)
	r.AllowDelete()
	r.SetLookups(prefixes("20.1.0.0/16"))
	r.Set(blocks(20))
	settle(0)
	f.setFail(failing(call, unix.ENOBUFS))
	// Meanwhile things happen, some of them unheard.
	f.mu.Lock()
	link := f.topology.Links[2]
	link.Up = false
	f.topology.Links[2] = link
	f.routes = nil
	f.mu.Unlock()
	f.breakWatch()
	f.outside(true, Op{Kind: OpDeleteRule, Rule: testConfig().owner().rule(prefixes("20.1.0.0/16")[0])})
	settle(10 * time.Second)
	f.mu.Lock()
	link.Up = true
	f.topology.Links[2] = link
	f.mu.Unlock()
	f.overrun()
	settle(10 * time.Second)
	f.setFail(nil)
	settle(2 * time.Minute)
	if got := len(f.table()); got != 20 || len(f.ruleList()) != 1 {
		t.Errorf("%d routes and %d rules, want 20 and 1; errors %v", got, len(f.ruleList()), r.Status().Errors)
	}
	for _, s := range r.Routes() {
		if s.State != StateInstalled {
			t.Errorf("%+v", s)
		}
	}
}

func failing(call string, errno unix.Errno) func(string, *Op) error {
	return func(c string, _ *Op) error {
		if c == call {
			return &OpError{Errno: errno}
		}
		return nil
	}
}

// runBriefly runs a reconciler that has something to do, for a minute or until it ends by itself.
func runBriefly(t *testing.T, f *fakeFIB) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r := NewReconciler(testConfig(), f)
	r.SetLookups(prefixes("20.1.0.0/16"))
	r.Set(blocks(3))
	return r.Run(ctx)
}

// TestAnyErrnoStopsOneRouteOnly refuses one route of three for each reason there is.
func TestAnyErrnoStopsOneRouteOnly(t *testing.T) {
	for _, errno := range []unix.Errno{
		unix.EINVAL, unix.ENETUNREACH, unix.EHOSTUNREACH, unix.EPERM, unix.ENODEV, unix.ENETDOWN, unix.ENOMEM, unix.ENOSPC, unix.ENOBUFS,
	} {
		for name, prefix := range map[string]string{"ipv4": "20.1.0.64/26", "ipv6": "2001:db8:20::40/122"} {
			t.Run(fmt.Sprintf("%s %v", name, errno), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := newFake()
					f.fail = func(_ string, op *Op) error {
						if op != nil && op.Route.Prefix.String() == prefix {
							return &OpError{Errno: errno}
						}
						return nil
					}
					r := runReconciler(t, testConfig(), f)
					r.Set([]Change{
						wanted("20.1.0.0/26", "192.0.2.77"), wanted("20.1.0.64/26", "192.0.2.77"),
						wanted("2001:db8:20::/122", "2001:db8::77"), wanted("2001:db8:20::40/122", "2001:db8::77"),
					})
					settle(0)
					for _, s := range r.Routes() {
						refused := s.Route.Prefix.String() == prefix
						if refused != (s.State == StateUnresolved) || refused != (s.Err == "the kernel refused it: "+errno.Error()) {
							t.Errorf("%+v", s)
						}
					}
					// A link or an address that changes is a reason to try again at once, and not a second later.
					f.setFail(nil)
					f.addressState(Address{Device: 3, Local: netip.MustParseAddr("203.0.113.1"), Subnet: prefixes("203.0.113.0/24")[0]}, true)
					settle(0)
					if len(f.table()) != 4 {
						t.Errorf("table %v", f.table())
					}
				})
			})
		}
	}
}

// TestRefusedRouteIsTriedAfterASecond waits exactly as long as the first wait is.
func TestRefusedRouteIsTriedAfterASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.fail = failing("apply", unix.ENOMEM)
		r := runReconciler(t, testConfig(), f)
		r.Set([]Change{wanted("20.1.0.0/26", "192.0.2.77")})
		settle(0)
		f.setFail(nil)
		settle(backoffFirst)
		if s := firstBlock(r); s.State != StateInstalled {
			t.Errorf("%+v", s)
		}
	})
}

// TestFailedDeleteIsNotForgotten has one of two deletes of a prefix fail: that the other succeeds must not end the retries.
func TestFailedDeleteIsNotForgotten(t *testing.T) {
	for name, refused := range map[string]uint32{"the first fails": 7, "the second fails": 9} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake()
				stray := ours(t, "20.1.0.0/26", "192.0.2.77")
				stray.Metric = 7
				other := stray
				other.Metric = 9
				f.routes = []FIBRoute{stray, other}
				f.fail = func(_ string, op *Op) error {
					if op != nil && op.Route.Metric == refused {
						return &OpError{Errno: unix.ENOMEM}
					}
					return nil
				}
				r := runReconciler(t, testConfig(), f)
				r.AllowDelete()
				settle(10 * time.Minute)
				if n := r.Status().Errors[0].Count; n < 10 || n > 20 { // 1+2+4+8+16+32 s, then every minute
					t.Errorf("%d tries in ten minutes", n)
				}
				f.setFail(nil)
				settle(backoffMost)
				f.expect(t)
			})
		})
	}
}

// TestRefusedRouteIsTriedWhenItsLinkStirs refuses a route for as long as the kernel is not ready with a link whose state
// and addresses are known already: the next event of the link is a reason to try again, though it says nothing new.
func TestRefusedRouteIsTriedWhenItsLinkStirs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.fail = failing("apply", unix.EHOSTUNREACH)
		r := runReconciler(t, testConfig(), f)
		r.Set([]Change{wanted("20.1.0.0/26", "192.0.2.77")})
		settle(0)
		f.setFail(nil)
		f.mu.Lock()
		f.emit(Event{Kind: EventAddress, Address: testTopology().Addresses[2]}) // the end of duplicate address detection
		f.mu.Unlock()
		settle(0)
		if s := firstBlock(r); s.State != StateInstalled {
			t.Errorf("%+v", s)
		}
	})
}

// TestRepairsDoNotStarveTheRest has more to repair than ever gets done.
func TestRepairsDoNotStarveTheRest(t *testing.T) {
	l := newLoop(NewReconciler(testConfig(), newFake()))
	l.topology, l.deletes = testTopology(), true
	repairs, changes := blocks(20 * workBatch)[:18*workBatch], blocks(20 * workBatch)[18*workBatch:]
	for _, c := range repairs {
		l.takeChange(c)
		l.entries[c.Route.Prefix].queued = false
		l.enqueue(l.entries[c.Route.Prefix], causeDeleted, time.Time{})
	}
	l.changes = queue{}
	for _, c := range changes {
		l.takeChange(c)
	}
	stray := ours(t, "20.77.0.0/26", "192.0.2.77")
	e := l.entryFor(stray.Prefix)
	l.setHave(e, []FIBRoute{stray})
	l.enqueue(e, causeChange, time.Time{})
	for range 6 {
		l.work()
	}
	if l.repairs.empty() || !l.changes.empty() || !l.removals.empty() {
		t.Errorf("after six turns: repairs left %v, changes left %v, removals left %v",
			!l.repairs.empty(), !l.changes.empty(), !l.removals.empty())
	}
}

// TestStrifeIsBounded lets somebody delete a route whenever it is put back, at once.
func TestStrifeIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		fought := ours(t, "20.1.0.0/26", "192.0.2.77")
		var fighting atomic.Bool
		fighting.Store(true)
		f.fail = func(_ string, op *Op) error {
			if op != nil && op.Kind == OpAddRoute && op.Route == fought && fighting.Load() {
				go func() {
					for !slices.Contains(f.table(), fought) { // Apply holds the fake until it is there
					}
					f.outside(false, Op{Kind: OpDeleteRoute, Route: fought})
				}()
			}
			return nil
		}
		var lines lineCounter
		cfg := testConfig()
		cfg.Log = slog.New(&lines)
		r := runReconciler(t, cfg, f)
		r.Set([]Change{wanted("20.1.0.0/26", "192.0.2.77")})
		settle(10 * time.Second)
		if n := r.Status().Changes.Add; n < 10*strifeMost/2 || n > 12*strifeMost {
			t.Errorf("put back %d times in ten seconds", n)
		}
		if lines.count("route-strife") != 1 || lines.count("routes-repaired") != 1 {
			t.Errorf("in the log: %v", lines.lines)
		}
		r.Set([]Change{wanted("20.1.0.64/26", "192.0.2.77")})
		settle(0)
		if !slices.Contains(f.table(), ours(t, "20.1.0.64/26", "192.0.2.77")) {
			t.Error("another route has to wait")
		}
		fighting.Store(false)
		settle(strifeWindow)
		if s := firstBlock(r); s.State != StateInstalled || !slices.Contains(f.table(), fought) {
			t.Errorf("after the strife: %+v", s)
		}
	})
}

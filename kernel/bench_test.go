package kernel

import (
	"cmp"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const benchRoutes = 100_000

func benchOps(n *testNet) []Op {
	o := testConfig().owner()
	ops := make([]Op, 0, benchRoutes)
	for _, c := range blocks(benchRoutes) {
		by := way{device: int32(n.near.Attrs().Index)}
		ops = append(ops, Op{Kind: OpAddRoute, Table: testTable, Route: o.target(c.Route.Prefix, c.Route.NextHop, by)})
	}
	return ops
}

// BenchmarkApply installs and removes 100,000 routes in batches of several sizes; 1 is one by one.
func BenchmarkApply(b *testing.B) {
	for _, size := range []int{1, 100, 500, 1000, 2000, 5000, 10000} {
		b.Run(fmt.Sprintf("batch-%d", size), func(b *testing.B) {
			n := newTestNet(b)
			ops := benchOps(n)
			for b.Loop() {
				applyInSizes(b, n.fib, ops, size, OpAddRoute)
				b.StopTimer()
				applyInSizes(b, n.fib, ops, 2000, OpDeleteRoute)
				b.StartTimer()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchRoutes, "ns/route")
		})
	}
}

func applyInSizes(b *testing.B, fib *Netlink, ops []Op, size int, kind OpKind) {
	b.Helper()
	errs := make([]error, size)
	for i := range ops {
		ops[i].Kind = kind
	}
	fib.writer.mu.Lock()
	defer fib.writer.mu.Unlock()
	for from := 0; from < len(ops); from += size {
		part := ops[from:min(from+size, len(ops))]
		fib.applyBatch(part, errs[:len(part)])
		for i, err := range errs[:len(part)] {
			if err != nil {
				b.Fatalf("%s: %v", part[i], err)
			}
		}
	}
}

// BenchmarkEncode writes the messages of a batch, without sending them.
func BenchmarkEncode(b *testing.B) {
	for name, changes := range map[string][]Change{"ipv4": blocks(writeBatch), "ipv6": blocks6(writeBatch)} {
		b.Run(name, func(b *testing.B) {
			t := testTopology()
			ops := make([]Op, 0, writeBatch)
			for _, c := range changes {
				r := testConfig().owner().target(c.Route.Prefix, c.Route.NextHop, t.resolve(c.Route.NextHop))
				ops = append(ops, Op{Kind: OpAddRoute, Table: testTable, Route: r})
			}
			var e encoder
			b.ReportAllocs()
			for b.Loop() {
				e.reset()
				for i, o := range ops {
					e.op(o, uint32(i))
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/writeBatch, "ns/route")
		})
	}
}

// BenchmarkDecode reads one route message, as a dump has 100,000 of.
func BenchmarkDecode(b *testing.B) {
	for name, message := range map[string][]byte{"ipv4": routeSeeds()[0], "ipv6": routeSeeds()[2]} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := decodeRoute(message); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkDiffOne compares one entry that is as wanted: what a repair and a change cost the loop beside the kernel's work.
func BenchmarkDiffOne(b *testing.B) {
	o, t := testConfig().owner(), testTopology()
	c := blocks(1)[0].Route
	want := o.target(c.Prefix, c.NextHop, t.resolve(c.NextHop))
	have := []FIBRoute{want}
	b.ReportAllocs()
	for b.Loop() {
		if s := o.diff(&want, have, false); s.state != StateInstalled {
			b.Fatal(s.state)
		}
	}
}

// BenchmarkDump reads a table of 100,000 routes.
func BenchmarkDump(b *testing.B) {
	n := newTestNet(b)
	applyInSizes(b, n.fib, benchOps(n), 2000, OpAddRoute)
	b.ReportAllocs()
	for b.Loop() {
		count := 0
		_, err := n.fib.Routes(b.Context(), testTable, func(r []FIBRoute) { count += len(r) })
		if err != nil || count != benchRoutes {
			b.Fatalf("%d routes, %v", count, err)
		}
	}
}

// BenchmarkDigest is what a full compare of a table that rests costs.
func BenchmarkDigest(b *testing.B) {
	n := newTestNet(b)
	applyInSizes(b, n.fib, benchOps(n), 2000, OpAddRoute)
	b.ReportAllocs()
	for b.Loop() {
		_, err := n.fib.Routes(b.Context(), testTable, nil)
		n.must(err)
	}
}

// BenchmarkInstall is the whole way of 100,000 routes: from Set to the kernel.
func BenchmarkInstall(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		n := newTestNet(b)
		r := n.run(testConfig())
		changes := blocks(benchRoutes)
		b.StartTimer()
		r.Set(changes)
		waitInstalled(b, r, benchRoutes)
	}
}

// BenchmarkOneMore is one new route in a table that is full already, from Set to the kernel's acknowledgement.
func BenchmarkOneMore(b *testing.B) {
	for _, count := range []int{1000, benchRoutes} {
		b.Run(fmt.Sprintf("at-%d", count), func(b *testing.B) {
			n := newTestNet(b)
			o := &stopwatch{took: make(chan time.Duration, 1)}
			cfg := testConfig()
			cfg.Observer = o
			r := n.run(cfg)
			r.AllowDelete()
			r.Set(blocks(count))
			waitInstalled(b, r, count)
			var took []time.Duration
			for i := 0; b.Loop(); i++ {
				more := wanted(fmt.Sprintf("10.200.%d.%d/32", i>>8&255, i&255), "192.0.2.77")
				more.At = time.Now()
				r.Set([]Change{more})
				took = append(took, <-o.took)
				b.StopTimer()
				r.Set([]Change{unwanted(more.Route.Prefix.String())})
				waitInstalled(b, r, count)
				b.StartTimer()
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Nanoseconds())/1000, "median-us")
		})
	}
}

// stopwatch hands on how long each change took.
type stopwatch struct{ took chan time.Duration }

func (*stopwatch) Reconciled(string, time.Duration) {}
func (s *stopwatch) Converged(d time.Duration)      { s.took <- d }

func waitInstalled(b *testing.B, r *Reconciler, count int) {
	b.Helper()
	for {
		s := r.Status()
		if len(s.Routes) == 1 && s.Routes[0].Count(StateInstalled) == count && s.Routes[0].Wanted == count {
			return
		}
		if err := r.Ping(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDiffTable compares a whole table that is as wanted.
func BenchmarkDiffTable(b *testing.B) {
	o := testConfig().owner()
	t := testTopology()
	var routes []Route
	var table []FIBRoute
	for _, c := range blocks(benchRoutes) {
		routes = append(routes, c.Route)
		table = append(table, o.target(c.Route.Prefix, c.Route.NextHop, t.resolve(c.Route.NextHop)))
	}
	for b.Loop() {
		if p := o.planRoutes(t, routes, table, false); len(p.Ops) != 0 {
			b.Fatalf("%d operations", len(p.Ops))
		}
	}
}

// BenchmarkRepair deletes one route behind the reconciler's back and waits for the kernel to announce it again, as a
// second listener hears it: from the delete event to the add event.
func BenchmarkRepair(b *testing.B) {
	for _, count := range []int{1000, benchRoutes} {
		b.Run(fmt.Sprintf("at-%d", count), func(b *testing.B) {
			n := newTestNet(b)
			other, err := NewNetlink()
			n.must(err)
			defer other.Close()
			r := n.run(testConfig())
			changes := blocks(count)
			r.Set(changes)
			waitInstalled(b, r, count)
			events, err := other.Watch(b.Context(), testTable)
			n.must(err)
			var took []time.Duration
			for i := 0; b.Loop(); i++ {
				p := changes[i%count].Route.Prefix
				begin := time.Now()
				op := Op{Kind: OpDeleteRoute, Table: testTable, Route: FIBRoute{Prefix: p, Protocol: 114}}
				n.must(other.Apply([]Op{op})[0])
				drainAdds(events, 1)
				took = append(took, time.Since(begin))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "median-us")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
		})
	}
}

// drainAdds reads events until a number of routes were announced.
func drainAdds(events <-chan []Event, count int) {
	for count > 0 {
		for _, e := range <-events {
			if e.Kind == EventRoute && !e.Gone {
				count--
			}
		}
	}
}

// BenchmarkIdle is a reconciler at rest with 100,000 routes for ROUTED_IDLE (a minute, if not set): the share of a
// core that its checks, lookups and full compares take, and its memory. One iteration is enough: -benchtime 1x.
func BenchmarkIdle(b *testing.B) {
	n := newTestNet(b)
	span, err := time.ParseDuration(cmp.Or(os.Getenv("ROUTED_IDLE"), "1m"))
	n.must(err)
	before := liveHeap()
	cfg := testConfig()
	cfg.ResyncInterval = time.Minute
	r := n.run(cfg)
	r.AllowDelete()
	r.SetLookups([]netip.Prefix{netip.MustParsePrefix("20.0.0.0/8")})
	r.Set(blocks(benchRoutes))
	waitInstalled(b, r, benchRoutes)
	perRoute := float64(liveHeap()-before) / benchRoutes
	used := cpuTime(b)
	for b.Loop() {
		<-time.After(span)
	}
	used = cpuTime(b) - used
	b.ReportMetric(100*used.Seconds()/b.Elapsed().Seconds(), "%core")
	b.ReportMetric(perRoute, "B/route")
}

func liveHeap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// cpuTime is what this process has used so far, the kernel's work for it included.
func cpuTime(tb testing.TB) time.Duration {
	tb.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

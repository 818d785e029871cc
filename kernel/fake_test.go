package kernel

import (
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// fakeFIB behaves as the kernel's table does, as far as a Reconciler can tell, and fails on command.
type fakeFIB struct {
	mu       sync.Mutex
	routes   []FIBRoute // in the order of arrival within a key
	rules    []Rule
	topology Topology
	watchers []chan []Event

	fail    func(call string, op *Op) error    // asked before each call and operation; nil error: go on
	dumping func()                             // called in a dump, when it has read the table and yielded nothing yet
	ops     []Op                               // all that were applied with success
	digests int                                // dumps that were asked for their digest only
	lookups func(netip.Addr) (FIBRoute, error) // nil: as the table says
	own     owner                              // whose routes and rules Apply is about; zero: testConfig's
	asked   []netip.Addr                       // by Lookup
	seized  []Op                               // applied, and something foreign was not the same after it
}

func testTopology() Topology {
	return Topology{
		Links: map[int32]Link{
			1: {Index: 1, Name: "lo", Up: true, Running: true, Loopback: true},
			2: {Index: 2, Name: "eth0", Up: true, Running: true},
			3: {Index: 3, Name: "eth1", Up: true, Running: true},
		},
		Addresses: []Address{
			{Device: 1, Local: netip.MustParseAddr("127.0.0.1"), Subnet: netip.MustParsePrefix("127.0.0.0/8")},
			{Device: 2, Local: netip.MustParseAddr("192.0.2.1"), Subnet: netip.MustParsePrefix("192.0.2.0/24")},
			{Device: 2, Local: netip.MustParseAddr("2001:db8::1"), Subnet: netip.MustParsePrefix("2001:db8::/64")},
			{Device: 3, Local: netip.MustParseAddr("198.51.100.1"), Subnet: netip.MustParsePrefix("198.51.100.0/24")},
		},
	}
}

func newFake() *fakeFIB { return &fakeFIB{topology: testTopology()} }

func (f *fakeFIB) refuse(call string, op *Op) error {
	if f.fail == nil {
		return nil
	}
	return f.fail(call, op)
}

func (f *fakeFIB) Watch(ctx context.Context, _ uint32) (<-chan []Event, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.refuse("watch", nil); err != nil {
		return nil, err
	}
	c := make(chan []Event, 1024)
	f.watchers = append(f.watchers, c)
	context.AfterFunc(ctx, func() { f.closeWatch(c) })
	return c, nil
}

func (f *fakeFIB) closeWatch(c chan []Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if i := slices.Index(f.watchers, c); i >= 0 {
		f.watchers = slices.Delete(f.watchers, i, i+1)
		close(c)
	}
}

// breakWatch ends all subscriptions, as a failed socket does.
func (f *fakeFIB) breakWatch() {
	f.mu.Lock()
	watchers := slices.Clone(f.watchers)
	f.mu.Unlock()
	for _, c := range watchers {
		f.closeWatch(c)
	}
}

// emit is called with mu held.
func (f *fakeFIB) emit(events ...Event) {
	for _, c := range f.watchers {
		c <- events
	}
}

func (f *fakeFIB) Routes(_ context.Context, _ uint32, yield func([]FIBRoute)) (Digest, error) {
	f.mu.Lock()
	err := f.refuse("routes", nil)
	routes, dumping := slices.Clone(f.routes), f.dumping
	if yield == nil {
		f.digests++
	}
	f.mu.Unlock() // yield may wait for other calls
	if dumping != nil {
		dumping()
	}
	if err != nil {
		if yield != nil {
			yield(routes[:len(routes)/2])
		}
		return 0, err
	}
	if yield != nil {
		for piece := range slices.Chunk(routes, 3) {
			yield(piece)
		}
	}
	return digestOf(routes), nil
}

func digestOf(routes []FIBRoute) Digest {
	h := fnv.New64a()
	fmt.Fprint(h, routes)
	return Digest(h.Sum64())
}

func (f *fakeFIB) Rules(context.Context) ([]Rule, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.rules), f.refuse("rules", nil)
}

func (f *fakeFIB) Topology(context.Context) (Topology, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.topology.Clone(), f.refuse("topology", nil)
}

func (f *fakeFIB) Lookup(addrs []netip.Addr) []Answer {
	f.mu.Lock()
	defer f.mu.Unlock()
	answers := make([]Answer, len(addrs))
	for i, a := range addrs {
		answers[i].Route, answers[i].Err = f.lookup(a)
		if answers[i].Err == nil {
			answers[i].Route.Prefix = netip.PrefixFrom(a, a.BitLen())
		}
	}
	return answers
}

func (f *fakeFIB) lookup(a netip.Addr) (FIBRoute, error) {
	f.asked = append(f.asked, a)
	if err := f.refuse("lookup", nil); err != nil {
		return FIBRoute{}, err
	}
	if f.lookups != nil {
		return f.lookups(a)
	}
	best := FIBRoute{}
	for _, r := range f.routes {
		if r.Prefix.Contains(a) && (!best.Prefix.IsValid() || r.Prefix.Bits() > best.Prefix.Bits() ||
			r.Prefix == best.Prefix && r.Metric < best.Metric) {
			best = r
		}
	}
	if !best.Prefix.IsValid() {
		return FIBRoute{}, &OpError{Errno: unix.ENETUNREACH}
	}
	return best, nil
}

func (f *fakeFIB) Apply(ops []Op) []error {
	f.mu.Lock()
	defer f.mu.Unlock()
	errs := make([]error, len(ops))
	for i := range ops {
		if errs[i] = f.refuse("apply", &ops[i]); errs[i] != nil {
			continue
		}
		routes, rules := foreignOf(f.routes), f.foreignRules()
		errno := f.applyOurs(ops[i])
		if !slices.Equal(routes, foreignOf(f.routes)) || !slices.Equal(rules, f.foreignRules()) {
			f.seized = append(f.seized, ops[i])
		}
		if errno != 0 {
			errs[i] = &OpError{Errno: errno}
			continue
		}
		f.ops = append(f.ops, ops[i])
	}
	return errs
}

// applyOurs replaces as Apply does, never over a route other than the one named; anybody else just replaces.
func (f *fakeFIB) applyOurs(op Op) syscall.Errno {
	if op.Kind != OpReplaceRoute {
		return f.applyOne(op)
	}
	if i := slices.Index(f.routes, op.Old); i >= 0 && i == slices.IndexFunc(f.routes, func(r FIBRoute) bool {
		return sameKey(r, op.Route)
	}) {
		f.routes[i] = op.Route
		return 0
	}
	op.Kind = OpAddRoute
	return f.applyOne(op)
}

func (f *fakeFIB) applyOne(op Op) syscall.Errno {
	place := slices.IndexFunc(f.routes, func(r FIBRoute) bool { return sameKey(r, op.Route) })
	switch op.Kind {
	case OpAddRoute:
		if place >= 0 {
			return unix.EEXIST
		}
		f.routes = append(f.routes, op.Route)
	case OpReplaceRoute:
		if place < 0 {
			return unix.ENOENT
		}
		f.routes[place] = op.Route
	case OpDeleteRoute:
		i := slices.IndexFunc(f.routes, func(r FIBRoute) bool {
			return deleteMatches(r, op.Route)
		})
		if i < 0 {
			return unix.ESRCH
		}
		f.routes = slices.Delete(f.routes, i, i+1)
	case OpAddRule:
		same := func(r Rule) bool { // to rule_exists in net/core/fib_rules.c, which looks at no protocol
			r.Protocol, r.Unsigned = op.Rule.Protocol, op.Rule.Unsigned
			return r == op.Rule
		}
		if slices.ContainsFunc(f.rules, same) {
			return unix.EEXIST
		}
		f.rules = append(f.rules, op.Rule)
	case OpDeleteRule:
		i := slices.Index(f.rules, op.Rule)
		if i < 0 {
			return unix.ENOENT
		}
		f.rules = slices.Delete(f.rules, i, i+1)
	}
	return 0
}

// deleteMatches is what the kernel removes, given what the message names.
func deleteMatches(r, named FIBRoute) bool {
	return sameKey(r, named) && r.Protocol == named.Protocol &&
		(!namesNextHop(named) || r.Gateway == named.Gateway && r.Device == named.Device)
}

// outside is somebody else's change, with its event unless it is to go unheard.
func (f *fakeFIB) outside(unheard bool, op Op) {
	f.mu.Lock()
	defer f.mu.Unlock()
	before := slices.Clone(f.routes)
	if f.applyOne(op) != 0 || unheard {
		return
	}
	ev := Event{Kind: EventRoute, Route: op.Route}
	switch op.Kind {
	case OpReplaceRoute:
		ev.Mode = putReplace
	case OpDeleteRoute:
		ev.Gone = true
		for _, r := range before {
			if ev.Route == op.Route && deleteMatches(r, op.Route) {
				ev.Route = r
			}
		}
	case OpAddRule, OpDeleteRule:
		ev = Event{Kind: EventRule, Gone: op.Kind == OpDeleteRule, Rule: op.Rule}
	case OpAddRoute:
	}
	f.emit(ev)
}

// linkState brings a link up or down; down takes its routes away without an event of their own.
func (f *fakeFIB) linkState(index int32, up bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	link := f.topology.Links[index]
	link.Up = up
	f.topology.Links[index] = link
	if !up {
		f.routes = slices.DeleteFunc(f.routes, func(r FIBRoute) bool { return r.Device == index })
	}
	f.emit(Event{Kind: EventLink, Link: link})
}

// linkFalling tells that a link is down while its routes are still there, as the kernel does for a moment.
func (f *fakeFIB) linkFalling(index int32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	link := f.topology.Links[index]
	link.Up = false
	f.topology.Links[index] = link
	f.emit(Event{Kind: EventLink, Link: link})
}

// addressState adds or removes an address. With the last IPv4 address of a link go its IPv4 routes, without an event.
func (f *fakeFIB) addressState(a Address, present bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if slices.Contains(f.topology.Addresses, a) == present {
		return
	}
	if present {
		f.topology.setAddress(a)
	} else {
		f.topology.dropAddress(a)
		f.routes = slices.DeleteFunc(f.routes, func(r FIBRoute) bool {
			return r.Device == a.Device && a.Local.Is4() && !isIPv6(r.Prefix) && !f.topology.hasIPv4(a.Device)
		})
	}
	f.emit(Event{Kind: EventAddress, Gone: !present, Address: a})
}

func (f *fakeFIB) overrun() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.emit(Event{Kind: EventOverrun})
}

func (f *fakeFIB) setFail(fail func(call string, op *Op) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail = fail
}

func (f *fakeFIB) setDumping(during func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dumping = during
}

// setLookups has lookups answered by a function, of which the addresses asked for before are forgotten.
func (f *fakeFIB) setLookups(answer func(netip.Addr) (FIBRoute, error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lookups, f.asked = answer, nil
}

// questions are the addresses looked up since they were last asked for.
func (f *fakeFIB) questions() []netip.Addr {
	f.mu.Lock()
	defer f.mu.Unlock()
	asked := f.asked
	f.asked = nil
	return asked
}

// table is the routes, in the order of their prefixes.
func (f *fakeFIB) table() []FIBRoute {
	f.mu.Lock()
	defer f.mu.Unlock()
	routes := slices.Clone(f.routes)
	slices.SortStableFunc(routes, func(a, b FIBRoute) int { return a.Prefix.Compare(b.Prefix) })
	return routes
}

// wronged are the operations that changed something foreign.
func (f *fakeFIB) wronged() []Op {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.seized)
}

func (f *fakeFIB) ruleList() []Rule {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.rules)
}

func (f *fakeFIB) applied() []Op {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.ops)
}

func foreignOf(table []FIBRoute) []FIBRoute {
	return slices.DeleteFunc(slices.Clone(table), func(r FIBRoute) bool { return r.Protocol == 114 })
}

func (f *fakeFIB) foreignRules() []Rule {
	own := cmp.Or(f.own, testConfig().owner())
	return slices.DeleteFunc(slices.Clone(f.rules), own.ownsRule)
}

func ours(tb testing.TB, prefix, via string) FIBRoute {
	tb.Helper()
	hop := netip.MustParseAddr(via)
	by := testTopology().resolve(hop)
	if by.reason != "" {
		tb.Fatal(by.reason)
	}
	return testConfig().owner().target(netip.MustParsePrefix(prefix), hop, by)
}

func foreignRoute(tb testing.TB, prefix, via string) FIBRoute {
	tb.Helper()
	r := ours(tb, prefix, via)
	r.Protocol = unix.RTPROT_STATIC
	return r
}

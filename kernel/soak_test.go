package kernel

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

const (
	soakShort    = 8 * time.Second // without ROUTED_SOAK
	soakExtra    = 2 * time.Minute // at the most, until everything has happened
	soakPrefixes = 2000
	soakPatience = 20 * time.Second
	soakStatic   = unix.RTPROT_STATIC
)

// TestKernelSoak lets the mesh, other programs and mishaps loose on a real table, a private one for one half of the time
// and main for the other: deletions, seizures by foreign routes, link flaps, lost carriers, lost addresses, lost rules, rules
// that come before ours, overruns of a tiny receive buffer. At each quiet moment the table equals what is wanted, every
// route is reported as it stands, every foreign route and rule is where its owner put it, and nothing the reconciler ever
// wrote was about a foreign route. ROUTED_SOAK=10m makes it long; ROUTED_SOAK_SEED repeats a run's choices.
func TestKernelSoak(t *testing.T) {
	span, err := time.ParseDuration(cmp.Or(os.Getenv("ROUTED_SOAK"), soakShort.String()))
	if err != nil {
		t.Fatalf("ROUTED_SOAK: %v", err)
	}
	seed := rand.Uint64()
	if text := os.Getenv("ROUTED_SOAK_SEED"); text != "" {
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("ROUTED_SOAK_SEED: %v", err)
		}
	}
	for _, table := range []uint32{testTable, unix.RT_TABLE_MAIN} {
		t.Run(fmt.Sprintf("table %d", table), func(t *testing.T) { soakTable(t, table, span/2, seed) })
	}
}

func soakTable(t *testing.T, table uint32, span time.Duration, seed uint64) {
	t.Helper()
	n := newTestNet(t)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("to repeat: ROUTED_SOAK_SEED=%d ROUTED_SOAK=%v", seed, 2*span)
		}
	})
	s := newKernelSoak(n, table, seed)
	rounds := 0
	// A slow machine has few rounds in the time, and then goes on until it has seen everything.
	end, late := time.Now().Add(span), time.Now().Add(span+soakExtra)
	for time.Now().Before(end) || !s.sawAll() && time.Now().Before(late) {
		s.round()
		s.quiet()
		rounds++
	}
	status := s.rec.Status()
	t.Logf("%d rounds, %d conflicts, %d shadowed, %d overruns, repairs %+v, changes %+v, %d foreign changes, errors %+v",
		rounds, s.conflicts, s.shadowed, status.Overruns, status.Repairs, status.Changes, s.foreignOps, status.Errors)
	if !s.sawAll() {
		t.Error("the run was too gentle to prove anything")
	}
}

// sawAll says whether all that can go wrong went wrong at least once.
func (s *kernelSoak) sawAll() bool {
	status := s.rec.Status()
	r := status.Repairs
	return status.Overruns > 0 && s.conflicts > 0 && s.shadowed > 0 && r.Deleted > 0 && r.Changed > 0 && r.Link > 0 &&
		r.Resync > 0 && (r.Rule > 0 || s.table == mainTable)
}

// foreignKey is the place of a foreign route. Ours is in the same one when its metric is the default.
type foreignKey struct {
	prefix netip.Prefix
	metric uint32
}

// kernelSoak is one run: what the mesh wants, and what others have in the kernel.
type kernelSoak struct {
	*testNet
	table  uint32
	rng    *rand.Rand
	rec    *Reconciler
	other  *Netlink // another program that writes in batches
	events *watchConn
	links  map[string]netlink.Link
	seen   *soakWitness

	universe []netip.Prefix
	wanted   map[netip.Prefix]netip.Addr
	foreign  map[foreignKey]netip.Addr
	rules    map[netip.Prefix]bool // foreign rules that look like ours, by destination
	ahead    map[netip.Prefix]bool // rules that come before ours and throw packets to a block away

	conflicts, shadowed, foreignOps int
}

// soakHop is a next hop and the link it is on.
type soakHop struct{ addr, link string }

func soakHops(ipv6 bool) []soakHop {
	if ipv6 {
		return []soakHop{{"2001:db8::77", "near"}, {"2001:db8::78", "near"}, {"2001:db8:1::77", "near2"}}
	}
	return []soakHop{{"192.0.2.77", "near"}, {"192.0.2.78", "near"}, {"198.51.100.77", "near2"}}
}

func soakAddrs(link string) (v4, v6 string) {
	if link == "near2" {
		return "198.51.100.1/24", "2001:db8:1::1/64"
	}
	return nearAddr4, nearAddr6
}

func soakLookups() []netip.Prefix { return prefixes("20.0.0.0/8", "2001:db8:20::/48") }

func newKernelSoak(n *testNet, table uint32, seed uint64) *kernelSoak {
	n.t.Helper()
	v4, v6 := soakAddrs("near2")
	s := &kernelSoak{
		testNet: n,
		table:   table,
		rng:     rand.New(rand.NewPCG(seed, seed)), //nolint:gosec // to be repeated
		events:  n.fib.events,
		links:   map[string]netlink.Link{"near": n.near, "near2": n.addVeth("near2", "far2", v4, v6)},
		wanted:  make(map[netip.Prefix]netip.Addr),
		foreign: make(map[foreignKey]netip.Addr),
		rules:   make(map[netip.Prefix]bool),
		ahead:   make(map[netip.Prefix]bool),
	}
	for i, c := range blocks(soakPrefixes) {
		p := c.Route.Prefix
		if i%3 == 0 {
			p = netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, 0x20, 14: byte(i >> 2), 15: byte(i << 6)}), 122)
		}
		if !slices.Contains(s.universe, p) {
			s.universe = append(s.universe, p)
		}
	}
	var err error
	s.other, err = NewNetlink()
	n.must(err)
	n.t.Cleanup(func() { n.must(s.other.Close()) })
	s.seen = watchWriter(n, table, n.fib.writer.portID)
	cfg := testConfig()
	cfg.Table = table
	s.rec = n.run(cfg)
	s.rec.AllowDelete()
	s.rec.SetLookups(soakLookups())
	return s
}

// round does each kind of mischief once, some more often, in a random order.
func (s *kernelSoak) round() {
	do := []func(){
		s.changeWanted, s.changeWanted, s.changeWanted, s.deleteOurs, s.deleteOurs, s.deleteOurs, s.seize, s.seize,
		s.release, s.release, s.mangle, s.stray, s.coexist, s.flap, s.loseCarrier, s.loseAddress, s.deleteRule, s.foreignRule,
		s.comeBefore, s.comeBefore, s.tinyBuffer, s.largeBuffer, s.breathe, s.breathe, s.breathe,
	}
	s.rng.Shuffle(len(do), func(i, j int) { do[i], do[j] = do[j], do[i] })
	for _, f := range do {
		f()
	}
}

func (s *kernelSoak) prefix() netip.Prefix { return s.universe[s.rng.IntN(len(s.universe))] }

func (s *kernelSoak) hop(p netip.Prefix) netip.Addr {
	hops := soakHops(isIPv6(p))
	return netip.MustParseAddr(hops[s.rng.IntN(len(hops))].addr)
}

func (s *kernelSoak) changeWanted() {
	changes := make([]Change, s.rng.IntN(500))
	for i := range changes {
		p := s.prefix()
		changes[i] = Change{Route: Route{Prefix: p}}
		if s.rng.IntN(3) == 0 {
			delete(s.wanted, p)
			continue
		}
		s.wanted[p] = s.hop(p)
		changes[i].Route.NextHop, changes[i].Route.Group = s.wanted[p], "c2"
	}
	s.rec.Set(changes)
}

// deleteOurs deletes some, at times nearly all, of our routes in one burst.
func (s *kernelSoak) deleteOurs() {
	ops := make([]Op, 0, len(s.universe))
	share := 1 + s.rng.IntN(100)
	for _, p := range s.universe {
		if s.rng.IntN(100) >= share {
			continue
		}
		r := FIBRoute{Prefix: p, Protocol: 114, Metric: ownMetric(p), Type: unix.RTN_UNICAST}
		ops = append(ops, Op{Kind: OpDeleteRoute, Table: s.table, Route: r})
	}
	for _, err := range s.other.Apply(ops) {
		if err != nil && !isGone(err) {
			s.t.Fatal(err)
		}
	}
}

// eyeRoute is a route for the independent library.
func (s *kernelSoak) eyeRoute(k foreignKey, via netip.Addr, proto int) *netlink.Route {
	r := s.route(k.prefix.String(), via.String(), proto)
	r.Priority, r.Table = int(k.metric), int(s.table)
	return r
}

func (s *kernelSoak) setForeign(k foreignKey) {
	via := s.hop(k.prefix)
	s.must(s.eye.RouteReplace(s.eyeRoute(k, via, soakStatic)))
	s.foreign[k] = via
	s.foreignOps++
}

// seize puts foreign routes in the places of ours.
func (s *kernelSoak) seize() {
	for range 1 + s.rng.IntN(20) {
		p := s.prefix()
		s.setForeign(foreignKey{p, ownMetric(p)})
	}
}

// coexist puts foreign routes beside ours.
func (s *kernelSoak) coexist() {
	for range 1 + s.rng.IntN(20) {
		s.setForeign(foreignKey{s.prefix(), 7})
	}
}

// release removes foreign routes, which must be there.
func (s *kernelSoak) release() {
	keys := s.foreignKeys()
	s.rng.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	for _, k := range keys[:s.rng.IntN(len(keys)+1)] {
		if err := s.eye.RouteDel(s.eyeRoute(k, s.foreign[k], soakStatic)); err != nil {
			s.t.Fatalf("the foreign route %v via %v was touched: %v", k, s.foreign[k], err)
		}
		delete(s.foreign, k)
		s.foreignOps++
	}
}

func (s *kernelSoak) foreignKeys() []foreignKey {
	return slices.SortedFunc(maps.Keys(s.foreign), func(a, b foreignKey) int {
		return cmp.Or(a.prefix.Compare(b.prefix), cmp.Compare(a.metric, b.metric))
	})
}

// mangle changes routes of ours behind our back, with our own protocol.
func (s *kernelSoak) mangle() {
	for range 1 + s.rng.IntN(50) {
		p := s.prefix()
		if _, taken := s.foreign[foreignKey{p, ownMetric(p)}]; !taken {
			s.must(s.eye.RouteReplace(s.eyeRoute(foreignKey{p, ownMetric(p)}, s.hop(p), 114)))
		}
	}
}

// stray adds routes that are marked as ours and that nobody wants.
func (s *kernelSoak) stray() {
	for range 1 + s.rng.IntN(20) {
		p := s.prefix()
		s.must(s.eye.RouteReplace(s.eyeRoute(foreignKey{p, 9}, s.hop(p), 114)))
	}
}

func (s *kernelSoak) anyName() string { return []string{"near", "near2"}[s.rng.IntN(2)] }

func (s *kernelSoak) anyLink() (name string, link netlink.Link) {
	name = s.anyName()
	return name, s.links[name]
}

// flap takes a link down and up. The kernel drops all routes over it, and its IPv6 addresses.
func (s *kernelSoak) flap() {
	name, link := s.anyLink()
	s.must(s.eye.LinkSetDown(link))
	s.dropForeign(name, func(netip.Prefix) bool { return true })
	s.breathe()
	s.must(s.eye.LinkSetUp(link))
	_, v6 := soakAddrs(name)
	s.must(s.eye.AddrReplace(link, testAddr(s.t, v6)))
}

// loseCarrier takes the carrier of a link away and gives it back. Routes stay.
func (s *kernelSoak) loseCarrier() {
	far, err := s.eye.LinkByName(map[string]string{"near": "far", "near2": "far2"}[s.anyName()])
	s.must(err)
	s.must(s.eye.LinkSetDown(far))
	s.breathe()
	s.must(s.eye.LinkSetUp(far))
}

// loseAddress takes the address of a link away and gives it back. With the last IPv4 address go all IPv4 routes.
func (s *kernelSoak) loseAddress() {
	name, link := s.anyLink()
	v4, v6 := soakAddrs(name)
	lost := v6
	if s.rng.IntN(2) == 0 {
		lost = v4
		defer s.dropForeign(name, func(p netip.Prefix) bool { return !isIPv6(p) })
	}
	s.must(s.eye.AddrDel(link, testAddr(s.t, lost)))
	s.breathe()
	s.must(s.eye.AddrAdd(link, testAddr(s.t, lost)))
}

// dropForeign forgets the foreign routes that the kernel dropped with a link.
func (s *kernelSoak) dropForeign(link string, of func(netip.Prefix) bool) {
	maps.DeleteFunc(s.foreign, func(k foreignKey, via netip.Addr) bool {
		return of(k.prefix) && slices.Contains(soakHops(isIPv6(k.prefix)), soakHop{via.String(), link})
	})
}

func (s *kernelSoak) deleteRule() {
	if s.table == mainTable {
		return // it has none of ours
	}
	lookups := soakLookups()
	rule := netlinkRule(testConfig().owner().rule(lookups[s.rng.IntN(len(lookups))]))
	if err := s.eye.RuleDel(rule); err != nil && !isGone(err) {
		s.t.Fatal(err)
	}
}

// foreignRule adds or removes a rule of somebody else that looks much like one of ours.
func (s *kernelSoak) foreignRule() {
	to := netip.MustParsePrefix(fmt.Sprintf("20.%d.0.0/16", s.rng.IntN(4)))
	if s.rng.IntN(2) == 0 {
		to = netip.MustParsePrefix(fmt.Sprintf("2001:db8:20:%d::/64", 1+s.rng.IntN(4)))
	}
	s.toggleRule(s.rules, to, testConfig().owner().rule(to))
}

// comeBefore adds or removes a rule that takes the packets to one block before ours is asked.
func (s *kernelSoak) comeBefore() {
	to := s.prefix()
	if len(s.ahead) > 0 && s.rng.IntN(2) == 0 {
		to = slices.SortedFunc(maps.Keys(s.ahead), netip.Prefix.Compare)[0]
	}
	s.toggleRule(s.ahead, to, Rule{Priority: 100, Table: 99, IPv6: isIPv6(to), To: to})
}

func (s *kernelSoak) toggleRule(there map[netip.Prefix]bool, to netip.Prefix, r Rule) {
	rule := netlinkRule(r)
	rule.Protocol = soakStatic
	if r.Table == 99 {
		rule.Type = unix.FR_ACT_BLACKHOLE
	}
	if there[to] {
		s.must(s.eye.RuleDel(rule))
		delete(there, to)
		return
	}
	s.must(s.eye.RuleAdd(rule))
	there[to] = true
}

func (s *kernelSoak) tinyBuffer()  { s.receiveBuffer(2048) }
func (s *kernelSoak) largeBuffer() { s.receiveBuffer(watchBuffer) }

func (s *kernelSoak) receiveBuffer(size int) {
	s.must(s.events.control(func(fd int) error {
		return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, size)
	}))
}

// breathe lets the reconciler get somewhere, or nowhere.
func (s *kernelSoak) breathe() {
	<-time.After(time.Duration(s.rng.IntN(30)) * time.Millisecond)
}

// quiet waits until all is as it must be.
func (s *kernelSoak) quiet() {
	s.t.Helper()
	want := s.expected()
	deadline := time.Now().Add(soakPatience)
	for {
		problem := s.compare(want)
		if problem == "" {
			break
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("not within %v of the last change: %s", soakPatience, problem)
		}
		<-time.After(5 * time.Millisecond)
	}
	if problem := s.seen.problem(); problem != "" {
		s.t.Fatal(problem)
	}
}

type soakLine struct {
	prefix string
	via    string
	metric uint32
	proto  int
}

// expected is the table as it must be: all foreign routes, and each wanted one whose place is free.
func (s *kernelSoak) expected() map[soakLine]bool {
	want := make(map[soakLine]bool)
	for k, via := range s.foreign {
		want[soakLine{k.prefix.String(), via.String(), k.metric, soakStatic}] = true
	}
	for p, via := range s.wanted {
		if _, taken := s.foreign[foreignKey{p, ownMetric(p)}]; taken {
			s.conflicts++
			continue
		}
		want[soakLine{p.String(), via.String(), ownMetric(p), 114}] = true
	}
	return want
}

// compare says what is not as it must be, if anything.
func (s *kernelSoak) compare(want map[soakLine]bool) string {
	got := make(map[soakLine]bool)
	err := s.eye.RouteListFilteredIter(netlink.FAMILY_ALL, &netlink.Route{Table: int(s.table)}, netlink.RT_FILTER_TABLE,
		func(r netlink.Route) bool {
			if r.Gw != nil { // main has the kernel's own as well
				got[soakLine{r.Dst.String(), r.Gw.String(), uint32(r.Priority), int(r.Protocol)}] = true
			}
			return true
		})
	if err != nil {
		return "dump: " + err.Error()
	}
	for l := range got {
		if !want[l] {
			return fmt.Sprintf("in the table and should not be: %+v; %s", l, s.known(l.prefix))
		}
	}
	for l := range want {
		if !got[l] {
			return fmt.Sprintf("not in the table: %+v; %s", l, s.known(l.prefix))
		}
	}
	if problem := s.compareRules(); problem != "" {
		return problem
	}
	return s.compareStatus()
}

// known is what the run knows of a prefix, to explain a failure.
func (s *kernelSoak) known(prefix string) string {
	p := netip.MustParsePrefix(prefix)
	return fmt.Sprintf("wanted via %v; foreign via %v, with metric 7 via %v", s.wanted[p],
		s.foreign[foreignKey{p, ownMetric(p)}], s.foreign[foreignKey{p, 7}])
}

func (s *kernelSoak) compareRules() string {
	want := []string{"20.0.0.0/8", "2001:db8:20::/48"}
	if s.table == mainTable {
		want = nil
	}
	if got := s.ourRules(); !slices.Equal(got, want) {
		return fmt.Sprintf("our rules are %v, want %v", got, want)
	}
	rules, err := s.eye.RuleList(netlink.FAMILY_ALL)
	if err != nil {
		return "rules: " + err.Error()
	}
	var have, foreign []string
	for _, r := range rules {
		if r.Protocol == soakStatic {
			have = append(have, fmt.Sprintf("%d: to %s", r.Priority, r.Dst))
		}
	}
	for to := range s.rules {
		foreign = append(foreign, fmt.Sprintf("1790: to %s", to))
	}
	for to := range s.ahead {
		foreign = append(foreign, fmt.Sprintf("100: to %s", to))
	}
	slices.Sort(have)
	slices.Sort(foreign)
	if !slices.Equal(have, foreign) {
		return fmt.Sprintf("the foreign rules are %v, want %v", have, foreign)
	}
	return ""
}

// compareStatus checks that what the reconciler reports is what is.
func (s *kernelSoak) compareStatus() string {
	shadowed := 0
	for _, r := range s.rec.Routes() {
		want := s.stateOf(r.Route.Prefix)
		if r.State != want || s.wanted[r.Route.Prefix] != r.Route.NextHop {
			return fmt.Sprintf("reported as %+v, must be %v via %v", r, want, s.wanted[r.Route.Prefix])
		}
		if want == StateShadowed {
			shadowed++
		}
	}
	reported := 0
	for _, g := range s.rec.Status().Routes {
		reported += g.Wanted
	}
	if reported != len(s.wanted) {
		return fmt.Sprintf("%d routes reported, %d are wanted", reported, len(s.wanted))
	}
	s.shadowed += shadowed
	return ""
}

// stateOf is how a wanted route must stand. An IPv6 route of ours has metric 1024 and is shadowed by a foreign one with metric
// 7, unless that has the same next hop.
func (s *kernelSoak) stateOf(p netip.Prefix) State {
	_, taken := s.foreign[foreignKey{p, ownMetric(p)}]
	via, beside := s.foreign[foreignKey{p, 7}]
	switch {
	case taken:
		return StateConflict
	case s.ahead[p], isIPv6(p) && beside && via != s.wanted[p]:
		return StateShadowed
	}
	return StateInstalled
}

// soakWitness listens to every route change in the namespace and notes what the reconciler's socket should never
// have done.
type soakWitness struct {
	mu    sync.Mutex
	wrong string
}

func (w *soakWitness) problem() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.wrong
}

func (w *soakWitness) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.wrong == "" {
		w.wrong = fmt.Sprintf(format, args...)
	}
}

func watchWriter(n *testNet, table, port uint32) *soakWitness {
	n.t.Helper()
	socket, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE)
	n.must(err)
	n.must(socket.SetReceiveBufferSize(64<<20, true))
	w := &soakWitness{}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			messages, _, err := socket.Receive()
			if errors.Is(err, os.ErrClosed) {
				return
			}
			if err != nil {
				w.note("the witness is blind: %v", err)
				return
			}
			for _, m := range messages {
				r, err := decodeRoute(m.Data)
				if err != nil || m.Header.Pid == port && (r.Protocol != 114 || r.table != table) {
					w.note("the reconciler wrote message type %d about %+v (%v)", m.Header.Type, r, err)
				}
			}
		}
	}()
	n.t.Cleanup(func() { socket.Close(); <-ended })
	return w
}

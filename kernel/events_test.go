package kernel

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// episode is something that happens to a route on a real kernel, or to what the route hangs on.
type episode struct {
	name string
	// happen does it. It is told what a route stands for by the stage.
	happen func(s *stage)
	// state is how the route stands then, for as long as nothing else happens.
	state State
	// undo takes it back, after which the route is installed; nil: it was installed all along or is back already.
	undo func(s *stage)
	// only limits it to one family or table, by the words of stage.String.
	only string
	// races says that ours may just be on its way back, and be refused.
	races bool
}

// stage is one family and one table, and a reconciler that wants two routes: one that things happen to and, over another
// link, one that they must not touch.
type stage struct {
	*testNet
	family
	table int
	far   netlink.Link
	rec   *Reconciler
	other Change // the one that nothing happens to
}

func (s *stage) String() string {
	if s.table == unix.RT_TABLE_MAIN {
		return s.name + " main"
	}
	return s.name + " private"
}

// ip runs iproute2 in the namespace: what happens is done by other code than ours.
func (s *stage) ip(format string, args ...any) {
	s.t.Helper()
	flag := "-4"
	if s.name == "ipv6" {
		flag = "-6"
	}
	words := append([]string{flag}, strings.Fields(fmt.Sprintf(format, args...))...)
	if out, err := exec.CommandContext(s.t.Context(), "ip", words...).CombinedOutput(); err != nil {
		s.t.Fatalf("ip %s: %v: %s", strings.Join(words, " "), err, out)
	}
}

// seize puts a foreign route in the place of ours.
func (s *stage) seize() {
	s.ip("route replace %s via %s proto static table %d", s.prefix, s.hop2, s.table)
}

func (s *stage) vacate() { s.ip("route del %s proto static table %d", s.prefix, s.table) }

func (s *stage) down() { s.ip("link set near down") }

// up brings the link up again, with the IPv6 address that the kernel dropped.
func (s *stage) up() {
	s.ip("link set near up")
	if s.name == "ipv6" {
		s.addAddr(s.near, s.addr)
	}
}

func (s *stage) sysctl(key, value string) {
	s.t.Helper()
	// The file is that of the namespace of the thread that opens it.
	s.must(os.WriteFile("/proc/sys/net/"+key, []byte(value), 0o644))
}

// subnetOf is the subnet of an address on a link, with another host part.
func (s *stage) neighbourOf(a string) string {
	bits := 24
	if s.name == "ipv6" {
		bits = 64
	}
	return netip.PrefixFrom(netip.MustParseAddr(a).Next(), bits).String()
}

func episodes() []episode {
	return []episode{
		{name: "deleted", state: StateInstalled, happen: func(s *stage) { s.ip("route del %s table %d", s.prefix, s.table) }},
		{name: "changed", state: StateInstalled, happen: func(s *stage) {
			s.ip("route change %s via %s proto 114 table %d", s.prefix, s.hop2, s.table)
		}},
		{name: "changed to a blackhole", state: StateInstalled, happen: func(s *stage) {
			s.ip("route replace blackhole %s proto 114 table %d", s.prefix, s.table)
		}, only: "ipv4"},
		{name: "replaced by a foreign route", state: StateConflict, happen: (*stage).seize, undo: (*stage).vacate},
		{name: "deleted and seized", state: StateConflict, happen: func(s *stage) {
			s.down() // so that the foreign route is there before ours is back
			s.up()
			s.seize()
		}, undo: (*stage).vacate, races: true},
		{name: "a foreign route in front", state: StateConflict, happen: func(s *stage) {
			s.ip("route prepend %s via %s proto static table %d", s.prefix, s.hop2, s.table)
		}, undo: (*stage).vacate, only: "ipv4"},
		{name: "a foreign route behind", state: StateInstalled, happen: func(s *stage) {
			s.ip("route append %s via %s proto static table %d", s.prefix, s.hop2, s.table)
		}, only: "ipv4"},
		{name: "bundled with a foreign route", state: StateConflict, happen: func(s *stage) {
			s.ip("route append %s via %s proto static table %d", s.prefix, s.hop2, s.table)
		}, undo: func(s *stage) { // the kernel deletes one of a bundle by its next hop
			s.ip("route del %s via %s proto static table %d", s.prefix, s.hop2, s.table)
		}, only: "ipv6"},
		{name: "replaced by a route with a next-hop object", state: StateConflict, happen: func(s *stage) {
			s.ip("nexthop add id 7 via %s dev near", s.hop2)
			s.ip("route replace %s nhid 7 proto static table %d", s.prefix, s.table)
		}, undo: func(s *stage) { s.ip("nexthop del id 7") }}, // the route goes with it, that of IPv4 in silence
		{name: "replaced by a route with a preferred source", state: StateConflict, happen: func(s *stage) {
			s.addAddr(s.far, preferred(s.family))
			source := netip.MustParsePrefix(preferred(s.family)).Addr()
			s.ip("route replace %s via %s src %s proto static table %d", s.prefix, s.hop2, source, s.table)
		}, undo: func(s *stage) {
			s.must(s.eye.AddrDel(s.far, testAddr(s.t, preferred(s.family))))
			if s.name == "ipv6" || s.table != unix.RT_TABLE_MAIN {
				s.vacate() // in main the kernel drops those of IPv4, without a word
			}
		}},
		{name: "link down", state: StateUnresolved, happen: (*stage).down, undo: (*stage).up},
		{name: "link down and up at once", state: StateInstalled, happen: func(s *stage) { s.down(); s.up() }},
		{name: "link down and up with its addresses kept", state: StateInstalled, happen: func(s *stage) {
			s.sysctl("ipv6/conf/near/keep_addr_on_down", "1")
			s.ip("link set near down")
			s.ip("link set near up")
		}},
		{name: "address removed", state: StateUnresolved, happen: func(s *stage) {
			s.must(s.eye.AddrDel(s.near, testAddr(s.t, s.addr)))
		}, undo: func(s *stage) { s.addAddr(s.near, s.addr) }},
		{name: "address removed and back at once", state: StateInstalled, happen: func(s *stage) {
			s.must(s.eye.AddrDel(s.near, testAddr(s.t, s.addr)))
			s.addAddr(s.near, s.addr)
		}},
		{name: "another address removed", state: StateInstalled, happen: func(s *stage) {
			s.addAddr(s.near, s.neighbourOf(s.nowhere))
			s.must(s.eye.AddrDel(s.near, testAddr(s.t, s.neighbourOf(s.nowhere))))
		}},
		{name: "carrier lost", state: StateInstalled, happen: func(s *stage) { s.ip("link set far down") }, undo: func(s *stage) {
			s.ip("link set far up")
		}},
		{name: "device deleted", state: StateUnresolved, happen: func(s *stage) { s.ip("link del near") }, undo: func(s *stage) {
			s.near = s.addVeth("near", "far", nearAddr4, nearAddr6)
		}},
		{name: "next hop not on a link", state: StateUnresolved, happen: func(s *stage) {
			s.rec.Set([]Change{wanted(s.prefix, s.nowhere)})
			s.hop = s.nowhere
			s.ip("route del %s table %d", s.prefix, s.table) // what the table had before was left as it was
		}, undo: func(s *stage) { s.addAddr(s.near, s.neighbourOf(s.nowhere)) }},
		{name: "rules deleted", state: StateInstalled, happen: func(s *stage) {
			s.ip("rule del to %s pref 1790", s.lookup())
			eventually(s.t, "the rule is back", func() bool { return len(s.ourRules()) == 2 && s.rec.Status().Repairs.Rule > 0 })
		}, only: "private"},
		{name: "shadowed by a rule", state: StateShadowed, happen: func(s *stage) {
			s.ip("rule add to %s blackhole pref 100", s.lookup())
		}, undo: func(s *stage) { s.ip("rule del to %s blackhole pref 100", s.lookup()) }},
		{name: "shadowed by a rule for another table", state: StateShadowed, happen: func(s *stage) {
			s.ip("route add default via %s table 99", s.hop2)
			s.ip("rule add lookup 99 pref 100")
		}, undo: func(s *stage) { s.ip("rule del lookup 99 pref 100") }},
		{name: "shadowed by a more specific route in main", state: StateShadowed, happen: func(s *stage) {
			s.ip("rule add lookup main pref 100")
			s.ip("route add %s via %s", s.inside(), s.hop2)
		}, undo: func(s *stage) { s.ip("route del %s", s.inside()) }, only: "private"},
		{name: "shadowed by a more specific route beside it", state: StateShadowed, happen: func(s *stage) {
			s.ip("route add %s via %s table %d", s.inside(), s.hop2, s.table)
		}, undo: func(s *stage) { s.ip("route del %s table %d", s.inside(), s.table) }},
		{name: "shadowed by a better metric", state: StateShadowed, happen: func(s *stage) {
			s.ip("route add %s via %s metric 7 proto static table %d", s.prefix, s.hop2, s.table)
		}, undo: func(s *stage) {
			s.ip("route del %s metric 7 table %d", s.prefix, s.table)
		}, only: "ipv6"}, // for IPv4 there is none better than ours
	}
}

func preferred(f family) string {
	if f.name == "ipv6" {
		return "2001:db8:5::5/128"
	}
	return "203.0.113.5/32"
}

func (s *stage) lookup() string {
	if s.name == "ipv6" {
		return "2001:db8:20::/48"
	}
	return "20.1.0.0/16"
}

// inside is a part of the block: the second half, which holds no first address.
func (s *stage) inside() string {
	p := netip.MustParsePrefix(s.prefix)
	return netip.PrefixFrom(probe(p, 1<<(p.Addr().BitLen()-p.Bits()-1)-1), p.Bits()+1).Masked().String()
}

// TestKernelEvents plays every episode in both families, in a private table and in main.
func TestKernelEvents(t *testing.T) {
	for _, e := range episodes() {
		for _, table := range []int{testTable, unix.RT_TABLE_MAIN} {
			for _, f := range families() {
				s := stage{family: f, table: table}
				if !strings.Contains(s.String(), e.only) {
					continue
				}
				t.Run(e.name+" "+s.String(), func(t *testing.T) { s.open(t); s.play(t, e) })
			}
		}
	}
}

func (s *stage) open(t *testing.T) {
	t.Helper()
	s.testNet = newTestNet(t)
	s.far = s.addVeth("near2", "far2", "203.0.113.129/25", "2001:db8:1::1/64")
	s.other = wanted("20.1.99.0/26", "203.0.113.200")
	if s.name == "ipv6" {
		s.other = wanted("2001:db8:20::4000/122", "2001:db8:1::77")
	}
	cfg := testConfig()
	cfg.Table = uint32(s.table)
	s.rec = s.run(cfg)
	s.rec.AllowDelete()
	s.rec.SetLookups(prefixes("20.1.0.0/16", "2001:db8:20::/48"))
	s.rec.Set([]Change{wanted(s.prefix, s.hop), s.other})
	s.stands(StateInstalled)
}

func (s *stage) play(t *testing.T, e episode) {
	t.Helper()
	before, since := s.rec.Status().Changes, s.status(s.other).Since
	e.happen(s)
	s.stands(e.state)
	if e.state == StateConflict && !s.held() {
		t.Fatalf("the foreign route was touched: %v", s.lines(s.table))
	}
	neverWithin(t, 30*time.Millisecond, "another state", func() bool { return s.status(s.change()).State != e.state })
	if e.undo != nil {
		e.undo(s)
		s.stands(StateInstalled)
	}
	if e.state != StateShadowed && s.status(s.other).Since != since {
		t.Errorf("something happened to the other route: %+v", s.status(s.other))
	}
	for _, err := range s.rec.Status().Errors {
		if !e.races || err.Op != "add" || err.Errno != "EEXIST" {
			t.Errorf("the kernel refused something: %v", err)
		}
	}
	if now := s.rec.Status().Changes; now.Delete != before.Delete {
		t.Errorf("%d deletes", now.Delete-before.Delete)
	}
}

// stands waits until the route stands so, in truth and as reported, and the other one as ever.
func (s *stage) stands(want State) {
	s.t.Helper()
	eventually(s.t, want.String(), func() bool {
		there := want != StateInstalled && want != StateShadowed || s.has(s.change())
		return there && s.status(s.change()).State == want
	})
	if r := s.status(s.change()); (r.Err == "") != (want == StateInstalled) {
		s.t.Errorf("%v, and the reason is %q", r.State, r.Err)
	}
	eventually(s.t, "the other route", func() bool { return s.has(s.other) })
}

// change is the route that things happen to.
func (s *stage) change() Change { return wanted(s.prefix, s.hop) }

func (s *stage) has(c Change) bool {
	return slices.Contains(s.lines(s.table), line(c.Route.Prefix.String(), c.Route.NextHop.String(), 114))
}

func (s *stage) status(c Change) RouteStatus {
	for _, r := range s.rec.Routes() {
		if r.Route.Prefix == c.Route.Prefix {
			return r
		}
	}
	return RouteStatus{}
}

// held says whether somebody else has a route to the prefix.
func (s *stage) held() bool {
	s.t.Helper()
	filter := &netlink.Route{Table: s.table, Dst: mustCIDR(s.prefix)}
	routes, err := s.eye.RouteListFiltered(netlink.FAMILY_ALL, filter, netlink.RT_FILTER_TABLE|netlink.RT_FILTER_DST)
	s.must(err)
	return slices.ContainsFunc(routes, func(r netlink.Route) bool {
		return r.Protocol == unix.RTPROT_STATIC || len(r.MultiPath) > 1
	})
}

package kernel

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

func TestShadowedByLookup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		r := runReconciler(t, testConfig(), f)
		r.SetLookups(prefixes("20.1.0.0/16"))
		r.Set([]Change{wanted("20.1.0.0/26", "192.0.2.77")})
		settle(2 * verifyInterval)
		if s := firstBlock(r); s.State != StateInstalled {
			t.Fatalf("%+v", s)
		}
		f.setLookups(func(netip.Addr) (FIBRoute, error) { return ours(t, "20.1.0.0/26", "198.51.100.7"), nil })
		settle(2 * verifyInterval)
		want := "a lookup of 20.1.0.16 answers via 198.51.100.7 dev eth1"
		if s := firstBlock(r); s.State != StateShadowed || s.Err != want {
			t.Fatalf("%+v", s)
		}
		f.setLookups(nil)
		settle(2 * verifyInterval)
		if s := firstBlock(r); s.State != StateInstalled || s.Err != "" {
			t.Fatalf("%+v", s)
		}
	})
}

// stateOf is how the route to a prefix stands.
func stateOf(t *testing.T, r *Reconciler, p netip.Prefix) RouteStatus {
	t.Helper()
	for _, s := range r.Routes() {
		if s.Route.Prefix == p {
			return s
		}
	}
	t.Fatalf("no route to %s", p)
	return RouteStatus{}
}

// verified starts a reconciler with so many routes that the rotation takes minutes, which are there from an earlier run,
// and lets it come to rest.
func verified(t *testing.T, f *fakeFIB, changes []Change) *Reconciler {
	t.Helper()
	for _, c := range changes {
		by := f.topology.resolve(c.Route.NextHop)
		f.routes = append(f.routes, testConfig().owner().target(c.Route.Prefix, c.Route.NextHop, by))
	}
	v4, v6 := answerOf(t, netip.IPv4Unspecified()), answerOf(t, netip.IPv6Unspecified())
	f.setLookups(func(a netip.Addr) (FIBRoute, error) {
		if a.Is6() {
			return v6, nil
		}
		return v4, nil
	})
	r := runReconciler(t, testConfig(), f)
	r.SetLookups(prefixes("20.0.0.0/8", "2001:db8:20::/48"))
	r.Set(changes)
	r.AllowDelete()
	settle(time.Minute)
	f.questions()
	return r
}

// answerOf is the lookup's answer when all is well.
func answerOf(t *testing.T, a netip.Addr) FIBRoute {
	t.Helper()
	if a.Is6() {
		return ours(t, "2001:db8:20::/122", "2001:db8::77")
	}
	return ours(t, "20.1.0.0/26", "192.0.2.77")
}

const manyBlocks = 5000

// TestShadowedSoonAfterARule adds a rule that takes one route out of many, which the rotation is far from.
func TestShadowedSoonAfterARule(t *testing.T) {
	for name, changes := range map[string][]Change{"ipv4": blocks(manyBlocks), "ipv6": blocks6(manyBlocks)} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake()
				r := verified(t, f, changes)
				victim := changes[manyBlocks*3/4].Route.Prefix
				f.setLookups(func(a netip.Addr) (FIBRoute, error) {
					if victim.Contains(a) {
						return FIBRoute{}, &OpError{Errno: unix.EINVAL} // the answer of a blackhole
					}
					return answerOf(t, a), nil
				})
				rule := Rule{Priority: 100, IPv6: isIPv6(victim), To: victim, Other: true}
				f.outside(false, Op{Kind: OpAddRule, Rule: rule})
				settle(2 * time.Second)
				if s := stateOf(t, r, victim); s.State != StateShadowed {
					t.Fatalf("%+v", s)
				}
				if n := len(f.questions()); n > manyBlocks+5*verifyMany {
					t.Errorf("%d lookups", n)
				}
				settle(time.Minute) // what tables may win now is not heard of: the rotation is quicker, and bounded
				if n := len(f.questions()); n < manyBlocks || n > 60*int(time.Second/verifyQuick)*(verifyMany+1) {
					t.Errorf("%d lookups in a minute beside a rule that may win", n)
				}
				v4, v6 := answerOf(t, netip.IPv4Unspecified()), answerOf(t, netip.IPv6Unspecified())
				f.setLookups(func(a netip.Addr) (FIBRoute, error) {
					if a.Is6() {
						return v6, nil
					}
					return v4, nil
				})
				f.outside(false, Op{Kind: OpDeleteRule, Rule: rule})
				settle(verifyHaste)
				if s := stateOf(t, r, victim); s.State != StateInstalled || s.Err != "" {
					t.Fatalf("%+v", s)
				}
				settle(10 * time.Second) // the haste is over
				f.questions()
				settle(time.Minute)
				if n := len(f.questions()); n > 61*verifyLeast {
					t.Errorf("%d lookups in a minute without a rule that may win", n)
				}
			})
		})
	}
}

// TestShadowsGoTogether: when one that was shadowed is found well again, of which nobody told, the others do not wait for
// their turns.
func TestShadowsGoTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		r := verified(t, f, blocks(manyBlocks))
		shadowed := func() (n int) {
			for _, g := range r.Status().Routes {
				n += g.Count(StateShadowed)
			}
			return n
		}
		f.setLookups(func(netip.Addr) (FIBRoute, error) { return FIBRoute{}, &OpError{Errno: unix.ENETUNREACH} })
		rule := Rule{Priority: 100, Other: true}
		f.outside(false, Op{Kind: OpAddRule, Rule: rule})
		settle(5 * time.Second)
		if n := shadowed(); n != manyBlocks {
			t.Fatalf("%d shadowed, want all %d", n, manyBlocks)
		}
		answer := answerOf(t, netip.IPv4Unspecified())
		f.setLookups(func(netip.Addr) (FIBRoute, error) { return answer, nil })
		f.outside(true, Op{Kind: OpDeleteRule, Rule: rule})
		settle(5 * time.Second)
		if n := shadowed(); n != 0 {
			t.Errorf("%d of %d still taken for shadowed", n, manyBlocks)
		}
	})
}

// TestShadowedSoonAfterARoute puts a more specific foreign route into the table, over a part of a block that the
// rotation does not ask for.
func TestShadowedSoonAfterARoute(t *testing.T) {
	for name, changes := range map[string][]Change{"ipv4": blocks(manyBlocks), "ipv6": blocks6(manyBlocks)} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake()
				r := verified(t, f, changes)
				f.setLookups(nil)
				victim := changes[manyBlocks*3/4].Route
				pod := victim.Prefix.Addr()
				for range 37 {
					pod = pod.Next()
				}
				over := foreignRoute(t, netip.PrefixFrom(pod, pod.BitLen()).String(), victim.NextHop.Prev().String())
				f.outside(false, Op{Kind: OpAddRoute, Route: over})
				settle(verifyHaste)
				s := stateOf(t, r, victim.Prefix)
				if want := "a lookup of " + pod.String() + " answers via " + over.Gateway.String() + " dev eth0"; s.Err != want {
					t.Fatalf("%v: %q, want %q", s.State, s.Err, want)
				}
				settle(10 * time.Second)
				if s := stateOf(t, r, victim.Prefix); s.State != StateShadowed {
					t.Fatalf("after a while %+v", s)
				}
				f.outside(false, Op{Kind: OpDeleteRoute, Route: over})
				settle(verifyHaste)
				if s := stateOf(t, r, victim.Prefix); s.State != StateInstalled {
					t.Fatalf("%+v", s)
				}
				f.outside(true, Op{Kind: OpAddRoute, Route: over})
				f.overrun() // and when only a dump tells of it
				settle(time.Second)
				if s := stateOf(t, r, victim.Prefix); s.State != StateShadowed {
					t.Fatalf("%+v", s)
				}
			})
		})
	}
}

// TestShadowedSoonAfterItsInstallation has a lookup answer otherwise from the start.
func TestShadowedSoonAfterItsInstallation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		r := verified(t, f, blocks(manyBlocks))
		f.setLookups(func(netip.Addr) (FIBRoute, error) { return FIBRoute{}, &OpError{Errno: unix.ENETUNREACH} })
		r.Set([]Change{wanted("20.200.0.0/26", "192.0.2.77")})
		settle(verifyInterval)
		if s := stateOf(t, r, netip.MustParsePrefix("20.200.0.0/26")); s.State != StateShadowed {
			t.Fatalf("%+v", s)
		}
	})
}

// TestEveryRouteIsVerified looks at more routes than the least of each turn covers within a round.
func TestEveryRouteIsVerified(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		changes := blocks(60_000)
		verified(t, f, changes)
		settle(verifyRound + verifyInterval)
		asked := make(map[netip.Prefix]int)
		questions := f.questions()
		for _, a := range questions {
			asked[netip.PrefixFrom(a, 26).Masked()]++
		}
		if len(asked) != len(changes) {
			t.Errorf("%d of %d routes were looked up within %v", len(asked), len(changes), verifyRound)
		}
		if most := len(changes) * 11 / 10; len(questions) > most {
			t.Errorf("%d lookups for %d routes", len(questions), len(changes))
		}
	})
}

func TestProbe(t *testing.T) {
	for _, c := range []struct {
		prefix string
		want   []string
	}{
		{"20.1.47.128/26", []string{"20.1.47.129", "20.1.47.160", "20.1.47.144", "20.1.47.176", "20.1.47.136"}},
		{"20.1.47.128/31", []string{"20.1.47.129", "20.1.47.129"}},
		{"20.1.47.128/32", []string{"20.1.47.128", "20.1.47.128"}},
		{"20.16.0.0/12", []string{"20.16.0.1", "20.16.128.0", "20.16.64.0"}},
		{"2001:db8::/122", []string{"2001:db8::1", "2001:db8::20", "2001:db8::10"}},
		{"2001:db8::/64", []string{"2001:db8::1", "2001:db8::8000"}},
	} {
		p := netip.MustParsePrefix(c.prefix)
		for lap, want := range c.want {
			if got := probe(p, uint32(lap)); got.String() != want {
				t.Errorf("%s, lap %d: %s, want %s", p, lap, got, want)
			}
		}
		seen := make(map[netip.Addr]bool)
		for lap := range uint32(1 << 16) {
			a := probe(p, lap)
			if !p.Contains(a) {
				t.Fatalf("%s, lap %d: %s is outside", p, lap, a)
			}
			seen[a] = true
		}
		if want := 1<<min(p.Addr().BitLen()-p.Bits(), 16) - 1; len(seen) != max(want, 1) {
			t.Errorf("%s: %d addresses are looked up, want %d", p, len(seen), want)
		}
	}
}

func TestOutranks(t *testing.T) {
	to := netip.MustParsePrefix("20.1.47.0/24")
	cases := []struct {
		name          string
		rule          Rule
		private, main bool
	}{
		{"for any address", Rule{Priority: 100, Table: 99}, true, true},
		{"for a part of ours", Rule{Priority: 100, Table: 99, To: to}, true, true},
		{"a blackhole", Rule{Priority: 100, To: to, Other: true}, true, true},
		{"as high as ours", Rule{Priority: 1790, Table: 99}, true, true},
		{"lower than ours", Rule{Priority: 1791, Table: 99}, false, true},
		{"lower than that of main", Rule{Priority: 32767, Table: unix.RT_TABLE_DEFAULT}, false, false},
		{"for other addresses", Rule{Priority: 100, Table: 99, To: netip.MustParsePrefix("10.0.0.0/8")}, false, true},
		{"for another family", Rule{Priority: 100, Table: 99, IPv6: true}, false, true},
		{"for some packets only", Rule{Priority: 100, Table: 99, Other: true, Narrow: true}, false, false},
		{"local addresses first", Rule{Priority: 0, Table: unix.RT_TABLE_LOCAL}, false, false},
		{"main first", Rule{Priority: 100, Table: mainTable}, true, false},
		{"main, but for its default route", Rule{Priority: 100, Table: mainTable, Other: true}, true, true},
		{"our own", testConfig().owner().rule(netip.MustParsePrefix("20.1.0.0/16")), false, true},
	}
	for _, c := range cases {
		for table, want := range map[uint32]bool{testTable: c.private, mainTable: c.main} {
			cfg := testConfig()
			cfg.Table = table
			l := newLoop(NewReconciler(cfg, newFake()))
			if table == testTable {
				l.rulesWanted = prefixes("20.1.0.0/16")
			}
			if got := l.outranks(c.rule); got != want {
				t.Errorf("%s, table %d: %v", c.name, table, got)
			}
		}
	}
}

// TestNarrowRules decodes what a packet may pass by.
func TestNarrowRules(t *testing.T) {
	n := newTestNet(t)
	for words, narrow := range map[string]bool{
		"lookup 99":                                  false,
		"to 20.1.0.0/16 lookup 99":                   false,
		"to 20.1.0.0/16 blackhole":                   false,
		"lookup main suppress_prefixlength 0":        false,
		"not fwmark 0xca6c lookup 99":                false,
		"from 10.0.0.1 lookup 99":                    true,
		"fwmark 0x1 lookup 99":                       true,
		"iif lo lookup 99":                           true,
		"tos 0x10 lookup 99":                         true,
		"not from 10.0.0.1 to 20.1.0.0/16 lookup 99": false,
	} {
		s := &stage{testNet: n}
		s.ip("rule add %s pref 77", words)
		rules, err := n.fib.Rules(t.Context())
		n.must(err)
		found := 0
		for _, r := range rules {
			if r.Priority == 77 {
				found++
				if r.Narrow != narrow {
					t.Errorf("%s: %+v", words, r)
				}
			}
		}
		if found != 1 {
			t.Errorf("%s: %d rules", words, found)
		}
		s.ip("rule del %s pref 77", words)
	}
}

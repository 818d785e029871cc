package peering

import (
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestMeshProperties drives a Mesh with anything that can happen, in any order, and checks after each step what must
// always be true.
func TestMeshProperties(t *testing.T) { rapid.Check(t, meshProperties) }

// FuzzMesh is the same under the native fuzzer.
func FuzzMesh(f *testing.F) { f.Fuzz(rapid.MakeFuzz(meshProperties)) }

func meshProperties(t *rapid.T) {
	nodes := []netip.Addr{nodeA, nodeB, nodeC}
	rosterOf, hopsOf := testRoster, func(p netip.Addr) []netip.Addr { return []netip.Addr{p, p, p, nodeA, self, {}} }
	if rapid.Bool().Draw(t, "reflected") {
		hops := append([]netip.Addr{bird, self, {}}, nodes...)
		nodes, rosterOf = []netip.Addr{reflector1, reflector2}, reflectedRoster
		hopsOf = func(netip.Addr) []netip.Addr { return hops }
	}
	node := rapid.SampledFrom(nodes)
	anyPeer := rapid.SampledFrom(append([]netip.Addr{bird}, nodes...))
	block := rapid.Custom(func(t *rapid.T) netip.Prefix {
		second := rapid.SampledFrom([]byte{1, 1, 1, 2}).Draw(t, "second octet")
		first := rapid.SampledFrom([]byte{20, 20, 20, 10}).Draw(t, "first octet")
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{first, second, 0, rapid.SampledFrom([]byte{0, 64, 128}).Draw(t, "last")}), 26)
	})
	now := t0
	cfg := testConfig()
	cfg.Brake = Brake{SharePercent: 50, Hold: 30 * time.Second}
	m := NewMesh(cfg, now)
	falls := fallModel{gone: map[netip.Prefix]loss{}}
	table := map[netip.Prefix]netip.Addr{}
	listed := nodes

	step := func(ch Changes) {
		seen := map[netip.Prefix]bool{}
		for _, r := range ch.Routes {
			if seen[r.Prefix] {
				t.Fatalf("two changes of %s in one step", r.Prefix)
			}
			seen[r.Prefix] = true
			if old, had := table[r.Prefix]; had && old == r.NextHop {
				t.Fatalf("a change of %s that changes nothing", r.Prefix)
			}
			if r.NextHop.IsValid() {
				table[r.Prefix] = r.NextHop
			} else {
				delete(table, r.Prefix)
			}
		}
	}
	step(m.SetRoster(now, rosterOf(listed...)))
	apply := func(t *rapid.T, u Update) {
		before := maps.Clone(table)
		step(m.Apply(now, u))
		falls.check(t, m, now, before, table)
	}

	t.Repeat(map[string]func(*rapid.T){
		"session up": func(t *rapid.T) {
			apply(t, Update{Peer: anyPeer.Draw(t, "peer"), Session: SessionUp, Families: IPv4})
		},
		"session down": func(t *rapid.T) {
			before := maps.Clone(table)
			apply(t, Update{Peer: anyPeer.Draw(t, "peer"), Session: SessionDown})
			for p := range before {
				if _, still := table[p]; !still {
					t.Fatalf("a lost session lost %s", p)
				}
			}
		},
		"announce": func(t *rapid.T) {
			p := anyPeer.Draw(t, "peer")
			hop := rapid.SampledFrom(hopsOf(p)).Draw(t, "hop")
			apply(t, Update{Peer: p, Announce: announce(hop, rapid.SliceOfNDistinct(block, 1, 4, rapid.ID).Draw(t, "blocks")...)})
		},
		"withdraw": func(t *rapid.T) {
			apply(t, Update{Peer: anyPeer.Draw(t, "peer"), Withdraw: []netip.Prefix{block.Draw(t, "block")}})
		},
		"several nodes withdraw what they have": func(t *rapid.T) {
			for _, n := range rapid.SliceOfNDistinct(node, 2, len(nodes), rapid.ID).Draw(t, "nodes") {
				var mine []netip.Prefix
				for r := range m.Routes() {
					if r.Peer == n {
						mine = append(mine, r.Prefix)
					}
				}
				slices.SortFunc(mine, ComparePrefix)
				apply(t, Update{Peer: n, Withdraw: mine})
				now = now.Add(time.Duration(rapid.IntRange(0, 3).Draw(t, "seconds")) * time.Second)
				step(m.Tick(now))
			}
		},
		"end of RIB": func(t *rapid.T) {
			apply(t, Update{Peer: anyPeer.Draw(t, "peer"), EndOfRIB: IPv4})
		},
		"roster": func(t *rapid.T) {
			listed = rapid.SliceOfDistinct(node, rapid.ID).Draw(t, "nodes")
			r := rosterOf(listed...)
			if rapid.Bool().Draw(t, "tight") {
				r.Clusters[0].Limits.PerNode = 1
			}
			falls.forget() // the bounds may be others
			step(m.SetRoster(now, r))
		},
		"adopt": func(t *rapid.T) {
			step(m.Adopt(now, []RouteChange{{Prefix: block.Draw(t, "block"), NextHop: rapid.SampledFrom([]netip.Addr{nodeA, nodeB, nodeC}).Draw(t, "node")}}))
		},
		"evidence": func(t *rapid.T) {
			step(m.SetEvidence(now, rapid.SliceOfN(block, 0, 2).Draw(t, "blocks")))
		},
		"time": func(t *rapid.T) {
			seconds := rapid.OneOf(rapid.IntRange(1, 6), rapid.IntRange(1, 60), rapid.IntRange(1, 5000)).Draw(t, "seconds")
			now = now.Add(time.Duration(seconds) * time.Second)
			step(m.Tick(now))
			if next := m.Next(); !next.IsZero() && !next.After(now) {
				t.Fatalf("Next() = %s is not after now, %s: the loop would spin", next, now)
			}
		},
		"": func(t *rapid.T) { checkMesh(t, m, table, listed) },
	})
}

// checkMesh holds the running counts, the change stream and the wanted routes against one another.
func checkMesh(t *rapid.T, m *Mesh, table map[netip.Prefix]netip.Addr, listed []netip.Addr) {
	roster := map[netip.Addr]bool{}
	for _, a := range listed {
		roster[a] = true
	}
	got := map[netip.Prefix]netip.Addr{}
	fresh, stale, held, conflicts := 0, 0, 0, 0
	for r := range m.Routes() {
		got[r.Prefix] = r.NextHop
		if !within(r.Prefix, []netip.Prefix{pfx("20.1.0.0/16")}) || !roster[r.Peer] ||
			(r.NextHop != r.Peer && r.Peer.Compare(reflector1) < 0) || r.NextHop == self {
			t.Fatalf("an unlawful route is wanted: %+v", r)
		}
		switch {
		case !r.HeldSince.IsZero():
			held++
			if len(r.Rivals) > 0 {
				t.Fatalf("%s is held although somebody announces it: %+v", r.Prefix, r)
			}
		case r.StaleSince.IsZero():
			fresh++
		default:
			stale++
		}
		if len(r.Rivals) > 0 {
			conflicts++
		}
	}
	if !maps.Equal(got, table) {
		t.Fatalf("the changes add up to %v, the mesh wants %v", table, got)
	}
	c := m.Status().Clusters[0]
	if b := c.Blocks[0]; b.Fresh != fresh || b.Stale != stale || b.Held != held || c.Conflicts != conflicts {
		t.Fatalf("counted %+v and %d conflicts, are %d fresh, %d stale, %d held, %d conflicts",
			b, c.Conflicts, fresh, stale, held, conflicts)
	}
	if c.Held != held || c.HeldUntil.IsZero() != (held == 0) {
		t.Fatalf("%d held until %s, are %d", c.Held, c.HeldUntil, held)
	}
	for _, p := range m.peers {
		var refused [2]int
		for prefix := range p.refused.of {
			refused[familyIndex(prefix)]++
		}
		if refused != p.refused.count {
			t.Fatalf("peer %s counts %v refused, has %v", p.Addr, p.refused.count, refused)
		}
		n, kept := 0, 0
		for b := range p.blocks {
			if m.rib(p)[b.prefix] != b {
				t.Fatalf("peer %s has a path in a block for %s that is in no table", p.Addr, b.prefix)
			}
			switch pa := b.of(p); {
			case pa.stale():
				n++
			case pa.held():
				kept++
			}
		}
		if n != p.nstale || p.count[0]+kept != len(p.blocks) {
			t.Fatalf("peer %s counts %d stale of %v, has %d and %d held of %d", p.Addr, p.nstale, p.count, n, kept, len(p.blocks))
		}
	}
	if n := m.clusters["cluster-2"].prefixes; n != fresh+stale {
		t.Fatalf("cluster counts %d prefixes, has %d", n, fresh+stale)
	}
	for p := range m.limited {
		for _, a := range p.refused.of {
			if m.judge(p, a).accepts() && p.judgeLimits(m.blocks[a.Prefix], a).accepts() {
				t.Fatalf("%s of %s is kept out although there is room", a.Prefix, p.Addr)
			}
		}
	}
	for _, b := range m.OwnBlocks() {
		if !within(b, m.cfg.PodCIDRs) {
			t.Fatalf("own block %s is outside our range", b)
		}
	}
}

// fallModel knows what the peers took away lately, from the outside: by the routes that were there before a step and are
// not after it.
type fallModel struct {
	gone map[netip.Prefix]loss
}

func (f *fallModel) forget() { clear(f.gone) }

// check: unless the brake is on, what more than one node took within the window is never more than the share.
func (f *fallModel) check(t *rapid.T, m *Mesh, now time.Time, before, after map[netip.Prefix]netip.Addr) {
	for prefix, hop := range before {
		if _, still := after[prefix]; !still {
			f.gone[prefix] = loss{path: path{nextHop: hop}, at: now}
		}
	}
	nodes := map[netip.Addr]bool{}
	for prefix, l := range f.gone {
		if _, back := after[prefix]; back || now.Sub(l.at) >= fallWindow {
			delete(f.gone, prefix)
			continue
		}
		nodes[l.path.nextHop] = true
	}
	if !m.Status().Clusters[0].HeldUntil.IsZero() {
		f.forget()
		return
	}
	if had := len(after) + len(f.gone); len(nodes) > 1 && len(f.gone)*2 > had {
		t.Fatalf("%d of %d blocks went at once, by %d nodes, and the brake is off: %v", len(f.gone), had, len(nodes), f.gone)
	}
}

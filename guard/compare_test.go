package guard

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// inKernel is a table as it would be read back.
func inKernel(t table) found {
	f := found{exists: true}
	f.chains, f.rules = slices.Clone(t.chains), slices.Clone(t.rules)
	for _, s := range t.sets {
		s.addrs = slices.Clone(s.addrs)
		f.sets = append(f.sets, s)
	}
	for i := range t.rules {
		f.handles = append(f.handles, uint64(i+1))
	}
	return f
}

// edited is what the kernel makes of edits.
func (f found) edited(edits []edit) found {
	for _, e := range edits {
		i := slices.IndexFunc(f.sets, func(s set) bool { return s.name == e.set.name })
		kept := onlyInFirst(f.sets[i].addrs, e.remove)
		kept = append(kept, e.add...)
		slices.SortFunc(kept, netip.Addr.Compare)
		f.sets[i].addrs = kept
	}
	return f
}

func TestCompareLeadsToWhatIsWanted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want, other := build(genState(t, "want ")), build(genState(t, "have "))
		have := inKernel(other)
		c := compare(want, have, nil)
		if (c.why == "") != want.equal(other) {
			t.Fatalf("equal tables: %t, difference: %q", want.equal(other), c.why)
		}
		if c.rebuild {
			return // replaced as a whole
		}
		if left := compare(want, have.edited(c.edits), nil); left.why != "" {
			t.Fatalf("after %+v: %s", c.edits, left.why)
		}
	})
}

func TestARosterChangeLeavesTheRulesAlone(t *testing.T) {
	s := nodeState()
	have := inKernel(build(s))
	s.Peers = append(slices.Clone(s.Peers[1:]), Peer{Addr: addr("9.111.255.155"), Port: 1790, MaxHops: 1})
	c := compare(build(s), have, have.handles)
	if c.rebuild || len(c.edits) != 1 || len(c.edits[0].add) != 1 || len(c.edits[0].remove) != 1 {
		t.Errorf("one node went, another came: %+v", c)
	}
}

// What somebody can do to the table, and what is said of it.
func TestEveryDifferenceIsSeen(t *testing.T) {
	for name, tc := range map[string]struct {
		spoil   func(f *found)
		says    string
		rebuild bool
	}{
		"deleted":             {func(f *found) { *f = found{} }, "table is gone", true},
		"dormant":             {func(f *found) { f.flagged = true }, "switched off", true},
		"a chain gone":        {func(f *found) { f.chains = f.chains[1:] }, "chain input is gone", true},
		"a chain more":        {func(f *found) { f.chains = append(f.chains, chain{name: "x"}) }, "chain x is not ours", true},
		"a chain moved":       {func(f *found) { f.chains[0].priority = 0 }, "chain input is another", true},
		"another policy":      {func(f *found) { f.chains[1].drops = true }, "chain forward is another", true},
		"a rule gone":         {func(f *found) { f.rules = f.rules[1:] }, "rules of chain input", true},
		"a rule more":         {func(f *found) { f.rules = append(f.rules, rule{chain: chainSpeaker, program: accept()}) }, "rules of chain speaker", true},
		"another order":       {func(f *found) { f.rules[0], f.rules[1] = f.rules[1], f.rules[0] }, "rules of chain input", true},
		"another comment":     {func(f *found) { f.rules[0].comment = "" }, "rules of chain input", true},
		"foreign instruction": {func(f *found) { f.rules[0].program = append([]instruction{{}}, f.rules[0].program...) }, "rules of chain input", true},
		"replaced unseen":     {func(f *found) { f.handles[2] = 99 }, "rules were replaced", true},
		"a set gone":          {func(f *found) { f.sets = f.sets[1:] }, "set listen4 is gone", true},
		"a set more":          {func(f *found) { f.sets = append(f.sets, set{name: "x", family: ipv4}) }, "set x is not ours", true},
		"a set of a kind":     {func(f *found) { f.sets[0].family = 0 }, "set listen4 is another", true},
		"an address more":     {func(f *found) { f.sets[0].addrs = append(f.sets[0].addrs, addr("255.0.0.1")) }, "set listen4 lacks 0 addresses and has 1 too many", false},
		"an address gone":     {func(f *found) { f.sets[0].addrs = f.sets[0].addrs[1:] }, "set listen4 lacks 1 addresses and has 0 too many", false},
	} {
		t.Run(name, func(t *testing.T) {
			want := build(nodeState())
			have := inKernel(want)
			handles := slices.Clone(have.handles)
			if c := compare(want, have, handles); c.why != "" {
				t.Fatalf("unspoilt: %s", c.why)
			}
			tc.spoil(&have)
			c := compare(want, have, handles)
			if !strings.Contains(c.why, tc.says) || c.rebuild != tc.rebuild {
				t.Errorf("says %q, rebuild %t; want %q, %t", c.why, c.rebuild, tc.says, tc.rebuild)
			}
		})
	}
}

func TestWhoseTableItIs(t *testing.T) {
	mine := inKernel(build(nodeState()))
	flushed := mine
	flushed.rules = nil
	with := mine
	with.chains = append(slices.Clone(mine.chains), chain{name: "x", hook: hookInput})
	for name, tc := range map[string]struct {
		found found
		ours  bool
	}{
		"ours":                       {mine, true},
		"ours, and a chain more":     {with, true},
		"ours, its rules flushed":    {flushed, true},
		"empty":                      {found{exists: true}, true},
		"a chain of another name":    {found{exists: true, table: table{chains: []chain{{name: "x"}}}}, false},
		"a chain of our name":        {found{exists: true, table: table{chains: []chain{{name: chainInput, hook: hookInput, kind: kindFilter}}}}, false},
		"sets only":                  {found{exists: true, table: table{sets: []set{{name: "listen4", family: ipv4}}}}, false},
		"our chains, others' rules":  {found{exists: true, table: table{chains: mine.chains, rules: []rule{{chain: chainInput, comment: "x"}}}}, false},
		"rules flushed, chain added": {found{exists: true, table: table{chains: with.chains}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tc.found.ours(); got != tc.ours {
				t.Errorf("ours: %t, want %t", got, tc.ours)
			}
		})
	}
}

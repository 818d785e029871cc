package guard

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// found is what the kernel has under our table's name.
type found struct {
	table
	exists  bool
	flagged bool     // switched off (dormant), or bound to somebody's socket
	handles []uint64 // the kernel's numbers of the rules, one each; a rule that is replaced gets another
}

// ours reports whether the table is one that routed made: a rule in it carries our mark, or it has no rules any more and
// no chains but ours. An empty one is nobody's yet.
func (f found) ours() bool {
	if slices.ContainsFunc(f.rules, func(r rule) bool { return strings.HasPrefix(r.comment, mark) }) {
		return true
	}
	if len(f.rules) > 0 || (len(f.chains) == 0 && len(f.sets) > 0) {
		return false
	}
	known := build(State{}).chains
	return !slices.ContainsFunc(f.chains, func(c chain) bool { return !slices.Contains(known, c) })
}

// change is what has to be done to a table.
type change struct {
	why     string // in words, what differs; empty: nothing does
	rebuild bool   // it has to be made anew; otherwise edits are enough
	edits   []edit
}

// edit changes the addresses of one set.
type edit struct {
	set         set // its name and family
	add, remove []netip.Addr
}

// compare says what makes the table that is there the wanted one. handles are those of the rules as we wrote them; nil:
// not known.
func compare(want table, have found, handles []uint64) change {
	why := differentFrame(want, have)
	if why == "" && handles != nil && !slices.Equal(handles, have.handles) {
		why = "rules were replaced"
	}
	if why != "" {
		return change{why: why, rebuild: true}
	}
	return differentElements(want.sets, have.sets)
}

// differentFrame compares everything but the addresses.
func differentFrame(want table, have found) string {
	switch {
	case !have.exists:
		return "the table is gone"
	case have.flagged:
		return "the table was switched off"
	}
	if why := differentNames("chain", names(want.chains, chain.named), names(have.chains, chain.named)); why != "" {
		return why
	}
	if why := differentNames("set", names(want.sets, set.named), names(have.sets, set.named)); why != "" {
		return why
	}
	for _, c := range want.chains {
		if !slices.Contains(have.chains, c) {
			return fmt.Sprintf("chain %s is another", c.name)
		}
		if !slices.EqualFunc(want.rulesOf(c.name), have.rulesOf(c.name), rule.equal) {
			return fmt.Sprintf("the rules of chain %s are others", c.name)
		}
	}
	for _, s := range want.sets {
		if have.setNamed(s.name).family != s.family {
			return fmt.Sprintf("set %s is another", s.name)
		}
	}
	return ""
}

func differentNames(kind string, want, have []string) string {
	for _, name := range want {
		if !slices.Contains(have, name) {
			return fmt.Sprintf("%s %s is gone", kind, name)
		}
	}
	for _, name := range have {
		if !slices.Contains(want, name) {
			return fmt.Sprintf("%s %s is not ours", kind, name)
		}
	}
	return ""
}

func differentElements(want, have []set) change {
	var c change
	var whys []string
	for _, w := range want {
		h := table{sets: have}.setNamed(w.name)
		add, remove := onlyInFirst(w.addrs, h.addrs), onlyInFirst(h.addrs, w.addrs)
		if len(add) == 0 && len(remove) == 0 {
			continue
		}
		c.edits = append(c.edits, edit{set: set{name: w.name, family: w.family}, add: add, remove: remove})
		whys = append(whys, fmt.Sprintf("set %s lacks %d addresses and has %d too many", w.name, len(add), len(remove)))
	}
	c.why = strings.Join(whys, "; ")
	return c
}

// onlyInFirst is what the second of two sorted lists lacks.
func onlyInFirst(a, b []netip.Addr) []netip.Addr {
	var out []netip.Addr
	for _, x := range a {
		if _, there := slices.BinarySearchFunc(b, x, netip.Addr.Compare); !there {
			out = append(out, x)
		}
	}
	return out
}

func (c chain) named() string { return c.name }

func (s set) named() string { return s.name }

func names[T any](all []T, name func(T) string) []string {
	out := make([]string, 0, len(all))
	for _, one := range all {
		out = append(out, name(one))
	}
	return out
}

func (r rule) equal(o rule) bool {
	return r.chain == o.chain && r.comment == o.comment && slices.Equal(r.program, o.program)
}

func (t table) rulesOf(chain string) []rule {
	var out []rule
	for _, r := range t.rules {
		if r.chain == chain {
			out = append(out, r)
		}
	}
	return out
}

// setNamed finds a set; the zero set: there is none.
func (t table) setNamed(name string) set {
	i := slices.IndexFunc(t.sets, func(s set) bool { return s.name == name })
	if i < 0 {
		return set{}
	}
	return t.sets[i]
}

func (t table) equal(o table) bool {
	sameSet := func(a, b set) bool {
		return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.family, b.family)) == 0 && slices.Equal(a.addrs, b.addrs)
	}
	return slices.Equal(t.chains, o.chains) && slices.EqualFunc(t.rules, o.rules, rule.equal) &&
		slices.EqualFunc(t.sets, o.sets, sameSet)
}

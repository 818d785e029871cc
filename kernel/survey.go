package kernel

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A survey reads once how the kernel stands to what a configuration owns, for people. It needs no Reconciler and
// changes nothing.

// RuleSurvey is how the rules stand to the lookups that should go to the table. Of the main table nothing is missing: the
// kernel's own rule leads there.
type RuleSurvey struct {
	Missing  []netip.Prefix // no rule leads their lookups to the table
	Foreign  []netip.Prefix // one does, and somebody else put it there
	Unwanted []Rule         // ours, for lookups that nobody wants
	Ahead    []Rule         // of others, which decide some of the lookups before ours
}

// SurveyRules reads the rules.
func SurveyRules(ctx context.Context, cfg Config, fib FIB, lookups []netip.Prefix) (RuleSurvey, error) {
	rules, err := readRules(ctx, fib)
	if err != nil {
		return RuleSurvey{}, err
	}
	return cfg.owner().surveyRules(rules, lookups), nil
}

func (o owner) surveyRules(rules []Rule, lookups []netip.Prefix) RuleSurvey {
	var s RuleSurvey
	for _, r := range rules {
		if o.outranks(r, lookups) {
			s.Ahead = append(s.Ahead, r)
		}
	}
	if o.table == mainTable {
		return s
	}
	missing, unwanted := o.diffRules(lookups, rules, false)
	for _, r := range missing {
		s.Missing = append(s.Missing, r.To)
	}
	s.Unwanted = unwanted
	for _, p := range lookups {
		leads := func(r Rule) bool { return o.serves(r) && r.To == p }
		if slices.ContainsFunc(rules, leads) && !slices.ContainsFunc(rules, func(r Rule) bool { return leads(r) && o.ownsRule(r) }) {
			s.Foreign = append(s.Foreign, p)
		}
	}
	return s
}

// String is the rule as `ip rule` shows it, as far as it was read.
func (r Rule) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d:", r.Priority)
	if r.To.IsValid() {
		fmt.Fprintf(&b, " to %s", r.To)
	}
	if r.Table != 0 {
		fmt.Fprintf(&b, " lookup %s", tableText(r.Table))
	}
	if r.Other {
		b.WriteString(" (and more)")
	}
	return b.String()
}

func tableText(table uint32) string {
	switch table {
	case unix.RT_TABLE_MAIN:
		return "main"
	case unix.RT_TABLE_LOCAL:
		return "local"
	case unix.RT_TABLE_DEFAULT:
		return "default"
	}
	return strconv.FormatUint(uint64(table), 10)
}

// TableSurvey is what the table holds.
type TableSurvey struct {
	Own     []Route  // ours that lead somewhere
	Foreign []string // of others, in iproute2's words
}

// SurveyTable reads the table.
func SurveyTable(ctx context.Context, cfg Config, fib FIB) (TableSurvey, error) {
	topology, err := fib.Topology(ctx)
	if err != nil {
		return TableSurvey{}, err
	}
	routes, err := readTable(ctx, fib, cfg.Table)
	if err != nil {
		return TableSurvey{}, err
	}
	o := cfg.owner()
	var s TableSurvey
	for _, r := range routes {
		device := topology.DeviceName(r.Device)
		switch {
		case !o.owns(r):
			s.Foreign = append(s.Foreign, routeText(r, device))
		case r.Gateway.IsValid():
			s.Own = append(s.Own, Route{Prefix: r.Prefix, NextHop: r.Gateway})
		}
	}
	return s, nil
}

// Stray is a route of the main table to pods of a remote cluster that is not ours: somebody added it by hand before.
type Stray struct {
	Prefix   netip.Prefix
	Protocol uint8  // who put it there (RTPROT_*)
	Text     string // in iproute2's words
	Command  string // that removes it, and nothing else
	Held     bool   // our table has a route to all of its addresses: nobody needs it any more
}

// StrayRoutes lists the routes of the main table that lie inside the given prefixes, whatever their protocol is, and are
// neither ours nor made by the kernel for an address of this host. Nothing here ever removes them.
func StrayRoutes(ctx context.Context, cfg Config, fib FIB, inside []netip.Prefix) ([]Stray, error) {
	topology, err := fib.Topology(ctx)
	if err != nil {
		return nil, err
	}
	table, err := readTable(ctx, fib, cfg.Table)
	if err != nil {
		return nil, err
	}
	inMain := table
	if cfg.Table != mainTable {
		if inMain, err = readTable(ctx, fib, mainTable); err != nil {
			return nil, err
		}
	}
	return cfg.owner().strays(table, inMain, inside, topology), nil
}

func (o owner) strays(table, inMain []FIBRoute, inside []netip.Prefix, topology Topology) []Stray {
	own := make(map[netip.Prefix]bool)
	for _, r := range table {
		own[r.Prefix] = own[r.Prefix] || o.owns(r) && r.Type == unix.RTN_UNICAST
	}
	var strays []Stray
	for _, r := range inMain {
		if o.owns(r) || r.Protocol == unix.RTPROT_KERNEL || !within(r.Prefix, inside) {
			continue
		}
		device := topology.DeviceName(r.Device)
		strays = append(strays, Stray{
			Prefix: r.Prefix, Protocol: r.Protocol, Text: routeText(r, device), Command: removal(r, device), Held: holds(own, r.Prefix),
		})
	}
	return strays
}

// holds says whether one of some prefixes holds another.
func holds(some map[netip.Prefix]bool, p netip.Prefix) bool {
	for length := p.Bits(); length > 0; length-- {
		if some[netip.PrefixFrom(p.Addr(), length).Masked()] {
			return true
		}
	}
	return false
}

// removal is the command that deletes one route of main. Where the next hop says too little about it (several, or one that
// is an object) the place alone has to do: prefix, protocol, metric and TOS.
func removal(r FIBRoute, device string) string {
	if r.Flags&(FlagMultipath|FlagOther) != 0 {
		r.Gateway, device = netip.Addr{}, ""
	}
	r.Flags &^= FlagOnlink // nothing that a delete looks at
	return Op{Kind: OpDeleteRoute, Table: mainTable, Route: r, DeviceName: device}.String()
}

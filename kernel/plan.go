package kernel

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
)

// Plan is what a Reconciler would do to a kernel, and how the wanted routes stand before it.
type Plan struct {
	Ops    []Op // in the order they would be done; Op.String is an iproute2 command
	Routes []RouteStatus
}

// MakePlan compares what is wanted with the kernel and changes nothing. With deletes false it leaves out the
// removals, as a Reconciler does before AllowDelete.
func MakePlan(ctx context.Context, cfg Config, fib FIB, wanted []Route, lookups []netip.Prefix, deletes bool) (Plan, error) {
	topology, err := fib.Topology(ctx)
	if err != nil {
		return Plan{}, err
	}
	table, err := readTable(ctx, fib, cfg.Table)
	if err != nil {
		return Plan{}, err
	}
	rules, err := readRules(ctx, fib)
	if err != nil {
		return Plan{}, err
	}
	if cfg.Table == mainTable {
		lookups = nil
	}
	p := cfg.owner().planRoutes(topology, wanted, table, !deletes)
	add, remove := cfg.owner().diffRules(lookups, rules, !deletes)
	for _, r := range add {
		p.Ops = append(p.Ops, Op{Kind: OpAddRule, Rule: r})
	}
	for _, r := range remove {
		p.Ops = append(p.Ops, Op{Kind: OpDeleteRule, Rule: r})
	}
	// Routes first, then the rules that lead to them; what goes, goes last.
	slices.SortStableFunc(p.Ops, func(a, b Op) int { return cmp.Compare(phase(a.Kind), phase(b.Kind)) })
	return p, nil
}

// phase orders the kinds of operations.
func phase(k OpKind) int {
	switch k {
	case OpAddRoute, OpReplaceRoute:
		return 0
	case OpAddRule:
		return 1
	case OpDeleteRule:
		return 2
	case OpDeleteRoute:
		return 3
	}
	return 4
}

// planRoutes is the diff of a whole table. It is pure.
func (o owner) planRoutes(t Topology, wanted []Route, table []FIBRoute, keep bool) Plan {
	have := make(map[netip.Prefix][]FIBRoute, len(table))
	for _, r := range table {
		have[r.Prefix] = append(have[r.Prefix], r)
	}
	var p Plan
	seen := make(map[netip.Prefix]bool, len(wanted))
	for _, w := range wanted {
		w.Prefix = normal(w.Prefix)
		seen[w.Prefix] = true
		by := t.resolve(w.NextHop)
		if familyOf(w.Prefix) != familyOfAddr(w.NextHop) {
			by = way{reason: fmt.Sprintf("next hop %s is of another address family", w.NextHop)}
		}
		status := RouteStatus{Route: w, State: StateUnresolved, Device: t.DeviceName(by.device), Err: by.reason}
		if by.reason == "" {
			target := o.target(w.Prefix, w.NextHop, by)
			s := o.diff(&target, have[w.Prefix], keep)
			status.State = s.state
			if s.state == StateConflict {
				status.Err = holderText(s.holder, t)
			}
			p.add(o, t, s, target)
		}
		p.Routes = append(p.Routes, status)
	}
	for _, prefix := range slices.SortedFunc(maps.Keys(have), netip.Prefix.Compare) {
		if !seen[prefix] {
			p.add(o, t, o.diff(nil, have[prefix], keep), FIBRoute{})
		}
	}
	return p
}

func (p *Plan) add(o owner, t Topology, s step, target FIBRoute) {
	if s.puts {
		p.Ops = append(p.Ops, Op{
			Kind: s.put, Table: o.table, Route: target, Old: s.holder,
			DeviceName: t.DeviceName(target.Device),
		})
	}
	for _, r := range s.deletes {
		p.Ops = append(p.Ops, Op{Kind: OpDeleteRoute, Table: o.table, Route: r, DeviceName: t.DeviceName(r.Device)})
	}
}

// Counts says how many routes and rules something was done to.
type Counts struct{ Routes, Rules int }

// Flush removes every route and rule of ours, and nothing else. The rules go first: without the routes they would
// only cost lookups. It may be called again when it failed.
func Flush(ctx context.Context, cfg Config, fib FIB) (Counts, error) {
	p, err := MakePlan(ctx, cfg, fib, nil, nil, true)
	if err != nil {
		return Counts{}, fmt.Errorf("flush: %w", err)
	}
	var removed Counts
	var errs []error
	for i, err := range fib.Apply(p.Ops) {
		switch {
		case err != nil && !isGone(err):
			errs = append(errs, fmt.Errorf("flush: %s: %w", p.Ops[i], err))
		case p.Ops[i].Kind == OpDeleteRule:
			removed.Rules++
		default:
			removed.Routes++
		}
	}
	if len(errs) > flushErrors {
		errs = append(errs[:flushErrors], fmt.Errorf("flush: and %d more", len(errs)-flushErrors))
	}
	return removed, errors.Join(errs...)
}

const flushErrors = 10 // that are spelt out

// within says whether a prefix lies in one of several.
func within(p netip.Prefix, several []netip.Prefix) bool {
	return slices.ContainsFunc(several, func(s netip.Prefix) bool {
		return s.Bits() <= p.Bits() && s.Contains(p.Addr())
	})
}

// readTable dumps a whole table, again when it changed meanwhile.
func readTable(ctx context.Context, fib FIB, table uint32) ([]FIBRoute, error) {
	return readRoutes(ctx, fib, table, func(FIBRoute) bool { return true })
}

// readRoutes reads those routes of a table that are to be kept.
func readRoutes(ctx context.Context, fib FIB, table uint32, keep func(FIBRoute) bool) ([]FIBRoute, error) {
	for try := 1; ; try++ {
		var routes []FIBRoute
		_, err := fib.Routes(ctx, table, func(piece []FIBRoute) {
			for _, r := range piece {
				if keep(r) {
					routes = append(routes, r)
				}
			}
		})
		if err == nil || !errors.Is(err, ErrInterrupted) || try == startTries {
			return routes, err
		}
	}
}

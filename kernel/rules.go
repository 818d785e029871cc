package kernel

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// concernsUs says whether a rule event can mean that one of our rules is gone or has company.
func (l *loop) concernsUs(r Rule) bool {
	return r.Table == l.r.own.table || r.Priority == l.r.own.priority || slices.Contains(l.rulesWanted, r.To) ||
		l.outranks(r)
}

// outranks says whether a rule can decide one of our lookups before our own rule does.
func (l *loop) outranks(r Rule) bool { return l.r.own.outranks(r, l.rulesWanted) }

// mainPriority is that of the kernel's own rule for the main table (fib_default_rules_init in net/ipv4/fib_rules.c).
const mainPriority = 32766

// outranks says whether a rule can decide a lookup before the one that leads to our table. In a private table only the
// given lookups do.
func (o owner) outranks(r Rule, lookups []netip.Prefix) bool {
	ours := o.priority
	if o.table == mainTable {
		ours = mainPriority
	}
	switch {
	case r.Narrow || r.Priority > ours || o.serves(r):
		return false
	case !r.Other && (r.Table == o.table || r.Table == unix.RT_TABLE_LOCAL):
		return false
	case o.table == mainTable:
		return true
	}
	return slices.ContainsFunc(lookups, func(p netip.Prefix) bool {
		return isIPv6(p) == r.IPv6 && (!r.To.IsValid() || r.To.Overlaps(p))
	})
}

func (l *loop) readRules(ctx context.Context) ([]Rule, error) { return readRules(ctx, l.r.fib) }

// readRules dumps the rules, again when the kernel says that they changed meanwhile.
func readRules(ctx context.Context, fib FIB) ([]Rule, error) {
	for try := 1; ; try++ {
		rules, err := fib.Rules(ctx)
		if err == nil || !errors.Is(err, ErrInterrupted) || try == startTries {
			return rules, err
		}
	}
}

// reconcileRules compares the rules with what is wanted and puts them right. There are few, so each time they are
// all looked at.
func (l *loop) reconcileRules(ctx context.Context, c cause) {
	begin := time.Now()
	l.rulesAt = time.Time{}
	rules, err := l.readRules(ctx)
	if err != nil {
		l.rulesFailed("rules", err)
		return
	}
	l.verifier.rivals = slices.ContainsFunc(rules, l.outranks)
	keep := !l.deletes || !l.rulesSet
	add, remove := l.r.own.diffRules(l.rulesWanted, rules, keep)
	ops := make([]Op, 0, len(add)+len(remove))
	for _, r := range add {
		ops = append(ops, Op{Kind: OpAddRule, Rule: r})
	}
	for _, r := range remove {
		ops = append(ops, Op{Kind: OpDeleteRule, Rule: r})
	}
	if len(add) > 0 && c == causeRule {
		l.hasten() // while they were gone lookups went elsewhere
	}
	missing := 0
	if len(ops) > 0 {
		missing = l.afterRules(ops, l.r.fib.Apply(ops), c)
	}
	l.tally.status.RulesWanted = len(l.rulesWanted)
	l.tally.status.RulesPresent = len(l.rulesWanted) - missing
	l.tally.dirty = true
	if len(ops) > 0 && c == causeRule && l.r.cfg.Observer != nil {
		l.r.cfg.Observer.Reconciled(kindRepair, time.Since(begin))
	}
}

// afterRules counts what became of rule operations and returns how many wanted rules are still missing.
func (l *loop) afterRules(ops []Op, errs []error, c cause) (missing int) {
	failed := false
	for i, op := range ops {
		err := errs[i]
		adds := op.Kind == OpAddRule
		switch {
		case err == nil && adds && c == causeRule:
			l.tally.repaired(causeRule)
			l.journal.note(op.Rule.To, time.Now())
		case err == nil:
		case adds && errors.Is(err, unix.EEXIST): // somebody put the same rule there just now
		case !adds && isGone(err):
		default:
			failed = true
			if adds {
				missing++
			}
			l.rulesFailed(op.Kind.String(), err)
			l.r.log.Warn("rule change failed", "event", "kernel-refused", "rule", op.String(), "error", err)
		}
	}
	if failed {
		l.ruleFails++
		l.rulesAt = time.Now().Add(backoff(l.ruleFails))
	} else {
		l.ruleFails = 0
	}
	return missing
}

func (l *loop) rulesFailed(op string, err error) {
	l.tally.failed(op, err)
	l.rulesAt = time.Now().Add(backoff(l.ruleFails + 1))
}

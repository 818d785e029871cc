package doctor

import (
	"context"
	"fmt"
	"strings"

	"routed/kernel"
	"routed/snat"
)

// readSourceNAT reads who changes source addresses, and whose would be changed.
func (h *Host) readSourceNAT(ctx context.Context, s Sources) {
	h.OwnRanges = s.Config.Cluster.PodCIDRs
	h.Blocks = fact(kernel.LocalBlocks(ctx, s.FIB, h.OwnRanges))
	if h.Pods = h.Blocks.Value; len(h.Pods) == 0 {
		h.Pods = h.OwnRanges
	}
	rules := s.NAT(ctx)
	h.SourceNAT, h.SourceNATGaps = rules.Find(snat.Query{From: h.Pods, To: h.To, Devices: h.Leave}), rules.Gaps
}

// checkMasquerade looks at whether packets of this node's pods keep their source address on the way to remote pods. With
// another one, their answers, and the network policy there, take them for the node's.
func checkMasquerade(h Host) []Check {
	const name = "masquerade"
	var checks []Check
	for _, f := range h.SourceNAT {
		c := Check{Name: name, Result: Failed, Fix: h.masqueradeRemedy(f)}
		c.Why = fmt.Sprintf("packets of pods to %s lose their source address: chain %s of table %s masquerades %s",
			targetText(f), f.Chain, f.Table, f.Where)
		if !f.Certain {
			c.Result = Unknown
			c.Why = fmt.Sprintf("packets of pods to %s may lose their source address: chain %s of table %s masquerades %s",
				targetText(f), f.Chain, f.Table, f.Where)
			c.Fix = "see `" + f.Look + "`"
		}
		checks = append(checks, c)
	}
	for _, g := range h.SourceNATGaps {
		checks = append(checks, Check{
			Name: name, Result: Unknown, Why: fmt.Sprintf("%s cannot be read: %v", g.What, g.Err),
			Fix: fmt.Sprintf("run as root: %s; see that no rule masquerades packets to %s", g.Look, list(h.To)),
		})
	}
	if len(checks) == 0 {
		checks = []Check{good(name, "packets of pods to %s keep their source address", list(h.To))}
	}
	return checks
}

// targetText is what was asked for, and an address in it where the rule is not for all of it.
func targetText(f snat.Finding) string {
	switch {
	case f.Range.IsSingleIP():
		return f.To.String()
	case f.To == f.Range.Masked().Addr():
		return f.Range.String()
	}
	return fmt.Sprintf("%s (such as %s)", f.Range, f.To)
}

func (h Host) masqueradeRemedy(f snat.Finding) string {
	whole := f.Range
	for _, p := range h.Lookups {
		if p.Contains(f.To) {
			whole = p
		}
	}
	if strings.Contains(f.Chain, "cali-nat-outgoing") {
		return fmt.Sprintf("tell Calico that %s are pods: a disabled IPPool with natOutgoing: false, which `routed calico` prints", whole)
	}
	return fmt.Sprintf("make an exception for %s before that rule; %#q shows it", whole, f.Look)
}

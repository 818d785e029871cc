package doctor

import (
	"context"
	"net/netip"
	"slices"

	"routed/kernel"
)

// LookOnPath reads of the host what concerns packets to one address, in a pod range of a remote cluster, that leave by a
// device; empty: by none.
func LookOnPath(ctx context.Context, s Sources, addr netip.Addr, device string) Host {
	ranges := s.Config.RemotePodCIDRs()
	h := Host{Owned: s.Owned, Lookups: slices.DeleteFunc(ranges, func(p netip.Prefix) bool { return !p.Contains(addr) })}
	h.Rules = fact(kernel.SurveyRules(ctx, s.Owned, s.FIB, h.Lookups))
	h.Rules.Value.Unwanted = nil // in the way of nobody
	h.Rules.Value.Ahead = slices.DeleteFunc(h.Rules.Value.Ahead, func(r kernel.Rule) bool {
		return r.IPv6 != addr.Is6() || r.To.IsValid() && !r.To.Contains(addr)
	})
	h.Strays = fact(kernel.StraysOnPath(ctx, s.Owned, s.FIB, h.Lookups, addr))
	if device != "" {
		h.Leave = []string{device}
	}
	h.readForwarding(s.Proc, h.Leave)
	h.To = []netip.Prefix{netip.PrefixFrom(addr, addr.BitLen())}
	h.Returns = fact(kernel.ReturnPaths(ctx, s.FIB, s.Config.Node.Address, h.To, nil))
	h.readRPFilter(s.Proc)
	h.readSourceNAT(ctx, s)
	return h
}

// ExaminePath runs the checks of what [LookOnPath] reads, and leaves out what is good.
func ExaminePath(h Host) []Check {
	var found []Check
	for _, check := range []func(Host) []Check{checkForwarding, checkRules, checkRPFilter, checkMasquerade, checkHandMade} {
		found = append(found, check(h)...)
	}
	return slices.DeleteFunc(found, func(c Check) bool { return c.Result == Good })
}

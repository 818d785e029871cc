package doctor

import (
	"context"
	"net/netip"
	"slices"

	"routed/kernel"
)

// LookOnPath reads of the host what concerns packets to one address, in a pod range of a remote cluster, beside what a survey
// of the path, or why there is none, says already.
func LookOnPath(ctx context.Context, s Sources, addr netip.Addr, survey kernel.PathSurvey, surveyErr error) Host {
	ranges := s.Config.RemotePodCIDRs()
	h := Host{Owned: s.Owned, Lookups: slices.DeleteFunc(ranges, func(p netip.Prefix) bool { return !p.Contains(addr) })}
	h.Rules = fact(survey.Rules, surveyErr)
	h.Strays = fact(survey.Strays, surveyErr)
	if device := survey.Link.Name; device != "" {
		h.Leave = []string{device}
	}
	h.readForwarding(s.Proc, h.Leave)
	h.To = []netip.Prefix{netip.PrefixFrom(addr, addr.BitLen())}
	h.Returns = fact(kernel.ReturnPaths(ctx, s.FIB, s.Config.Node.Address, h.To, nil))
	h.readRPFilter(s.Proc)
	h.readSourceNAT(ctx, s)
	h.Topology = fact(s.FIB.Topology(ctx))
	return h
}

// ExaminePath runs the checks of what [LookOnPath] reads, and leaves out what is good.
func ExaminePath(h Host) []Check {
	var found []Check
	for _, check := range []func(Host) []Check{checkForwarding, checkRules, checkRPFilter, checkMasquerade, checkMTU, checkHandMade} {
		found = append(found, check(h)...)
	}
	return slices.DeleteFunc(found, func(c Check) bool { return c.Result == Good })
}

package doctor

import (
	"context"
	"io/fs"
	"net/netip"
	"slices"

	"routed/kernel"
)

// LookOnPath reads of the host what concerns packets to one address, inside one of the given ranges, that leave by a device.
func LookOnPath(
	ctx context.Context, owned kernel.Config, fib kernel.FIB, proc fs.FS, ranges []netip.Prefix, addr netip.Addr, device string,
) Host {
	h := Host{Owned: owned, Lookups: slices.DeleteFunc(slices.Clone(ranges), func(p netip.Prefix) bool { return !p.Contains(addr) })}
	h.Rules = fact(kernel.SurveyRules(ctx, owned, fib, h.Lookups))
	h.Rules.Value.Unwanted = nil // in the way of nobody
	h.Rules.Value.Ahead = slices.DeleteFunc(h.Rules.Value.Ahead, func(r kernel.Rule) bool {
		return r.IPv6 != addr.Is6() || r.To.IsValid() && !r.To.Contains(addr)
	})
	h.Strays = fact(kernel.StraysOnPath(ctx, owned, fib, h.Lookups, addr))
	var devices []string
	if device != "" {
		devices = []string{device}
	}
	h.readForwarding(proc, devices)
	return h
}

// ExaminePath runs the checks of what [LookOnPath] reads, and leaves out what is good.
func ExaminePath(h Host) []Check {
	var found []Check
	for _, check := range []func(Host) []Check{checkForwarding, checkRules, checkHandMade} {
		found = append(found, check(h)...)
	}
	return slices.DeleteFunc(found, func(c Check) bool { return c.Result == Good })
}

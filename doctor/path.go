package doctor

import (
	"io/fs"
	"net/netip"
	"slices"

	"routed/kernel"
)

// LookOnPath reads of the host what concerns packets to one address inside one of the given ranges, beside what a survey of
// the path, or why there is none, says already.
func LookOnPath(owned kernel.Config, survey kernel.PathSurvey, surveyErr error, proc fs.FS, ranges []netip.Prefix, addr netip.Addr) Host {
	h := Host{Owned: owned, Lookups: slices.DeleteFunc(slices.Clone(ranges), func(p netip.Prefix) bool { return !p.Contains(addr) })}
	h.Rules = fact(survey.Rules, surveyErr)
	h.Strays = fact(survey.Strays, surveyErr)
	var devices []string
	if survey.Link.Name != "" {
		devices = []string{survey.Link.Name}
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

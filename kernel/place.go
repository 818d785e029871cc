package kernel

import "slices"

// The mirror keeps, for each prefix, the routes our table has for it in the order the kernel tries them within one
// place (same metric and TOS). These functions follow one kernel event each; they return a new slice header and
// may reuse the array.

// putMode is how a new route joined those in its place (the flags of RTM_NEWROUTE).
type putMode uint8

const (
	putFirst   putMode = iota // in front of those with the same key; with NLM_F_EXCL there were none
	putLast                   // NLM_F_APPEND
	putReplace                // NLM_F_REPLACE: instead of the first
)

func put(have []FIBRoute, r FIBRoute, mode putMode) []FIBRoute {
	if slices.Contains(have, r) && mode != putReplace {
		return have // told twice: by a dump and by its event
	}
	if mode == putFirst && isIPv6(r.Prefix) {
		mode = putLast // IPv6 knows no other order than that of arrival (fib6_add_rt2node in net/ipv6/ip6_fib.c)
	}
	first := slices.IndexFunc(have, func(h FIBRoute) bool { return sameKey(h, r) })
	switch {
	case first < 0 || mode == putLast:
		return append(have, r)
	case mode == putReplace:
		have[first] = r
		return have
	default:
		return slices.Insert(have, first, r)
	}
}

// take removes a route and says whether it was there exactly.
func take(have []FIBRoute, r FIBRoute) ([]FIBRoute, bool) {
	i := slices.Index(have, r)
	if i < 0 {
		return have, false
	}
	return slices.Delete(have, i, i+1), true
}

// holders counts the routes in the place of r.
func holders(have []FIBRoute, r FIBRoute) int {
	n := 0
	for _, h := range have {
		if sameKey(h, r) {
			n++
		}
	}
	return n
}

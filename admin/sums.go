package admin

import (
	"cmp"
	"fmt"
	"strings"
)

// BlockSum adds the families up; its Family is empty.
func (c Cluster) BlockSum() BlockCount {
	var t BlockCount
	for _, b := range c.Blocks {
		t.Fresh += b.Fresh
		t.Stale += b.Stale
		t.Held += b.Held
	}
	return t
}

// Total is how many blocks there are, in whatever state.
func (b BlockCount) Total() int { return b.Fresh + b.Stale + b.Held }

// RouteSum adds the families up; its Family is empty.
func (c Cluster) RouteSum() RouteCount {
	var t RouteCount
	for _, r := range c.Routes {
		t.Wanted += r.Wanted
		t.Installed += r.Installed
		t.Missing += r.Missing
		t.Mismatched += r.Mismatched
		t.Conflict += r.Conflict
		t.Unresolved += r.Unresolved
		t.Shadowed += r.Shadowed
	}
	return t
}

// NotInstalled says in words which routes are in another state than installed, the worst first: "2 shadowed, 1 missing".
// It is "-" when every route is installed.
func (r RouteCount) NotInstalled() string {
	var parts []string
	for _, one := range []struct {
		n     int
		state RouteState
	}{
		{r.Shadowed, RouteShadowed},
		{r.Conflict, RouteConflict},
		{r.Unresolved, RouteUnresolved},
		{r.Mismatched, RouteMismatched},
		{r.Missing, RouteMissing},
	} {
		if one.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", one.n, one.state))
		}
	}
	return cmp.Or(strings.Join(parts, ", "), "-")
}

// PrefixSum adds the families up; its Family is empty.
func (p Peer) PrefixSum() PrefixCount {
	var t PrefixCount
	for _, f := range p.Prefixes {
		t.Received += f.Received
		t.Accepted += f.Accepted
		t.Rejected += f.Rejected
	}
	return t
}

// Judged is the status with its problems filled in.
func (s Status) Judged() Status {
	s.Problems = list(Problems(s))
	s.Healthy = !s.Degraded()
	return s
}

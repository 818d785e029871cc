package doctor

import (
	"cmp"
	"fmt"
	"slices"
)

// Result is what a check came to. Its values are stable: scripts read them.
type Result string

// The results, the worst first.
const (
	Failed  Result = "failed"      // pod traffic suffers, or will
	Warning Result = "warning"     // works, and is not as it should be
	Unknown Result = "cannot tell" // what the check needs could not be read
	Good    Result = "good"
)

// rank orders the results, the worst first.
func (r Result) rank() int { return slices.Index([]Result{Failed, Warning, Unknown, Good}, r) }

// Check is what one check found, in one line each. A check that finds several things wrong makes one of each.
type Check struct {
	Name   string `json:"name"` // stable
	Result Result `json:"result"`
	Why    string `json:"why"`
	Fix    string `json:"fix,omitempty"` // what to do; empty when there is nothing to do
}

func good(name, why string, args ...any) Check {
	return Check{Name: name, Result: Good, Why: fmt.Sprintf(why, args...)}
}

// unknown is for a fact that could not be read.
func unknown(name string, err error, fix string) Check {
	return Check{Name: name, Result: Unknown, Why: err.Error(), Fix: fix}
}

// Report is all that was found, the worst first.
type Report struct {
	Checks []Check `json:"checks"`
}

// Failed reports whether a check failed.
func (r Report) Failed() bool {
	return slices.ContainsFunc(r.Checks, func(c Check) bool { return c.Result == Failed })
}

// Examine runs every check. It is pure.
func Examine(h Host) Report {
	return examine(h,
		checkCapabilities,
		checkForwarding,
		checkRules,
		checkTable,
		checkRPFilter,
		checkMasquerade,
		checkMTU,
		checkNextHops,
		checkTunnels,
		checkOverlaps,
		checkBlocks,
		checkBIRD,
		checkReannounced,
		checkPorts,
		checkHandMade,
		checkKeys,
	)
}

func examine(h Host, checks ...func(Host) []Check) Report {
	var r Report
	for _, check := range checks {
		r.Checks = append(r.Checks, check(h)...)
	}
	slices.SortStableFunc(r.Checks, func(a, b Check) int { return cmp.Compare(a.Result.rank(), b.Result.rank()) })
	return r
}

package admin

import (
	"cmp"
	"slices"
)

// Code names a kind of problem. Codes are stable: scripts and runbooks match them.
type Code string

// The kinds of problems.
const (
	CodeBIRDDown           Code = "bird-down"
	CodeClusterUnreachable Code = "cluster-unreachable"
	CodeKeysRefused        Code = "keys-refused"
	CodeRulesMissing       Code = "rules-missing"
	CodeHostCheck          Code = "host-check"
	CodeWithdrawalsHeld    Code = "withdrawals-held"
	CodeRoutesShadowed     Code = "routes-shadowed"
	CodeRoutesConflict     Code = "routes-conflict"
	CodeRoutesUnresolved   Code = "routes-unresolved"
	CodeRoutesMismatched   Code = "routes-mismatched"
	CodeRoutesMissing      Code = "routes-missing"
	CodeNotAdopted         Code = "kernel-not-adopted"
	CodeOwnBlocksRefused   Code = "own-blocks-refused"
	CodeNodesDown          Code = "nodes-down"
	CodeGuardDown          Code = "guard-down"
	CodeRosterOutdated     Code = "roster-outdated"
	CodeReloadFailed       Code = "reload-failed"
	CodeBlockConflict      Code = "block-conflict"
	CodeRejections         Code = "announcements-rejected"
	CodeRoutesStale        Code = "routes-stale"
	CodeResyncOverdue      Code = "resync-overdue"
	CodeNotConverged       Code = "not-converged"
	CodeProbesFailing      Code = "probes-failing"
	CodePathMTUSmall       Code = "path-mtu-small"
	CodeProbesImpossible   Code = "probes-impossible"
)

// Codes lists every kind of problem, the more serious first within each severity.
func Codes() []Code {
	return []Code{
		CodeBIRDDown, CodeKeysRefused, CodeClusterUnreachable, CodeRulesMissing, CodeHostCheck, CodeWithdrawalsHeld, CodeRoutesShadowed, CodeRoutesConflict,
		CodeRoutesUnresolved, CodeRoutesMismatched, CodeRoutesMissing, CodeNotAdopted, CodeOwnBlocksRefused,
		CodeNodesDown, CodeGuardDown, CodeRosterOutdated, CodeReloadFailed, CodeBlockConflict, CodeRejections, CodeRoutesStale, CodeResyncOverdue,
		CodeProbesFailing, CodePathMTUSmall, CodeNotConverged, CodeProbesImpossible,
	}
}

// Problems says what is wrong with a node, the worst first; a healthy node has none. It does not look at s.Problems.
func Problems(s Status) []Problem {
	out := slices.Concat(
		birdDown(s), keysRefused(s), ownRefused(s), rulesMissing(s), hostChecks(s), notAdopted(s), guardDown(s), reloadFailed(s), resyncOverdue(s),
		notConverged(s), probesFailing(s), pathMTUSmall(s), probesImpossible(s),
	)
	for _, c := range s.Clusters {
		out = slices.Concat(out,
			nodesMissing(s, c), rosterOutdated(s, c), held(s, c), routesAstray(c), conflicts(c), rejections(s, c), stale(s, c),
		)
	}
	order := Codes()
	slices.SortStableFunc(out, func(a, b Problem) int {
		return cmp.Or(a.Severity.rank()-b.Severity.rank(), slices.Index(order, a.Code)-slices.Index(order, b.Code))
	})
	return out
}

func (s Severity) rank() int {
	if s == Critical {
		return 0
	}
	return 1
}

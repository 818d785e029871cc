package doctor

import (
	"fmt"
	"net/netip"
	"strings"
)

// checkRules looks at whether lookups for pods of remote clusters go to the table of the mesh, and before anything else.
func checkRules(h Host) []Check {
	const name = "rules"
	if h.Rules.Err != nil {
		return []Check{unknown(name, h.Rules.Err, "look at them with `ip rule` and `ip -6 rule`")}
	}
	var checks []Check
	add := func(r Result, fix, why string, args ...any) {
		checks = append(checks, Check{Name: name, Result: r, Why: fmt.Sprintf(why, args...), Fix: fix})
	}
	rules := h.Rules.Value
	if len(rules.Missing) > 0 {
		add(Failed, "start routed, which adds them and puts them back: systemctl start routed",
			"no rule leads lookups of %s to table %d", list(rules.Missing), h.Owned.Table)
	}
	for _, r := range rules.Ahead {
		add(Warning, fmt.Sprintf("see what it is for (`ip rule`), and give it a priority above %d or remove it", h.Owned.RulePriority),
			"a rule of somebody else decides before those of routed: %s", r)
	}
	if len(rules.Foreign) > 0 {
		add(Warning, "remove it, routed then adds its own",
			"the rule that leads lookups of %s to table %d is not routed's, and may go with whoever added it",
			list(rules.Foreign), h.Owned.Table)
	}
	for _, r := range rules.Unwanted {
		add(Warning, "start routed, or remove what is left of it: routed flush",
			"a rule of routed is for no remote cluster: %s", r)
	}
	switch {
	case len(checks) > 0:
	case h.Owned.Table == tableMain:
		checks = []Check{good(name, "kernel.table is main, which needs no rule, and no rule comes before that of main")}
	default:
		checks = []Check{good(name, "lookups of %s go to table %d first", list(h.Lookups), h.Owned.Table)}
	}
	return checks
}

func list(prefixes []netip.Prefix) string {
	words := make([]string, len(prefixes))
	for i, p := range prefixes {
		words[i] = p.String()
	}
	return strings.Join(words, ", ")
}

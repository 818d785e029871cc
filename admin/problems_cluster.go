package admin

import (
	"fmt"
	"strings"
)

// namesShown is how many nodes one problem names.
const namesShown = 4

func nodesMissing(s Status, c Cluster) []Problem {
	down := c.NodesKnown - c.NodesUp
	if c.Reflected {
		return reflectorsMissing(s, c, down)
	}
	switch {
	case c.NodesKnown == 0:
		return []Problem{{
			Severity: Critical, Code: CodeClusterUnreachable, Cluster: c.Name,
			Text:   fmt.Sprintf("no node of cluster %s is known", c.Name),
			Remedy: "see that the addresses, the file or the API in the nodes of its entry under remotes list its nodes",
		}}
	case down <= 0:
		return nil
	case c.NodesUp == 0:
		return []Problem{{
			Severity: Critical, Code: CodeClusterUnreachable, Cluster: c.Name,
			Text:   fmt.Sprintf("no node of cluster %s is reached: %s", c.Name, nodeNames(s, c, down)),
			Remedy: "see that routed runs there, and that both ways between the nodes TCP to listen.port is let through",
		}}
	default:
		return []Problem{{
			Severity: Warning, Code: CodeNodesDown, Cluster: c.Name,
			Text: fmt.Sprintf("%d of the %s of cluster %s %s down: %s",
				down, count(c.NodesKnown, "node"), c.Name, isVerb(down), nodeNames(s, c, down)),
			Remedy: "see that these nodes are up and routed runs on them; a node that is gone for good: remove it from the list",
		}}
	}
}

// reflectorsMissing: one reflector that is left is enough for every route, but then there is no second.
func reflectorsMissing(s Status, c Cluster, down int) []Problem {
	remedy := "see that the reflector runs and has this node as a client, and that TCP to its port is let through"
	switch {
	case down <= 0:
		return nil
	case c.NodesUp == 0:
		return []Problem{{
			Severity: Critical, Code: CodeClusterUnreachable, Cluster: c.Name, Remedy: remedy,
			Text: fmt.Sprintf("no reflector of cluster %s is reached: %s", c.Name, nodeNames(s, c, down)),
		}}
	default:
		return []Problem{{
			Severity: Warning, Code: CodeNodesDown, Cluster: c.Name, Remedy: remedy,
			Text: fmt.Sprintf("%d of the %s of cluster %s %s down, the routes come by the others: %s",
				down, count(c.NodesKnown, "reflector"), c.Name, isVerb(down), nodeNames(s, c, down)),
		}}
	}
}

// held: the routes are there, and go when the brake lets go.
func held(s Status, c Cluster) []Problem {
	if c.Held == 0 {
		return nil
	}
	return []Problem{{
		Severity: Critical, Code: CodeWithdrawalsHeld, Cluster: c.Name,
		Text: fmt.Sprintf("nodes of cluster %s withdrew %d of its %s at once: the routes stay for %s more, then they go",
			c.Name, c.Held, count(c.BlockSum().Total(), "block"), Age(c.HeldUntil.Sub(s.At))),
		Remedy: "see there why the nodes no longer announce their blocks (their routed, their BIRD, Calico's IP pools); " +
			"what they announce again stays; mesh.withdrawalBrake says what is held and how long",
	}}
}

// rosterOutdated: nodes that came since are not known, and nodes that went are still believed.
func rosterOutdated(s Status, c Cluster) []Problem {
	r := c.Roster
	if r == nil || r.Error == "" {
		return nil
	}
	text := fmt.Sprintf("the node list of cluster %s has not been renewed for %s: %s", c.Name, s.age(r.Since), firstLine(r.Error))
	if r.Addresses > 0 {
		text += fmt.Sprintf("; the last one, of %s, stays in force", count(r.Addresses, "address"))
	}
	return []Problem{{
		Severity: Warning, Code: CodeRosterOutdated, Cluster: c.Name, Text: text,
		Remedy: "see that " + r.Server + " is reached from this node, that the account of the kubeconfig may list and watch nodes, " +
			"and that the nodes it lists fit the configuration",
	}}
}

func routesAstray(c Cluster) []Problem {
	t := c.RouteSum()
	show := "`routed routes --cluster " + c.Name + "` lists them; "
	var out []Problem
	add := func(n int, code Code, what, remedy string) {
		if n > 0 {
			out = append(out, Problem{
				Severity: Critical, Code: code, Cluster: c.Name,
				Text: fmt.Sprintf("%s to cluster %s %s %s", count(n, "route"), c.Name, isVerb(n), what), Remedy: show + remedy,
			})
		}
	}
	add(t.Shadowed, CodeRoutesShadowed, "shadowed: in the table, but the kernel's lookup answers otherwise",
		"see `ip rule` for a rule before ours, and `ip route get` for what wins")
	add(t.Conflict, CodeRoutesConflict, "kept out by routes of another owner, which routed never overwrites",
		"remove the other routes, or find out who installs them (`proto` in `ip route`)")
	add(t.Unresolved, CodeRoutesUnresolved, "not resolved: no interface leads to the next hop, or the kernel refused it",
		"see that the interface toward those nodes is up and shares a subnet with them")
	add(t.Mismatched, CodeRoutesMismatched, "in the kernel with another next hop or device than wanted",
		"routed puts them right by itself; if they stay, something else changes them (`ip monitor route`)")
	add(t.Missing, CodeRoutesMissing, "not in the kernel yet",
		"routed adds them by itself; if they stay, see the last error of the kernel and the log")
	return out
}

func conflicts(c Cluster) []Problem {
	if c.Conflicts == 0 {
		return nil
	}
	return []Problem{{
		Severity: Warning, Code: CodeBlockConflict, Cluster: c.Name,
		Text: fmt.Sprintf("%s of cluster %s %s announced by more than one node; the lowest address is used",
			count(c.Conflicts, "block"), c.Name, isVerb(c.Conflicts)),
		Remedy: "`routed routes --cluster " + c.Name + "` shows the rivals; see which node Calico's IPAM gave the block to " +
			"and what the other one announces",
	}}
}

func rejections(s Status, c Cluster) []Problem {
	if c.RejectedNow == 0 {
		return nil
	}
	text := fmt.Sprintf("%s that nodes of cluster %s announce %s refused", count(c.RejectedNow, "prefix"), c.Name,
		isVerb(c.RejectedNow))
	if c.LastRejected != nil {
		text += fmt.Sprintf("%s, %s ago", because(c.LastRejected), s.age(c.LastRejected.At))
	}
	return []Problem{{
		Severity: Warning, Code: CodeRejections, Cluster: c.Name, Text: text,
		Remedy: "`routed peers` shows which and why; if they are rightful, widen podCIDRs, blockLengths or limits " +
			"of the cluster's entry under remotes",
	}}
}

func stale(s Status, c Cluster) []Problem {
	n := c.BlockSum().Stale
	if n == 0 {
		return nil
	}
	return []Problem{{
		Severity: Warning, Code: CodeRoutesStale, Cluster: c.Name,
		Text: fmt.Sprintf("%s to cluster %s %s stale: kept, for at most %s, after the session they came by was lost",
			count(n, "route"), c.Name, isVerb(n), Age(seconds(s.Mesh.RetentionSeconds))),
		Remedy: "bring the sessions back before that (`routed peers` says why they are down)",
	}}
}

// nodeNames names a few of the nodes that are down.
func nodeNames(s Status, c Cluster, down int) string {
	var names []string
	seen := map[string]bool{}
	for _, n := range c.NodesDown {
		if len(names) == namesShown {
			break
		}
		if n.Name != "" && seen[n.Name] {
			continue // by its other address
		}
		seen[n.Name] = true
		down := "never up"
		if !n.Since.IsZero() {
			down = downFor(s, n.Since, n.Reason)
		}
		names = append(names, strings.TrimSpace(n.Name+" "+n.Address.String())+" "+down)
	}
	if more := down - len(names); more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(names, ", ")
}

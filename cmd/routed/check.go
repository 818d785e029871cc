package main

import (
	"fmt"
	"net/netip"
	"strings"

	"routed/admin/text"
	"routed/bgp"
	"routed/config"
	"routed/peering"

	"github.com/spf13/cobra"
)

func newCheckCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "check --config FILE",
		Short: "Read the configuration as run would, and print what it means",
		Long: "Reads the configuration and the files it names as run would, resolves it on this host, and prints what it means. It asks\n" +
			"the Kubernetes APIs that list nodes; one that does not answer keeps nothing from being used, and is told.\n\n" +
			"Exit status: 0 it can be used, 1 it cannot.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := ask(askKernel).load(cmd.Context(), path)
			if err != nil {
				return err
			}
			answers := askAPIs(cmd.Context(), l.sources.apis)
			r, err := l.resolve(answers.lists())
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			return text.Pairs(out, text.Options{Wrap: isTerminal(out)}, meaningOf(path, l.cfg, r, answers))
		},
	}
	configFlag(cmd, &path)
	return cmd
}

// meaningOf says in words what a daemon with this configuration would do.
func meaningOf(path string, cfg *config.Config, roster peering.Roster, answers apiAnswers) []text.Pair {
	var out []text.Pair
	line := func(key, format string, args ...any) {
		out = append(out, text.Pair{Name: key, Value: fmt.Sprintf(format, args...)})
	}

	line("configuration", "%s is good", path)
	line("this node", "%s of cluster %s, AS %d, router ID %s", join(cfg.Node.Addresses()), cfg.Cluster.Name, cfg.Cluster.ASN, cfg.Node.RouterID)
	line("own blocks", "accepted inside %s", join(cfg.Cluster.PodCIDRs))
	for _, p := range roster.BIRD {
		if len(cfg.BIRD.Accept) > 0 {
			line("local BIRD", "dials %s port %d from %s; we also dial it at %s port %d", p.Local, cfg.Listen.Port, p.Addr, p.Addr, p.DialPort)
		} else {
			line("local BIRD", "dialled at %s port %d from %s", p.Addr, p.DialPort, p.Local)
		}
		if p.Password.IsSet() {
			line("", "the session is signed (TCP MD5)")
		}
	}
	if peers := roster.Peers(); len(peers) > len(roster.BIRD) {
		line("hold time", "%s, proposed to every remote node", peers[len(peers)-1].HoldTime)
	}
	line("listening", "%s port %d", join(cfg.Listen.Addresses), cfg.Listen.Port)
	for _, c := range roster.Clusters {
		line("remote cluster", "%s: %s, accepted inside %s, %s, at most %d prefixes a node and %d in all",
			c.Name, clusterMeaning(c), join(c.PodCIDRs), lengthsMeaning(c), c.Limits.PerNode, c.Limits.Total)
		if a, asked := answers[c.Name]; asked {
			line("", "%s", a.meaning())
		}
		for _, p := range c.Peers {
			line("", "%s", peerMeaning(p))
		}
	}
	for _, cidr := range cfg.RemotePodCIDRs() {
		if cfg.Kernel.Table != config.TableMain {
			line("rule", "to %s lookup %d pref %d", cidr, cfg.Kernel.Table, cfg.Kernel.RulePriority)
		}
	}
	line("routes", "table %d, protocol %d, %s on exit", cfg.Kernel.Table, cfg.Kernel.Protocol, cfg.Kernel.OnExit)
	line("probes", "%s", probeMeaning(cfg))
	line("metrics", "http://%s/metrics", cfg.Metrics.Listen)
	line("admin socket", "%s", cfg.Admin.Socket)
	line("state", "%s", cfg.State.Directory)
	for _, warning := range warnings(cfg, roster) {
		line("warning", "%s", warning)
	}
	return out
}

// warnings are what is not wrong but will not do, or is unwise.
func warnings(cfg *config.Config, roster peering.Roster) []string {
	out := cfg.Warnings()
	if room, err := bgp.NewKeyRoom(roster.Peers()); err == nil && !room.Enough() {
		out = append(out, room.String()+"; peers whose keys have no room are held closed")
	}
	if w := meshWarning(roster); w != "" {
		out = append(out, w)
	}
	return append(out, familyWarnings(roster)...)
}

func clusterMeaning(c peering.Cluster) string {
	what := fmt.Sprintf("%d nodes", countNodes(c.Peers))
	if len(c.Peers) > 0 && c.Peers[0].Role == peering.RoleReflector {
		what = fmt.Sprintf("%d reflectors", len(c.Peers))
	}
	if len(c.NodeCIDRs) > 0 {
		what += ", nodes inside " + join(c.NodeCIDRs)
	}
	return what
}

// countNodes counts those that the peers are: those of one name are one.
func countNodes(peers []peering.Peer) int {
	names := map[string]bool{}
	for _, p := range peers {
		names[p.Node()] = true
	}
	return len(names)
}

// lengthsMeaning names the lengths of the families that the cluster has pods of.
func lengthsMeaning(c peering.Cluster) string {
	var parts []string
	for _, f := range familiesOf(c.PodCIDRs).List() {
		r := c.Lengths.IPv4
		if f == peering.IPv6 {
			r = c.Lengths.IPv6
		}
		parts = append(parts, fmt.Sprintf("/%d to /%d", r.Min, r.Max))
	}
	return strings.Join(parts, " and ")
}

// familyWarnings say which pods of a remote cluster nobody can tell us of: no session with it carries their family.
func familyWarnings(r peering.Roster) []string {
	var out []string
	for _, c := range r.Clusters {
		var carried peering.Families
		for _, p := range c.Peers {
			carried |= p.Families
		}
		for _, cidr := range c.PodCIDRs {
			if f := peering.FamilyOf(cidr.Addr()); len(c.Peers) > 0 && !carried.Has(f) {
				out = append(out, fmt.Sprintf("no session with cluster %s carries %s, so nothing inside %s is learned: list the %s addresses of "+
					"its nodes, or set its sessionFamilies to both", c.Name, f, cidr, f))
			}
		}
	}
	return out
}

// What a full mesh costs: each session takes so much memory (docs/design/gobgp.md).
const (
	meshComfort = 200 // remote nodes
	sessionKB   = 100
)

// meshWarning says when there are more sessions with remote nodes than a full mesh is good for; else it is empty.
func meshWarning(r peering.Roster) string {
	nodes, sessions := 0, 0
	for _, c := range r.Clusters {
		if len(c.Peers) > 0 && c.Peers[0].Role == peering.RoleRemote {
			nodes += countNodes(c.Peers)
			sessions += len(c.Peers)
		}
	}
	if nodes <= meshComfort {
		return ""
	}
	return fmt.Sprintf("a session with each of %d remote nodes takes some %d MB of memory on this node and on each of them; "+
		"beyond about %d let each cluster have two route reflectors (remotes[].reflectors, docs/reflectors.md)",
		nodes, sessions*sessionKB/1000, meshComfort)
}

func peerMeaning(p peering.Peer) string {
	how := "directly connected"
	if p.MaxHops > 1 {
		how = fmt.Sprintf("up to %d hops away", p.MaxHops)
	}
	if p.Password.IsSet() {
		how += ", signed (TCP MD5)"
	}
	if p.Role.Remote() && len(p.Families.List()) > 1 {
		how += ", IPv4 and IPv6"
		if p.Other.IsValid() {
			how += " with next hop " + p.Other.String()
		}
	}
	return strings.TrimSpace(fmt.Sprintf("%s %s", p.Addr, p.Name)) + fmt.Sprintf(", port %d, AS %d, %s", p.DialPort, p.ASN, how)
}

func join[T netip.Addr | netip.Prefix](list []T) string {
	words := make([]string, len(list))
	for i, v := range list {
		words[i] = fmt.Sprint(v)
	}
	return strings.Join(words, ", ")
}

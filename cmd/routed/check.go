package main

import (
	"fmt"
	"io"
	"net/netip"
	"strings"
	"text/tabwriter"

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
			return printMeaning(cmd.OutOrStdout(), path, l.cfg, r, answers)
		},
	}
	configFlag(cmd, &path)
	return cmd
}

// printMeaning says in words what a daemon with this configuration would do.
func printMeaning(out io.Writer, path string, cfg *config.Config, roster peering.Roster, answers apiAnswers) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(key, format string, args ...any) { fmt.Fprintf(w, "%s\t%s\n", key, fmt.Sprintf(format, args...)) }

	line("configuration", "%s is good", path)
	line("this node", "%s of cluster %s, AS %d, router ID %s", cfg.Node.Address, cfg.Cluster.Name, cfg.Cluster.ASN, cfg.Node.RouterID)
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
		line("remote cluster", "%s: %s, accepted inside %s, /%d to /%d, at most %d prefixes a node and %d in all",
			c.Name, clusterMeaning(c), join(c.PodCIDRs), c.Lengths.IPv4.Min, c.Lengths.IPv4.Max, c.Limits.PerNode, c.Limits.Total)
		if a, asked := answers[c.Name]; asked {
			line("", "%s", a.meaning())
		}
		for _, p := range c.Peers {
			line("", "%s", peerMeaning(p))
		}
	}
	for _, cidr := range remoteCIDRs(cfg) {
		if cfg.Kernel.Table != config.TableMain {
			line("rule", "to %s lookup %d pref %d", cidr, cfg.Kernel.Table, cfg.Kernel.RulePriority)
		}
	}
	line("routes", "table %d, protocol %d, %s on exit", cfg.Kernel.Table, cfg.Kernel.Protocol, cfg.Kernel.OnExit)
	line("metrics", "http://%s/metrics", cfg.Metrics.Listen)
	line("admin socket", "%s", cfg.Admin.Socket)
	line("state", "%s", cfg.State.Directory)
	for _, warning := range warnings(cfg, roster) {
		line("warning", "%s", warning)
	}
	return w.Flush()
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
	return out
}

func clusterMeaning(c peering.Cluster) string {
	if len(c.NodeCIDRs) > 0 {
		return fmt.Sprintf("%d reflectors, nodes inside %s", len(c.Peers), join(c.NodeCIDRs))
	}
	return fmt.Sprintf("%d nodes", len(c.Peers))
}

// What a full mesh costs: each session takes so much memory (docs/design/gobgp.md).
const (
	meshComfort = 200 // remote nodes
	sessionKB   = 100
)

// meshWarning says when there are more sessions with remote nodes than a full mesh is good for; else it is empty.
func meshWarning(r peering.Roster) string {
	nodes := 0
	for _, p := range r.Peers() {
		if p.Role == peering.RoleRemote {
			nodes++
		}
	}
	if nodes <= meshComfort {
		return ""
	}
	return fmt.Sprintf("a session with each of %d remote nodes takes some %d MB of memory on this node and on each of them; "+
		"beyond about %d let each cluster have two route reflectors (remotes[].reflectors, docs/reflectors.md)",
		nodes, nodes*sessionKB/1000, meshComfort)
}

func peerMeaning(p peering.Peer) string {
	how := "directly connected"
	if p.MaxHops > 1 {
		how = fmt.Sprintf("up to %d hops away", p.MaxHops)
	}
	if p.Password.IsSet() {
		how += ", signed (TCP MD5)"
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

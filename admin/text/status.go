package text

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"routed/admin"
)

// Status writes one screen: what is wrong, then this node, its BIRD, the remote clusters, the kernel.
func Status(out io.Writer, s admin.Status, o Options) error {
	w := bufio.NewWriter(out)
	writeSummary(w, s, o)
	writeProblems(w, s.Problems, o)
	writeNode(w, s, o)
	writeClusters(w, s, o)
	writeKernel(w, s, o)
	writeProbe(w, s, o)
	return w.Flush()
}

func writeSummary(w *bufio.Writer, s admin.Status, o Options) {
	verdict, st := "healthy", good
	if n := len(s.Problems); n > 0 {
		verdict, st = plural(n, "problem"), severityStyle(s.Problems[0].Severity)
	}
	headline(w, o, st, verdict, fmt.Sprintf("up %s: ", age(s.At, s.Node.Started)),
		fmt.Sprintf("routed %s on %s", s.Node.Release, cmp.Or(s.Node.Address, s.Node.Address6)), fmt.Sprintf("(%s),", s.Node.Cluster))
}

// headline writes some words and then, after its lead, the verdict, in as few lines as they fit in.
func headline(w *bufio.Writer, o Options, st style, verdict, lead string, words ...string) {
	at := 0
	place := func(columns int) {
		switch {
		case at == 0:
		case at+1+columns > width:
			fmt.Fprint(w, "\n", indent)
			at = len(indent)
		default:
			fmt.Fprint(w, " ")
			at++
		}
		at += columns
	}
	for _, word := range words {
		place(utf8.RuneCountInString(word))
		fmt.Fprint(w, word)
	}
	place(utf8.RuneCountInString(lead + verdict))
	fmt.Fprintln(w, lead+o.paint(st, verdict))
}

// addresses are the node's, IPv4 first.
func addresses(n admin.Node) []string {
	var out []string
	for _, a := range []netip.Addr{n.Address, n.Address6} {
		if a.IsValid() {
			out = append(out, a.String())
		}
	}
	return out
}

func writeProblems(w *bufio.Writer, problems []admin.Problem, o Options) {
	for _, p := range problems {
		writeTrouble(w, o, severityStyle(p.Severity), string(p.Severity), string(p.Code), p.Text, p.Remedy)
	}
}

// writeTrouble writes how bad it is, what it is called, what it is, and what to do.
func writeTrouble(w *bufio.Writer, o Options, st style, badness, name, text, remedy string) {
	fmt.Fprintf(w, "\n%s %s\n", o.paint(st, strings.ToUpper(badness)), name)
	for _, line := range wrap(text, width-len(indent)) {
		fmt.Fprintf(w, "%s%s\n", indent, line)
	}
	mark := "-> "
	for _, line := range wrap(remedy, width-len(indent)-len(mark)) {
		fmt.Fprintf(w, "%s%s%s\n", indent, mark, o.paint(faint, line))
		mark = "   "
	}
}

func severityStyle(s admin.Severity) style {
	if s == admin.Critical {
		return urgent
	}
	return warn
}

func writeNode(w *bufio.Writer, s admin.Status, o Options) {
	section(w, o, "THIS NODE")
	if all := addresses(s.Node); len(all) > 1 {
		field(w, "addresses", strings.Join(all, ", "))
	}
	field(w, "router ID", s.Node.RouterID.String())
	for _, p := range s.BIRD {
		text := o.paint(goodIf(p.Up), p.State) + " " + since(s.At, p.Since)
		field(w, "BIRD", fmt.Sprintf("%s %s", p.Address, strings.TrimSpace(text)))
	}
	for i, b := range s.Mesh.OwnBlocks {
		name := ""
		if i == 0 {
			name = "own blocks"
		}
		st := plain
		if b.Source == "retained" {
			st = warn
		}
		field(w, name, fmt.Sprintf("%s (%s)", b.Prefix, o.paint(st, b.Source)))
	}
	if len(s.Mesh.OwnBlocks) == 0 {
		field(w, "own blocks", noBlocks(s.Mesh))
	}
	field(w, "mesh", convergence(s, o))
}

func noBlocks(m admin.Mesh) string {
	if !m.OwnKnown {
		return "not known yet"
	}
	return "none"
}

func convergence(s admin.Status, o Options) string {
	if !s.Mesh.Converged {
		return o.paint(warn, "not converged yet")
	}
	text := "converged"
	if !s.Mesh.ConvergedAt.IsZero() {
		text += " " + age(s.At, s.Mesh.ConvergedAt) + " ago"
	}
	if s.Mesh.ConvergedBy == admin.ByDeadline {
		text += " (by the deadline, not every peer was heard)"
	}
	return text
}

func writeClusters(w *bufio.Writer, s admin.Status, o Options) {
	section(w, o, "REMOTE CLUSTERS")
	t := table{head: heads("+CLUSTER", ">NODES", ">BLOCKS", ">STALE", ">ROUTES", ">INSTALLED", "NOT INSTALLED")}
	for _, c := range s.Clusters {
		blocks, sum := c.BlockSum(), c.RouteSum()
		t.add(
			cell{text: c.Name},
			cell{text: fmt.Sprintf("%d/%d", c.NodesUp, c.NodesKnown), right: true, style: goodIf(c.NodesUp == c.NodesKnown)},
			cell{text: strconv.Itoa(blocks.Total()), right: true},
			cell{text: strconv.Itoa(blocks.Stale), right: true, style: warnIf(blocks.Stale)},
			cell{text: strconv.Itoa(sum.Wanted), right: true},
			cell{text: strconv.Itoa(sum.Installed), right: true, style: goodIf(sum.Installed == sum.Wanted)},
			cell{text: sum.NotInstalled(), style: bad},
		)
	}
	t.write(w, o, indent)
}

func writeKernel(w *bufio.Writer, s admin.Status, o Options) {
	k := s.Kernel
	section(w, o, "KERNEL")
	field(w, "table", fmt.Sprintf("%d, proto %d, rules %s", k.Table, k.Protocol,
		o.paint(goodIf(k.RulesPresent >= k.RulesWanted), fmt.Sprintf("%d/%d", k.RulesPresent, k.RulesWanted))))
	if r := k.LastReconcile; !r.At.IsZero() {
		field(w, "reconciled", fmt.Sprintf("%s ago (%s, took %s)", age(s.At, r.At), r.Kind, admin.Took(r.DurationSeconds)))
	}
	field(w, "full compare", ago(s.At, k.LastResync))
	writeGuard(w, s, o)
	if k.LastError != "" {
		for i, line := range wrap(fmt.Sprintf("%s: %s", ago(s.At, k.LastErrorAt), k.LastError), width-fieldStart) {
			field(w, []string{"last error", ""}[min(i, 1)], line)
		}
	}
}

// writeGuard says how the packet filter in front of the BGP port is. A daemon of an earlier release has none.
func writeGuard(w *bufio.Writer, s admin.Status, o Options) {
	g := s.Guard
	switch g.State {
	case "":
	case admin.GuardActive:
		text := fmt.Sprintf("%s, %s may connect", o.paint(good, string(g.State)), plural(g.Peers, "peer"))
		if g.Repairs > 0 {
			text += fmt.Sprintf(", repaired %s, last %s", plural(int(g.Repairs), "time"), ago(s.At, g.LastRepair))
		}
		field(w, "guard", text)
	case admin.GuardUnavailable, admin.GuardFailing:
		field(w, "guard", o.paint(warn, string(g.State))+" for "+age(s.At, g.Since))
		for _, line := range wrap(g.Reason, width-fieldStart) {
			field(w, "", line)
		}
	default:
		field(w, "guard", string(g.State))
	}
}

func section(w *bufio.Writer, o Options, name string) { fmt.Fprintf(w, "\n%s\n", o.paint(bold, name)) }

const fieldStart = 16 // the column that the values of fields begin at

func field(w *bufio.Writer, name, value string) {
	fmt.Fprintf(w, "%s%-*s%s\n", indent, fieldStart-len(indent), name, value)
}

func age(now, t time.Time) string { return admin.Age(now.Sub(t)) }

func ago(now, t time.Time) string {
	if t.IsZero() {
		return "never yet"
	}
	return age(now, t) + " ago"
}

// since is the age of a state, "-" when it was never entered.
func since(now, t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return age(now, t)
}

func plural(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}

package page

import (
	"cmp"
	"fmt"
	"html/template"
	"slices"
	"strconv"
	"strings"
	"time"

	"routed/admin"
)

// What the tables show at most; the rest is a number, and a command that lists it.
const (
	problemsShown = 100
	clustersShown = 100
	sessionsShown = 200
	ownShown      = 32
	refusedShown  = 3 // announcements of one peer
)

// refreshOffered is the refresh that the page offers.
const refreshOffered = 10 * time.Second

// view is what the templates see.
type view struct {
	Style   template.CSS
	Refresh refreshView

	Name     string // of this node: its addresses
	Cluster  string
	Release  string
	UpFor    string
	At       string
	Verdict  string
	Mood     string // class: good, warning, critical
	NotReady string

	Problems     []admin.Problem
	MoreProblems int
	Picture      picture
	Node         []field
	Kernel       []field
	Clusters     []clusterRow
	MoreClusters int
	Probes       *probes
	Sessions     []sessionRow
	MoreSessions int
}

// refreshView is how often a browser loads the page again.
type refreshView struct {
	Seconds int // zero: never
	Offered int
}

func refreshOf(d time.Duration) refreshView {
	return refreshView{Seconds: int(d.Seconds()), Offered: int(refreshOffered.Seconds())}
}

// field is a name and what it is.
type field struct {
	Name   string
	Values []value
}

// value is a text with a class: good, warning, bad, or none.
type value struct{ Class, Text string }

// clusterRow is a row of the table of remote clusters.
type clusterRow struct {
	Name         string
	Nodes        value
	Blocks       int
	Stale, Held  value
	Wanted       int
	Installed    value
	NotInstalled string
}

// sessionRow is a row of the table of BGP sessions, with the notes below it.
type sessionRow struct {
	Cluster, Node, Address string
	Condition              condition
	State, Since           string
	Accepted               int
	Rejected               value
	Advertised             int
	Flaps                  value
	Notes                  []value
}

func newView(style template.CSS, s admin.Status, peers admin.Peers, refresh time.Duration) view {
	nodes := nodesByCluster(peers.Peers)
	v := view{
		Style: style, Refresh: refreshOf(refresh),
		Name: strings.Join(addressesOf(s.Node), ", "), Cluster: s.Node.Cluster, Release: s.Node.Release,
		UpFor: age(s.At, s.Node.Started), At: s.At.UTC().Format("2006-01-02 15:04:05 UTC"), NotReady: s.NotReady,
		Picture: draw(s, nodes, s.BIRD),
		Node:    nodeFields(s), Kernel: kernelFields(s), Probes: probesOf(s),
	}
	v.Verdict, v.Mood = verdict(s)
	v.Problems, v.MoreProblems = first(s.Problems, problemsShown)
	clusters, more := first(worstFirst(s.Clusters), clustersShown)
	v.MoreClusters = more
	for _, c := range clusters {
		v.Clusters = append(v.Clusters, clusterRowOf(c))
	}
	sessions, more := first(troubledFirst(peers.Peers), sessionsShown)
	v.MoreSessions = more
	for _, p := range sessions {
		v.Sessions = append(v.Sessions, sessionRowOf(peers.At, *p.Peer))
	}
	return v
}

// first cuts a list, and says how many are left.
func first[T any](list []T, limit int) (shown []T, more int) {
	if len(list) <= limit {
		return list, 0
	}
	return list[:limit], len(list) - limit
}

func verdict(s admin.Status) (text, mood string) {
	n := len(s.Problems)
	switch {
	case n == 0:
		return "healthy", "good"
	case s.Problems[0].Severity == admin.Critical:
		return plural(n, "problem"), "critical"
	default:
		return plural(n, "problem"), "warning"
	}
}

func clusterRowOf(c admin.Cluster) clusterRow {
	blocks, routes := c.BlockSum(), c.RouteSum()
	return clusterRow{
		Name:   clip(c.Name, nameLength),
		Nodes:  value{goodIf(c.NodesUp == c.NodesKnown && c.NodesUp > 0), fmt.Sprintf("%d/%d", c.NodesUp, c.NodesKnown)},
		Blocks: blocks.Total(), Stale: zero(blocks.Stale), Held: zero(blocks.Held),
		Wanted: routes.Wanted, Installed: value{goodIf(routes.Installed == routes.Wanted), strconv.Itoa(routes.Installed)},
		NotInstalled: routes.NotInstalled(),
	}
}

// troubledFirst is the order of the sessions: what is wrong, then the local BIRD, then by cluster and address.
func troubledFirst(peers []admin.Peer) []ranked {
	out := make([]ranked, 0, len(peers))
	for i := range peers {
		out = append(out, ranked{&peers[i], conditionOf(peers[i]).rank()})
	}
	slices.SortFunc(out, func(a, b ranked) int {
		if a.rank != b.rank {
			return a.rank - b.rank
		}
		return cmp.Or(strings.Compare(a.Role, b.Role), strings.Compare(a.Cluster, b.Cluster), a.Address.Compare(b.Address))
	})
	return out
}

// ranked is a session with the rank of its condition.
type ranked struct {
	*admin.Peer
	rank int
}

func sessionRowOf(now time.Time, p admin.Peer) sessionRow {
	sum := p.PrefixSum()
	r := sessionRow{
		Cluster: clip(p.Cluster, nameLength), Node: clip(p.Name, nameLength), Address: p.Address.String(),
		Condition: conditionOf(p), State: clip(p.State, nameLength), Since: "never up",
		Accepted: sum.Accepted, Rejected: zero(sum.Rejected), Advertised: p.Advertised,
		Flaps: zero(int(min(p.Flaps, 1<<31))), Notes: notes(now, p),
	}
	if p.Role == roleBIRD {
		r.Node = "BIRD"
	}
	if !p.Since.IsZero() {
		r.Since = age(now, p.Since)
	}
	return r
}

// notes say why a session is down and what was refused, the latest first.
func notes(now time.Time, p admin.Peer) []value {
	var out []value
	if !p.Up && p.DownReason != "" {
		out = append(out, value{"bad", "down: " + clip(p.DownReason, reasonLength)})
	}
	if len(p.Rejected) == 0 {
		return out
	}
	counts := make([]string, 0, len(p.Rejected))
	for _, c := range p.Rejected {
		counts = append(counts, fmt.Sprintf("%s %d", c.Name, c.Count))
	}
	out = append(out, value{"warning", "refused so far: " + strings.Join(counts, ", ")})
	for i, r := range slices.Backward(p.LastRejected) {
		if len(p.LastRejected)-i > refusedShown {
			break
		}
		text := r.Prefix.String()
		if r.NextHop.IsValid() {
			text += " via " + r.NextHop.String()
		}
		out = append(out, value{"", fmt.Sprintf("%s, %s: %s", text, ago(now, r.At), clip(r.Detail, reasonLength))})
	}
	return out
}

func nodeFields(s admin.Status) []field {
	out := []field{{"Router ID", []value{{"", s.Node.RouterID.String()}}}}
	own, more := first(s.Mesh.OwnBlocks, ownShown)
	blocks := field{Name: "Own blocks"}
	for _, b := range own {
		v := value{"", fmt.Sprintf("%s (%s)", b.Prefix, b.Source)}
		if b.Source == "retained" {
			v.Class = "warning"
		}
		blocks.Values = append(blocks.Values, v)
	}
	switch {
	case more > 0:
		blocks.Values = append(blocks.Values, value{"", fmt.Sprintf("and %d more", more)})
	case !s.Mesh.OwnKnown:
		blocks.Values = append(blocks.Values, value{"warning", "not known yet"})
	case len(own) == 0:
		blocks.Values = append(blocks.Values, value{"", "none"})
	}
	return append(out, blocks, field{"Mesh", []value{convergence(s)}}, field{"Configuration", []value{reload(s)}})
}

func convergence(s admin.Status) value {
	switch {
	case !s.Mesh.Converged:
		return value{"warning", "not converged yet"}
	case s.Mesh.ConvergedBy == admin.ByDeadline:
		return value{"", fmt.Sprintf("converged %s, by the deadline: not every peer was heard", ago(s.At, s.Mesh.ConvergedAt))}
	default:
		return value{"", "converged " + ago(s.At, s.Mesh.ConvergedAt)}
	}
}

func reload(s admin.Status) value {
	if !s.Config.LastReloadOK {
		return value{"warning", "the last reload was refused"}
	}
	return value{"", "loaded " + ago(s.At, s.Config.LastSuccessAt)}
}

func kernelFields(s admin.Status) []field {
	k := s.Kernel
	out := []field{
		{"Table", []value{{"", fmt.Sprintf("%d, protocol %d", k.Table, k.Protocol)}}},
		{"Rules", []value{{goodIf(k.RulesPresent >= k.RulesWanted), fmt.Sprintf("%d of %d present", k.RulesPresent, k.RulesWanted)}}},
	}
	if r := k.LastReconcile; !r.At.IsZero() {
		out = append(out, field{"Reconciled", []value{{"", ago(s.At, r.At) + " (" + r.Kind + ")"}}})
	}
	out = append(out, field{"Full compare", []value{{"", ago(s.At, k.LastResync)}}}, field{"Guard", []value{guardOf(s)}})
	if k.LastError != "" {
		out = append(out, field{"Last error", []value{{"warning", ago(s.At, k.LastErrorAt) + ": " + clip(k.LastError, reasonLength)}}})
	}
	return out
}

func guardOf(s admin.Status) value {
	g := s.Guard
	switch g.State {
	case admin.GuardActive:
		return value{"good", fmt.Sprintf("active, %s may connect", plural(g.Peers, "peer"))}
	case admin.GuardUnavailable, admin.GuardFailing:
		return value{"warning", fmt.Sprintf("%s for %s: %s", g.State, age(s.At, g.Since), clip(g.Reason, reasonLength))}
	default:
		return value{"", string(g.State)}
	}
}

func goodIf(ok bool) string {
	if ok {
		return "good"
	}
	return "bad"
}

// zero marks a number that should be zero.
func zero(n int) value {
	if n > 0 {
		return value{"warning", strconv.Itoa(n)}
	}
	return value{"", "0"}
}

package page

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"routed/admin"
)

// condition is how a node stands. Each has a colour, a shape and a kind of line; the words are those of the style sheet.
type condition string

// The conditions, the worst first.
const (
	down    condition = "down"    // no session, and nothing of it is kept
	kept    condition = "kept"    // no session, its blocks are kept: stale
	refused condition = "refused" // up, but some of what it announces is refused
	up      condition = "up"
)

func conditions() []condition { return []condition{down, kept, refused, up} }

func (c condition) rank() int { return slices.Index(conditions(), c) }

// node is one remote node, or one reflector: every session by one name is one node.
type node struct {
	Condition condition
	Name      string // its address, when it has no name
	Addresses []netip.Addr
	Blocks    int
	Refused   int
	Since     time.Time // of the worst session; zero: was never up
	Reason    string
}

// nodesByCluster groups the sessions with remote daemons, the nodes of each cluster in order: the worst first.
func nodesByCluster(peers []admin.Peer) map[string][]node {
	type key struct{ cluster, name string }
	at := map[key]int{}
	out := map[string][]node{}
	for _, p := range peers {
		if p.Role == roleBIRD {
			continue
		}
		k := key{p.Cluster, cmp.Or(p.Name, p.Address.String())}
		if i, known := at[k]; known {
			out[p.Cluster][i].join(nodeOf(p))
			continue
		}
		at[k] = len(out[p.Cluster])
		out[p.Cluster] = append(out[p.Cluster], nodeOf(p))
	}
	for _, nodes := range out {
		slices.SortFunc(nodes, func(a, b node) int {
			return cmp.Or(a.Condition.rank()-b.Condition.rank(), strings.Compare(a.Name, b.Name), a.Addresses[0].Compare(b.Addresses[0]))
		})
	}
	return out
}

// roleBIRD is the role of the local BIRD's sessions in [admin.Peer].
const roleBIRD = "bird"

func nodeOf(p admin.Peer) node {
	sum := p.PrefixSum()
	return node{
		Condition: conditionOf(p), Name: cmp.Or(p.Name, p.Address.String()), Addresses: []netip.Addr{p.Address},
		Blocks: sum.Accepted, Refused: sum.Rejected, Since: p.Since, Reason: p.DownReason,
	}
}

func conditionOf(p admin.Peer) condition {
	sum := p.PrefixSum()
	switch {
	case !p.Up && sum.Accepted == 0:
		return down
	case !p.Up:
		return kept
	case sum.Rejected > 0 && p.Role != roleBIRD: // BIRD may pass on the blocks of other nodes
		return refused
	default:
		return up
	}
}

// join adds another session of the same node: it stands as its worst session does.
func (n *node) join(other node) {
	n.Addresses = append(n.Addresses, other.Addresses...)
	n.Blocks += other.Blocks
	n.Refused += other.Refused
	if other.Condition.rank() < n.Condition.rank() {
		n.Condition, n.Since, n.Reason = other.Condition, other.Since, other.Reason
	}
}

// address is the first of its addresses, and how many more there are.
func (n node) address() string {
	text := n.Addresses[0].String()
	if more := len(n.Addresses) - 1; more > 0 {
		text += fmt.Sprintf(" +%d", more)
	}
	return text
}

// state is in a few words how the node is at a time.
func (n node) state(now time.Time) string {
	switch {
	case n.Since.IsZero():
		return "never up"
	case n.Condition == up || n.Condition == refused:
		return "up " + age(now, n.Since)
	default:
		return "down " + age(now, n.Since)
	}
}

// holds is what there is of its announcements.
func (n node) holds() string {
	text := plural(n.Blocks, "block")
	if n.Condition == kept {
		text += " kept"
	}
	if n.Refused > 0 {
		text += fmt.Sprintf(", %d refused", n.Refused)
	}
	return text
}

// brief is what a sign alone stands for.
func (n node) brief(now time.Time) string {
	who := n.addresses()
	if who != n.Name {
		who = clip(n.Name, nameLength) + " " + who
	}
	return fmt.Sprintf("%s: %s, %s", who, n.state(now), n.holds())
}

// title is all there is to say of the node.
func (n node) title(now time.Time) string {
	text := n.brief(now)
	if n.Reason != "" {
		text += ": " + clip(n.Reason, reasonLength)
	}
	return text
}

func (n node) addresses() string {
	words := make([]string, 0, len(n.Addresses))
	for _, a := range n.Addresses {
		words = append(words, a.String())
	}
	return clip(strings.Join(words, " "), reasonLength)
}

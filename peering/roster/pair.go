package roster

import (
	"fmt"
	"net/netip"
	"strings"
)

// Pair is a node with the one or the two addresses that a list has under its name.
type Pair struct {
	Node             // by its IPv4 address, when it has one
	Other netip.Addr // its IPv6 address beside that; invalid: none is known
}

// Pairs puts the addresses of each node together, by its name. Nodes without a name have one address. The error tells of a
// name that has two of one family: which belongs to which is not known. nodes is as [Merge] gives it; so is the result.
func Pairs(nodes []Node) ([]Pair, error) {
	var out []Pair
	at := map[string]int{}
	for _, n := range nodes { // IPv4 addresses come first
		i, named := at[n.Name]
		switch {
		case n.Name == "" || !named:
			at[n.Name] = len(out)
			out = append(out, Pair{Node: n})
		case out[i].Other.IsValid() || out[i].Addr.Is4() == n.Addr.Is4():
			return nil, fmt.Errorf("%s has the addresses %s; one name is one node, with at most one address of each family",
				n.Name, addressesOf(n.Name, nodes))
		default:
			out[i].Other = n.Addr
		}
	}
	return out, nil
}

func addressesOf(name string, nodes []Node) string {
	var words []string
	for _, n := range nodes {
		if n.Name == name {
			words = append(words, n.Addr.String())
		}
	}
	return strings.Join(words, ", ")
}

package roster

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// Node is one node of a remote cluster.
type Node struct {
	Addr netip.Addr // as [ParseAddr] gives it
	Name string     // its host name, for people only; empty when the list gives none
}

// Merge makes one list of several: sorted by address, each address once, with the first name any list has for it.
// The result shares nothing with the lists.
func Merge(lists ...[]Node) []Node {
	out := slices.Concat(lists...)
	slices.SortStableFunc(out, func(a, b Node) int { return a.Addr.Compare(b.Addr) })
	merged := out[:0]
	for _, n := range out {
		last := len(merged) - 1
		switch {
		case last < 0 || merged[last].Addr != n.Addr:
			merged = append(merged, n)
		case merged[last].Name == "":
			merged[last].Name = n.Name
		}
	}
	return merged
}

// ParseAddr reads the address of a node. Only what can be another host's unicast address, written in its one
// canonical family, is accepted: no zone, no IPv4 mapped into IPv6, no loopback, no IPv6 link-local address
// (it means nothing without a zone).
func ParseAddr(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("%q is not an IP address", s)
	}
	if err := checkAddr(a); err != nil {
		return netip.Addr{}, fmt.Errorf("%s %w", s, err)
	}
	return a, nil
}

func checkAddr(a netip.Addr) error {
	switch {
	case a.Zone() != "":
		return errors.New("has a zone; a node is known by an address that means the same everywhere")
	case a.Is4In6():
		return fmt.Errorf("is an IPv4 address in IPv6 form; write %s", a.Unmap())
	case a.IsUnspecified():
		return errors.New("is the unspecified address, not a node's")
	case a.IsLoopback():
		return errors.New("is a loopback address, not a node's")
	case a.IsMulticast(), a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return errors.New("is not a unicast address")
	case a.Is6() && a.IsLinkLocalUnicast():
		return errors.New("is a link-local address; a node is known by an address that means the same everywhere")
	default:
		return nil
	}
}

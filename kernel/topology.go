package kernel

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
)

// Link is one network interface.
type Link struct {
	Index    int32
	Name     string
	Up       bool // administratively (IFF_UP); the kernel drops the routes of a link that is not
	Running  bool // it has a carrier
	Loopback bool
	MTU      uint32
}

// Address is one address on an interface.
type Address struct {
	Device int32
	Local  netip.Addr
	Subnet netip.Prefix // what the address says is on the link: its subnet, or the peer of a point-to-point link
}

// Topology is the links and their addresses: what next hops are resolved against. Its users must not change it;
// Clone makes a copy.
type Topology struct {
	Links     map[int32]Link
	Addresses []Address
}

// Clone copies t.
func (t Topology) Clone() Topology {
	return Topology{Links: maps.Clone(t.Links), Addresses: slices.Clone(t.Addresses)}
}

// DeviceName is the name of an interface, or empty.
func (t Topology) DeviceName(index int32) string { return t.Links[index].Name }

// HasAddress says whether some interface has the address.
func (t Topology) HasAddress(a netip.Addr) bool {
	return slices.ContainsFunc(t.Addresses, func(have Address) bool { return have.Local == a })
}

// OnLink says through which device an address is reached without a router, if any.
func (t Topology) OnLink(a netip.Addr) (device string, ok bool) {
	way := t.resolve(a)
	return t.DeviceName(way.device), way.reason == ""
}

// way is how a next hop is reached, or why not.
type way struct {
	device int32
	onlink bool
	reason string // in words; empty when the next hop is reachable
	down   string // the link that would lead there, were it up
}

// resolve finds the device whose subnet a next hop lies in. The longest subnet wins, then a link with a carrier,
// then the lower index.
func (t Topology) resolve(hop netip.Addr) way {
	if reason := t.unusable(hop); reason != "" {
		return way{reason: reason}
	}
	var best Address
	down := ""
	for _, a := range t.Addresses {
		link := t.Links[a.Device]
		if !a.Subnet.Contains(hop) || link.Loopback {
			continue
		}
		if !link.Up {
			down = link.Name
			continue
		}
		if best.Device == 0 || t.better(a, best) {
			best = a
		}
	}
	switch {
	case best.Device != 0:
		return way{device: best.Device}
	case down != "":
		return way{reason: fmt.Sprintf("next hop %s is on %s, which is down", hop, down), down: down}
	default:
		return way{reason: fmt.Sprintf("next hop %s is on no subnet of this host", hop)}
	}
}

func (t Topology) unusable(hop netip.Addr) string {
	switch {
	case !hop.IsValid() || hop.IsUnspecified() || hop.IsMulticast() || hop.IsLoopback():
		return fmt.Sprintf("%s cannot be a next hop", hop)
	case hop.IsLinkLocalUnicast():
		return fmt.Sprintf("next hop %s is link-local: it says nothing about the link", hop)
	case t.HasAddress(hop):
		return fmt.Sprintf("next hop %s is an address of this host", hop)
	}
	return ""
}

// better compares two addresses whose subnets hold the same next hop.
func (t Topology) better(a, b Address) bool {
	return cmp.Or(
		-cmp.Compare(a.Subnet.Bits(), b.Subnet.Bits()),
		cmp.Compare(carrierRank(t.Links[a.Device]), carrierRank(t.Links[b.Device])),
		cmp.Compare(a.Device, b.Device),
	) < 0
}

func carrierRank(l Link) int {
	if l.Running {
		return 0
	}
	return 1
}

// setLink notes what a link is now and says whether that can matter to a next hop.
func (t *Topology) setLink(l Link) bool {
	old, known := t.Links[l.Index]
	t.Links[l.Index] = l
	old.MTU = l.MTU // says nothing about where packets go
	return known && old != l && t.hasAddressOn(l.Index)
}

// dropLink forgets a link and its addresses.
func (t *Topology) dropLink(index int32) bool {
	had := t.hasAddressOn(index)
	delete(t.Links, index)
	t.Addresses = slices.DeleteFunc(t.Addresses, func(a Address) bool { return a.Device == index })
	return had
}

// setAddress adds an address and says whether it was new.
func (t *Topology) setAddress(a Address) bool {
	if slices.Contains(t.Addresses, a) {
		return false
	}
	t.Addresses = append(t.Addresses, a)
	return true
}

func (t *Topology) dropAddress(a Address) bool {
	before := len(t.Addresses)
	t.Addresses = slices.DeleteFunc(t.Addresses, func(have Address) bool { return have == a })
	return len(t.Addresses) != before
}

func (t *Topology) hasIPv4(index int32) bool {
	return slices.ContainsFunc(t.Addresses, func(a Address) bool { return a.Device == index && a.Local.Is4() })
}

func (t *Topology) hasAddressOn(index int32) bool {
	return slices.ContainsFunc(t.Addresses, func(a Address) bool { return a.Device == index })
}

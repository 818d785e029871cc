package kernel

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Neighbor is what the kernel knows of a node on a link: its entry in the ARP or NDP cache.
type Neighbor struct {
	Device int32
	Addr   netip.Addr
	State  NeighborState
}

// NeighborState is the state of an entry (NUD_*, RFC 4861 section 7.3.2).
type NeighborState uint16

// The states in which a packet does not leave at once. NeighborNone is also an entry that is not there.
const (
	NeighborNone       NeighborState = unix.NUD_NONE
	NeighborIncomplete NeighborState = unix.NUD_INCOMPLETE
	NeighborFailed     NeighborState = unix.NUD_FAILED
)

// String is the state in iproute2's words, lower case.
func (s NeighborState) String() string {
	switch s {
	case NeighborNone:
		return "none"
	case NeighborIncomplete:
		return "incomplete"
	case NeighborFailed:
		return "failed"
	case unix.NUD_REACHABLE:
		return "reachable"
	case unix.NUD_STALE:
		return "stale"
	case unix.NUD_DELAY:
		return "delay"
	case unix.NUD_PROBE:
		return "probe"
	case unix.NUD_NOARP:
		return "noarp"
	case unix.NUD_PERMANENT:
		return "permanent"
	}
	return fmt.Sprintf("%#x", uint16(s))
}

// Neighbor looks up one entry; the zero State: there is none.
func (n *Netlink) Neighbor(ctx context.Context, device int32, addr netip.Addr) (Neighbor, error) {
	found := Neighbor{Device: device, Addr: addr}
	err := n.query.neighbors(ctx, familyOfAddr(addr), func(have Neighbor) {
		if have.Device == device && have.Addr == addr {
			found = have
		}
	})
	if err != nil {
		return found, fmt.Errorf("look for the neighbor %s: %w", addr, err)
	}
	return found, nil
}

// Neighbors lists the entries of both families.
func (n *Netlink) Neighbors(ctx context.Context) ([]Neighbor, error) {
	var all []Neighbor
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		if err := n.query.neighbors(ctx, family, func(have Neighbor) { all = append(all, have) }); err != nil {
			return nil, fmt.Errorf("list the neighbors: %w", err)
		}
	}
	return all, nil
}

func (d *dumper) neighbors(ctx context.Context, family uint8, handle func(Neighbor)) error {
	return d.dump(ctx, unix.RTM_GETNEIGH, unix.RTM_NEWNEIGH, func(b []byte) error {
		if n, ok := decodeNeighbor(b); ok {
			handle(n)
		}
		return nil
	}, &netlink.Ndmsg{Family: family})
}

// decodeNeighbor reads RTM_NEWNEIGH (struct ndmsg).
func decodeNeighbor(b []byte) (Neighbor, bool) {
	const offsetIndex, offsetState = 4, 8
	if len(b) < unix.SizeofNdMsg {
		return Neighbor{}, false
	}
	n := Neighbor{
		Device: int32(binary.NativeEndian.Uint32(b[offsetIndex:])),
		State:  NeighborState(binary.NativeEndian.Uint16(b[offsetState:])),
	}
	eachAttribute(b[unix.SizeofNdMsg:], func(typ uint16, value []byte) {
		if typ == unix.NDA_DST {
			n.Addr = addrOf(value)
		}
	})
	return n, n.Addr.IsValid()
}

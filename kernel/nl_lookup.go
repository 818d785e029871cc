package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// lookupBatch is how many lookups are asked at once. An answer takes up to 8 KiB of the receive buffer until it is read.
const lookupBatch = 128

var (
	errNoAnswer = errors.New("the kernel's answer is missing")
	errNoMatch  = errors.New("the kernel does not tell which route matched")
)

// Lookup asks for the routes to addresses (RTM_GETROUTE), many in one send. The Prefix of an answer is the address
// itself; no route to it is an error that is unix.ENETUNREACH.
func (n *Netlink) Lookup(addrs []netip.Addr) []Answer {
	return n.lookup(addrs, unix.RTM_F_LOOKUP_TABLE)
}

// Match asks for the route of a table that the lookup of an address ends at (RTM_F_FIB_MATCH). The Prefix of the answer is
// that of the route. Kernels before Linux 4.13 do not tell.
func (n *Netlink) Match(a netip.Addr) Answer {
	return n.lookup([]netip.Addr{a}, unix.RTM_F_LOOKUP_TABLE|unix.RTM_F_FIB_MATCH)[0]
}

func (n *Netlink) lookup(addrs []netip.Addr, flags uint32) []Answer {
	n.asker.mu.Lock()
	defer n.asker.mu.Unlock()
	answers := make([]Answer, len(addrs))
	for from := 0; from < len(addrs); from += lookupBatch {
		to := min(from+lookupBatch, len(addrs))
		n.lookupSome(addrs[from:to], answers[from:to], flags)
	}
	return answers
}

func (n *Netlink) lookupSome(addrs []netip.Addr, answers []Answer, flags uint32) {
	first := n.asker.seq + 1
	n.asker.seq += uint32(len(addrs))
	n.asker.out.reset()
	for i, a := range addrs {
		answers[i].Err = fmt.Errorf("look up %s: %w", a, errNoAnswer)
		n.asker.out.lookup(a.Unmap(), flags, first+uint32(i))
	}
	err := n.asker.send(n.asker.out.buf)
	for waiting := len(addrs); waiting > 0 && err == nil; {
		err = n.asker.receive(func(m message) error {
			i := int(m.seq - first)
			if i < 0 || i >= len(addrs) {
				return nil // late, of a batch that was given up
			}
			waiting--
			answers[i] = readAnswer(addrs[i].Unmap(), flags, m)
			return nil
		})
	}
	if err == nil {
		return
	}
	for i := range answers {
		if errors.Is(answers[i].Err, errNoAnswer) {
			answers[i].Err = fmt.Errorf("look up %s: %w", addrs[i], err)
		}
	}
}

func readAnswer(a netip.Addr, flags uint32, m message) Answer {
	if m.typ != unix.RTM_NEWROUTE {
		err := m.opError()
		if err == nil {
			err = errNoAnswer
		}
		return Answer{Err: fmt.Errorf("look up %s: %w", a, err)}
	}
	r, err := decodeRoute(m.data)
	if err != nil {
		return Answer{Err: fmt.Errorf("look up %s: %w", a, err)}
	}
	switch {
	case flags&unix.RTM_F_FIB_MATCH == 0:
		r.Prefix = netip.PrefixFrom(a, a.BitLen())
		r.Flags = 0 // an answer says more of a route than it was made with
	case r.foreign:
		return Answer{Err: fmt.Errorf("look up %s: %w", a, errNoMatch)}
	}
	return Answer{Route: r.FIBRoute, Table: r.table}
}

// lookup writes one RTM_GETROUTE: struct rtmsg and the address.
func (e *encoder) lookup(a netip.Addr, flags, seq uint32) {
	e.begin(unix.RTM_GETROUTE, unix.NLM_F_REQUEST, seq)
	host := netip.PrefixFrom(a, a.BitLen())
	e.buf = append(e.buf, familyOf(host), uint8(host.Bits()), 0, 0, 0, 0, 0, 0)
	e.buf = binary.NativeEndian.AppendUint32(e.buf, flags)
	e.addr(unix.RTA_DST, a)
	e.end()
}

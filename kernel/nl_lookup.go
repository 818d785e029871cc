package kernel

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Lookup asks for the route to an address (RTM_GETROUTE); its Prefix is the address itself. An address that the
// kernel has no route to is an error that is unix.ENETUNREACH.
func (n *Netlink) Lookup(addr netip.Addr) (FIBRoute, error) {
	addr = addr.Unmap()
	r, err := n.asker.lookup(addr)
	if err != nil {
		return FIBRoute{}, fmt.Errorf("look up %s: %w", addr, err)
	}
	r.Prefix = netip.PrefixFrom(addr, addr.BitLen())
	return r, nil
}

// lookup sends one request and reads its one answer. What comes for an earlier request, whose answer was given up on,
// is skipped.
func (c *nlConn) lookup(addr netip.Addr) (FIBRoute, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seq++
	c.out.reset()
	c.out.lookup(addr, c.seq)
	if err := c.send(c.out.buf); err != nil {
		return FIBRoute{}, err
	}
	var answer FIBRoute
	for answered := false; !answered; {
		err := c.receive(func(m message) error {
			if m.seq != c.seq {
				return nil
			}
			answered = true
			if m.typ == unix.NLMSG_ERROR {
				return m.opError()
			}
			r, err := decodeRoute(m.data)
			answer = r.FIBRoute
			return err
		})
		if err != nil {
			return FIBRoute{}, err
		}
	}
	return answer, nil
}

// lookup writes a request for the route to one address.
func (e *encoder) lookup(addr netip.Addr, seq uint32) {
	e.begin(unix.RTM_GETROUTE, unix.NLM_F_REQUEST, seq)
	host := netip.PrefixFrom(addr, addr.BitLen())
	e.buf = append(e.buf, familyOf(host), uint8(host.Bits()), 0, 0, 0, 0, 0, 0)
	e.buf = binary.NativeEndian.AppendUint32(e.buf, 0) // no flags
	e.addr(unix.RTA_DST, addr)
	e.end()
}

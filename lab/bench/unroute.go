package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"routed/lab"
)

// `ip route flush` cannot empty every competitor's table: the kernel refuses to delete a route with a next-hop object,
// FRR's kind, by the message that a dump shows it with. So a whole table is deleted here, by prefix and protocol.

const (
	deletionLen   = unix.SizeofNlMsghdr + unix.SizeofRtMsg + 2*8 // two attributes of four bytes
	deletionBatch = 1000                                         // messages a send
)

// appendDeletion appends an RTM_DELROUTE message for an IPv4 route (rtnetlink(7)).
func appendDeletion(b []byte, p netip.Prefix, table uint32, proto uint8, seq uint32, ack bool) []byte {
	flags := uint16(unix.NLM_F_REQUEST)
	if ack {
		flags |= unix.NLM_F_ACK
	}
	order := binary.NativeEndian
	b = order.AppendUint32(b, deletionLen)
	b = order.AppendUint16(b, unix.RTM_DELROUTE)
	b = order.AppendUint16(b, flags)
	b = order.AppendUint32(b, seq)
	b = order.AppendUint32(b, 0) // port id
	b = append(b, unix.AF_INET, byte(p.Bits()), 0, 0, unix.RT_TABLE_UNSPEC, proto, unix.RT_SCOPE_NOWHERE, unix.RTN_UNSPEC)
	b = order.AppendUint32(b, 0) // flags
	b = order.AppendUint16(b, 8)
	b = order.AppendUint16(b, unix.RTA_DST)
	b = append(b, p.Addr().AsSlice()...)
	b = order.AppendUint16(b, 8)
	b = order.AppendUint16(b, unix.RTA_TABLE)
	return order.AppendUint32(b, table)
}

// remover is a netlink socket in a competitor's namespace.
type remover struct{ fd int }

func newRemover(ns lab.Namespace) (remover, error) {
	fd, err := netlinkIn(ns, 0)
	if err != nil {
		return remover{}, err
	}
	timeout := unix.NsecToTimeval(int64(10 * time.Second))
	return remover{fd: fd}, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout)
}

func (r remover) close() { _ = unix.Close(r.fd) }

// remove deletes all the routes; one that is not there is an error.
func (r remover) remove(prefixes []netip.Prefix, table uint32, proto uint8) error {
	var seq uint32
	for len(prefixes) > 0 {
		part := prefixes[:min(deletionBatch, len(prefixes))]
		prefixes = prefixes[len(part):]
		b := make([]byte, 0, deletionLen*len(part))
		for i, p := range part {
			seq++
			b = appendDeletion(b, p, table, proto, seq, i == len(part)-1)
		}
		if err := unix.Sendto(r.fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
			return os.NewSyscallError("sendto", err)
		}
		if err := r.answer(); err != nil {
			return err
		}
	}
	return nil
}

// answer reads the acknowledgement of a batch, or the first refusal.
func (r remover) answer() error {
	var b [8192]byte
	n, err := unix.Read(r.fd, b[:])
	if err != nil {
		return os.NewSyscallError("read", err)
	}
	if n < unix.SizeofNlMsghdr+4 || binary.NativeEndian.Uint16(b[4:]) != unix.NLMSG_ERROR {
		return errors.New("an unexpected netlink message of " + strconv.Itoa(n) + " bytes")
	}
	if errno := -int32(binary.NativeEndian.Uint32(b[unix.SizeofNlMsghdr:])); errno != 0 {
		return fmt.Errorf("deleting a route: %w", syscall.Errno(errno))
	}
	return nil
}

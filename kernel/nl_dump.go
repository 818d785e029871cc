package kernel

import (
	"context"
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// answerTimeout guards against a kernel that does not answer. rtnetlink works a request off inside sendmsg, so that
// an answer is there at once; only a dump is continued by each read.
const answerTimeout = 10 // seconds

// dumper asks for dumps of anything but route tables on one socket. Requests, sequence numbers, the end of a dump and its errors are nl's; it
// hands the messages over one by one, and they are decoded by the functions that decode events.
type dumper struct {
	sockets map[int]*nl.SocketHandle
}

func openDumper() (*dumper, error) {
	// To no group: the way to a socket in the caller's namespace whose options can be set.
	s, err := nl.Subscribe(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket: %w", err)
	}
	timeout := unix.Timeval{Sec: answerTimeout}
	if err := errors.Join(s.SetSendTimeout(&timeout), s.SetReceiveTimeout(&timeout)); err != nil {
		s.Close()
		return nil, fmt.Errorf("set a netlink socket's timeout: %w", err)
	}
	return &dumper{sockets: map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: {Socket: s}}}, nil
}

func (d *dumper) close() {
	for _, s := range d.sockets {
		s.Close()
	}
}

// dump asks for one dump and calls handle for the data of each message of the answer. ctx is looked at before each;
// a dump that is given up or that handle fails is still read to its end, so that the socket stays usable. handle
// must not ask for another dump on the same socket.
func (d *dumper) dump(ctx context.Context, ask, answer uint16, handle func(b []byte) error,
	body ...nl.NetlinkRequestData,
) error {
	request := nl.NetlinkRequest{
		NlMsghdr: unix.NlMsghdr{Type: ask, Flags: unix.NLM_F_REQUEST | unix.NLM_F_DUMP},
		Data:     body,
		Sockets:  d.sockets,
	}
	var failed error
	err := request.ExecuteIter(unix.NETLINK_ROUTE, answer, func(b []byte) bool {
		if failed = ctx.Err(); failed == nil {
			failed = handle(b)
		}
		return failed == nil
	})
	switch {
	case failed != nil:
		return failed
	case errors.Is(err, nl.ErrDumpInterrupted):
		return ErrInterrupted
	}
	return err
}

// isAbsent says whether a dump failed because the kernel has no such table or address family: it is empty.
func isAbsent(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP)
}

// rules dumps the rules of one family.
func (d *dumper) rules(ctx context.Context, family uint8, handle func(Rule)) error {
	header := nl.RtMsg{RtMsg: unix.RtMsg{Family: family}} // struct fib_rule_hdr has its layout
	err := d.dump(ctx, unix.RTM_GETRULE, unix.RTM_NEWRULE, func(b []byte) error {
		// A kernel without rules of a family answers with those of another.
		if r, ok := decodeRule(b); ok && r.IPv6 == (family == unix.AF_INET6) {
			handle(r)
		}
		return nil
	}, &header)
	if isAbsent(err) {
		return nil
	}
	return err
}

// links dumps the links. netlink.Handle.LinkList would ask for every virtual function of a network card besides,
// and fails where there are more than some 220 (vishvananda/netlink issue 960).
func (d *dumper) links(ctx context.Context, handle func(Link)) error {
	return d.dump(ctx, unix.RTM_GETLINK, unix.RTM_NEWLINK, func(b []byte) error {
		if l, ok := decodeLink(b); ok {
			handle(l)
		}
		return nil
	}, nl.NewIfInfomsg(netlink.FAMILY_ALL))
}

// addresses dumps the addresses, each with whether it is to last.
func (d *dumper) addresses(ctx context.Context, handle func(a Address, lasts bool)) error {
	return d.dump(ctx, unix.RTM_GETADDR, unix.RTM_NEWADDR, func(b []byte) error {
		if a, ok := decodeAddress(b); ok {
			handle(a, lasts(b))
		}
		return nil
	}, nl.NewIfAddrmsg(netlink.FAMILY_ALL))
}

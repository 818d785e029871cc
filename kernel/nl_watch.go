package kernel

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	eventBatch   = 512 // events handed over at once, at most
	discardMost  = 1 << 17
	eventBatches = 32 // batches that wait; then events wait in the socket's buffer, up to an overrun
)

// watchConn is a netlink socket that listens. It is non-blocking and waits in the runtime's poller.
type watchConn struct {
	file *os.File
	raw  syscall.RawConn
	in   []byte
}

// openWatch opens a socket that is in no group yet.
func openWatch(buffer int) (*watchConn, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket: %w", err)
	}
	growBuffer(fd, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, buffer)
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, errors.Join(fmt.Errorf("bind a netlink socket: %w", err), unix.Close(fd))
	}
	w := &watchConn{file: os.NewFile(uintptr(fd), "netlink"), in: make([]byte, receiveSize)}
	if w.raw, err = w.file.SyscallConn(); err != nil {
		return nil, errors.Join(err, w.file.Close())
	}
	return w, nil
}

// join sets the socket's filter and then enters the groups, so that no event passes unfiltered.
func (w *watchConn) join(filter []unix.SockFilter, groups ...int) error {
	return w.control(func(fd int) error {
		program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
		if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program); err != nil {
			return fmt.Errorf("attach the event filter: %w", err)
		}
		for _, g := range groups {
			if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, g); err != nil {
				return fmt.Errorf("join the rtnetlink group %d: %w", g, err)
			}
		}
		return nil
	})
}

func (w *watchConn) control(f func(fd int) error) error {
	var err error
	if outer := w.raw.Control(func(fd uintptr) { err = f(int(fd)) }); outer != nil {
		return outer
	}
	return err
}

// errOverrun is ENOBUFS of a listening socket: events were dropped.
var errOverrun = errors.New("netlink events were lost")

// read waits for a datagram and hands over all that are there, up to the given number.
func (w *watchConn) read(most int, handle func(m message)) error {
	var err error
	outer := w.raw.Read(func(fd uintptr) bool {
		for count := range most {
			var n int
			if n, err = readFull(int(fd), w.in); err != nil {
				if errors.Is(err, unix.EAGAIN) {
					err = nil
					return count > 0
				}
				return true
			}
			if err = eachMessage(w.in[:n], func(m message) error { handle(m); return nil }); err != nil {
				return true
			}
		}
		return true
	})
	switch {
	case outer != nil:
		return outer
	case errors.Is(err, unix.ENOBUFS):
		return errOverrun
	}
	return err
}

// discard reads and forgets what waits in the buffer, up to a bound for when more comes than can be read.
func (w *watchConn) discard() {
	_ = w.control(func(fd int) error {
		for range discardMost {
			if _, err := readFull(fd, w.in); err != nil && !errors.Is(err, unix.ENOBUFS) {
				return err
			}
		}
		return nil
	})
}

// takeWatch takes the socket that NewNetlink opened, in its namespace.
func (n *Netlink) takeWatch() *watchConn {
	n.mu.Lock()
	defer n.mu.Unlock()
	w := n.events
	n.events = nil
	return w
}

// Watch listens to everything a Reconciler must know of.
func (n *Netlink) Watch(ctx context.Context, table uint32) (<-chan []Event, error) {
	w := n.takeWatch()
	if w == nil {
		var err error
		if w, err = openWatch(watchBuffer); err != nil {
			return nil, err
		}
	}
	filter, err := eventFilter(n.writer.portID, table)
	if err != nil {
		return nil, errors.Join(err, w.file.Close())
	}
	err = w.join(filter,
		unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
		unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE)
	if err != nil {
		return nil, errors.Join(err, w.file.Close())
	}
	_ = w.join(filter, unix.RTNLGRP_NEXTHOP) // before Linux 5.3 there are none
	out := make(chan []Event, eventBatches)
	go w.pump(ctx, table, out)
	return out, nil
}

// pump hands events over until ctx ends or the socket fails. It owns the socket and the channel.
func (w *watchConn) pump(ctx context.Context, table uint32, out chan<- []Event) {
	defer close(out)
	defer w.file.Close()
	defer context.AfterFunc(ctx, func() { _ = w.file.SetReadDeadline(time.Unix(1, 0)) })()
	for {
		var batch []Event
		err := w.read(eventBatch, func(m message) {
			if e, ok := decodeEvent(m, table); ok {
				batch = append(batch, e)
			}
		})
		overrun := errors.Is(err, errOverrun)
		if overrun {
			// The subscription itself lives on, so what comes from here on will be seen: this is "subscribe first,
			// then dump". What waits in the buffer is older than what was lost and must not overrule the dump.
			w.discard()
			batch = append(batch, Event{Kind: EventOverrun})
		}
		now := time.Now()
		for i := range batch {
			batch[i].At = now
		}
		if len(batch) > 0 {
			select {
			case out <- batch:
			case <-ctx.Done():
				return
			}
		}
		if err != nil && !overrun {
			return
		}
	}
}

// decodeEvent reads one notification; ok is false for what concerns nobody here.
func decodeEvent(m message, table uint32) (e Event, ok bool) {
	switch m.typ {
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		r, err := decodeRoute(m.data)
		e = Event{Kind: EventRoute, Gone: m.typ == unix.RTM_DELROUTE, Mode: modeOf(m.flags), Route: r.FIBRoute}
		return e, err == nil && !r.foreign && r.table == table
	case unix.RTM_NEWRULE, unix.RTM_DELRULE:
		r, ok := decodeRule(m.data)
		return Event{Kind: EventRule, Gone: m.typ == unix.RTM_DELRULE, Rule: r}, ok
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		l, ok := decodeLink(m.data)
		return Event{Kind: EventLink, Gone: m.typ == unix.RTM_DELLINK, Link: l}, ok
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		a, ok := decodeAddress(m.data)
		return Event{Kind: EventAddress, Gone: m.typ == unix.RTM_DELADDR, Address: a}, ok
	case unix.RTM_NEWNEXTHOP, unix.RTM_DELNEXTHOP:
		return Event{Kind: EventNextHop, Gone: m.typ == unix.RTM_DELNEXTHOP}, true
	}
	return Event{}, false
}

func modeOf(flags uint16) putMode {
	switch {
	case flags&unix.NLM_F_REPLACE != 0:
		return putReplace
	case flags&unix.NLM_F_APPEND != 0:
		return putLast
	}
	return putFirst
}

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"routed/lab"
)

// `ip monitor` prints slower than a daemon installs, and its socket cannot be made large enough for a whole table. So
// where a whole table is watched, the events are read here.

const (
	listenBuffer = 512 << 20
	listenWake   = 50 * time.Millisecond // how soon the reader notices that it is to end
)

// startListener is [startMonitor] for many events: the same, without ip in between.
func startListener(ns lab.Namespace) (*monitor, error) {
	fd, err := netlinkIn(ns, 1<<(unix.RTNLGRP_IPV4_ROUTE-1))
	if err != nil {
		return nil, err
	}
	timeout := unix.NsecToTimeval(int64(listenWake))
	err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout)
	if err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, listenBuffer) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, listenBuffer) // less; an overrun is noticed
	}
	m := &monitor{events: make(chan event, eventsKept)}
	var ended atomic.Bool
	m.stop = func() error { ended.Store(true); return nil }
	go func() {
		defer close(m.events)
		defer unix.Close(fd)
		for m.err == nil && !ended.Load() {
			m.err = listen(fd, m.events)
		}
	}()
	return m, nil
}

// listen reads one datagram, or none for a while.
func listen(fd int, events chan<- event) error {
	var b [32 << 10]byte
	n, err := unix.Read(fd, b[:])
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("route events: %w", os.NewSyscallError("read", err))
	}
	return routeEvents(b[:n], time.Now(), func(e event) { events <- e })
}

// routeEvents reads RTM_NEWROUTE and RTM_DELROUTE messages of IPv4 (rtnetlink(7)).
func routeEvents(b []byte, at time.Time, take func(event)) error {
	order := binary.NativeEndian
	for len(b) >= unix.SizeofNlMsghdr {
		n := int(order.Uint32(b))
		if n < unix.SizeofNlMsghdr || n > len(b) {
			return fmt.Errorf("a netlink message of %d bytes with %d left", n, len(b))
		}
		typ, body := order.Uint16(b[4:]), b[unix.SizeofNlMsghdr:n]
		b = b[min((n+3)&^3, len(b)):]
		if typ != unix.RTM_NEWROUTE && typ != unix.RTM_DELROUTE || len(body) < unix.SizeofRtMsg || body[0] != unix.AF_INET {
			continue
		}
		e := event{at: at, deleted: typ == unix.RTM_DELROUTE, leads: body[7] == unix.RTN_UNICAST}
		if a, ok := attribute(body[unix.SizeofRtMsg:], unix.RTA_DST); ok && len(a) == 4 {
			e.prefix = netip.PrefixFrom(netip.AddrFrom4([4]byte(a)), int(body[1]))
			take(e)
		}
	}
	return nil
}

// attribute finds the value of the first attribute of a type.
func attribute(b []byte, typ uint16) ([]byte, bool) {
	for len(b) >= 4 {
		n := int(binary.NativeEndian.Uint16(b))
		if n < 4 || n > len(b) {
			return nil, false
		}
		if binary.NativeEndian.Uint16(b[2:]) == typ {
			return b[4:n], true
		}
		b = b[min((n+3)&^3, len(b)):]
	}
	return nil, false
}

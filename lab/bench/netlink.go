package main

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"routed/lab"
)

// netlinkIn opens a socket of NETLINK_ROUTE in a namespace, a member of the groups.
func netlinkIn(ns lab.Namespace, groups uint32) (fd int, err error) {
	err = ns.Do(func() (err error) {
		fd, err = listenHere(groups)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("a netlink socket in %s: %w", ns, err)
	}
	return fd, nil
}

func listenHere(groups uint32) (int, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return 0, err
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		return 0, errors.Join(err, unix.Close(fd))
	}
	return fd, nil
}

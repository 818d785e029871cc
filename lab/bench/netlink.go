package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"routed/lab"
)

// netlinkIn opens a socket of NETLINK_ROUTE in a namespace, a member of the groups. A thread visits the namespace for it
// and ends there.
func netlinkIn(ns lab.Namespace, groups uint32) (int, error) {
	type opened struct {
		fd  int
		err error
	}
	out := make(chan opened)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread, now elsewhere, ends with the goroutine
		fd, err := visit(ns, groups)
		out <- opened{fd, err}
	}()
	o := <-out
	if o.err != nil {
		return 0, fmt.Errorf("a netlink socket in %s: %w", ns, o.err)
	}
	return o.fd, nil
}

func visit(ns lab.Namespace, groups uint32) (int, error) {
	name, err := os.Open("/run/netns/" + string(ns))
	if err != nil {
		return 0, err
	}
	defer name.Close()
	if err := unix.Setns(int(name.Fd()), unix.CLONE_NEWNET); err != nil {
		return 0, err
	}
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return 0, err
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		return 0, errors.Join(err, unix.Close(fd))
	}
	return fd, nil
}

package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"routed/lab"
)

// netlinkIn opens a socket of NETLINK_ROUTE in a namespace, a member of the groups.
func netlinkIn(ns lab.Namespace, groups uint32) (fd int, err error) {
	err = inside(ns, func() (err error) {
		fd, err = listenHere(groups)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("a netlink socket in %s: %w", ns, err)
	}
	return fd, nil
}

// inside has f open sockets in a namespace; they stay where they were opened.
func inside(ns lab.Namespace, f func() error) error {
	// The thread that visits must be back before anybody else gets it; when it cannot, it is left locked and ends with
	// its goroutine.
	out := make(chan error)
	go func() {
		runtime.LockOSThread()
		back, err := visit(ns, f)
		if back {
			runtime.UnlockOSThread()
		}
		out <- err
	}()
	return <-out
}

// visit takes the calling thread to the namespace and back.
func visit(ns lab.Namespace, f func() error) (back bool, err error) {
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return true, err
	}
	defer home.Close()
	name, err := os.Open("/run/netns/" + string(ns))
	if err != nil {
		return true, err
	}
	defer name.Close()
	if err := unix.Setns(int(name.Fd()), unix.CLONE_NEWNET); err != nil {
		return true, err
	}
	failed := f()
	err = unix.Setns(int(home.Fd()), unix.CLONE_NEWNET)
	return err == nil, errors.Join(failed, err)
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

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
func netlinkIn(ns lab.Namespace, groups uint32) (int, error) {
	// The thread that visits must be back before anybody else gets it; when it cannot, it is left locked and ends with
	// its goroutine. The socket stays where it was opened.
	type opened struct {
		fd  int
		err error
	}
	out := make(chan opened)
	go func() {
		runtime.LockOSThread()
		fd, err := visit(ns, groups)
		if err == nil {
			runtime.UnlockOSThread()
		}
		out <- opened{fd, err}
	}()
	o := <-out
	if o.err != nil {
		return 0, fmt.Errorf("a netlink socket in %s: %w", ns, o.err)
	}
	return o.fd, nil
}

// visit takes the calling thread to the namespace and back.
func visit(ns lab.Namespace, groups uint32) (int, error) {
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return 0, err
	}
	defer home.Close()
	name, err := os.Open("/run/netns/" + string(ns))
	if err != nil {
		return 0, err
	}
	defer name.Close()
	if err := unix.Setns(int(name.Fd()), unix.CLONE_NEWNET); err != nil {
		return 0, err
	}
	fd, err := listenHere(groups)
	return fd, errors.Join(err, unix.Setns(int(home.Fd()), unix.CLONE_NEWNET))
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

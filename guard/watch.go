package guard

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// This file listens to nf_tables. The library has a monitor, which decodes every object that anybody changes in any
// table, expressions and all, and ends at the first overrun; hosts where kube-proxy or Felix rewrite thousands of rules
// need one that looks at a name and goes on.

const (
	watchBuffer = 1 << 20
	// receiveSize fits a datagram of nfnetlink: it joins the events of a transaction up to a page, or some 16 KiB.
	receiveSize = 64 << 10
	// noticesWait is how many notices wait for a reader; more are dropped, since each says the same: look.
	noticesWait = 16
	// endWithin is how long the end of a transaction may follow its last object. Old kernels do not mark it.
	endWithin = 20 * time.Millisecond
)

// notice says that our table, or one that took its name, was changed, or that events were lost.
type notice struct {
	pid  uint32 // of the process, as the first namespace knows it; 0: not known
	name string // its name (comm)
}

// watch tells of every change of our table until ctx ends, and then closes the channel.
func (kernelTables) watch(ctx context.Context) (<-chan notice, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("open an nf_tables socket: %w", err)
	}
	if err := listen(fd); err != nil {
		return nil, errors.Join(fmt.Errorf("listen to nf_tables: %w", err), unix.Close(fd))
	}
	file := os.NewFile(uintptr(fd), "nf_tables")
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	w := &watcher{file: file, raw: raw, in: make([]byte, receiveSize), out: make(chan notice, noticesWait)}
	go w.run(ctx)
	return w.out, nil
}

func listen(fd int) error {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, watchBuffer) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, watchBuffer) // a smaller one only overruns sooner
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	return unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, unix.NFNLGRP_NFTABLES)
}

// watcher owns a listening socket. It is non-blocking and waits in the runtime's poller.
type watcher struct {
	file *os.File
	raw  syscall.RawConn
	in   []byte
	out  chan notice

	touched bool // our table was, in a transaction whose end is not read yet
}

func (w *watcher) run(ctx context.Context) {
	defer close(w.out)
	defer w.file.Close()
	defer context.AfterFunc(ctx, func() { _ = w.file.SetReadDeadline(time.Unix(1, 0)) })()
	for {
		err := w.read()
		unfinished := w.touched && err == nil
		switch {
		case errors.Is(err, unix.ENOBUFS): // the socket lives on, but what was lost may have been about us
			w.touched = false
			w.tell(notice{})
		case errors.Is(err, os.ErrDeadlineExceeded) && w.touched && ctx.Err() == nil:
			w.touched = false
			w.tell(notice{})
		case err != nil:
			return
		}
		var deadline time.Time
		if unfinished {
			deadline = time.Now().Add(endWithin)
		}
		if w.file.SetReadDeadline(deadline) != nil || ctx.Err() != nil { // in this order: ctx's end sets one as well
			return
		}
	}
}

// read waits for a datagram and works off all that are there.
func (w *watcher) read() error {
	var err error
	outer := w.raw.Read(func(fd uintptr) bool {
		for count := 0; ; count++ {
			var n int
			n, err = readFull(int(fd), w.in)
			if errors.Is(err, unix.EAGAIN) {
				err = nil
				return count > 0
			}
			if err != nil {
				return true
			}
			w.datagram(w.in[:n])
		}
	})
	return errors.Join(outer, err)
}

func readFull(fd int, b []byte) (int, error) {
	for {
		n, err := unix.Read(fd, b)
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

func (w *watcher) datagram(b []byte) {
	for len(b) >= unix.NLMSG_HDRLEN {
		length := int(binary.NativeEndian.Uint32(b))
		if length < unix.NLMSG_HDRLEN || length > len(b) {
			return
		}
		w.message(binary.NativeEndian.Uint16(b[4:]), b[unix.NLMSG_HDRLEN:length])
		b = b[min(align(length), len(b)):]
	}
}

// message takes in one event: of an object in a table, or of the end of a transaction, which says who made it.
func (w *watcher) message(kind uint16, data []byte) {
	const nfgenmsg = 4 // its size: family, version, resource id
	if kind>>8 != unix.NFNL_SUBSYS_NFTABLES || len(data) < nfgenmsg {
		return
	}
	inet, attributes := data[0] == unix.NFPROTO_INET, data[nfgenmsg:]
	if kind&0xff != unix.NFT_MSG_NEWGEN {
		w.touched = w.touched || (inet && tableOf(attributes) == tableName)
		return
	}
	if !w.touched {
		return
	}
	w.touched = false
	var n notice
	eachAttribute(attributes, func(kind uint16, value []byte) {
		switch {
		case kind == unix.NFTA_GEN_PROC_PID && len(value) == 4:
			n.pid = binary.BigEndian.Uint32(value)
		case kind == unix.NFTA_GEN_PROC_NAME:
			n.name = unix.ByteSliceToString(value)
		}
	})
	w.tell(n)
}

// tableOf is the name of the table that an object belongs to: attribute 1 in the message of every kind of object.
func tableOf(attributes []byte) string {
	name := ""
	eachAttribute(attributes, func(kind uint16, value []byte) {
		if kind == unix.NFTA_TABLE_NAME {
			name = unix.ByteSliceToString(value)
		}
	})
	return name
}

func eachAttribute(b []byte, f func(kind uint16, value []byte)) {
	for len(b) >= unix.SizeofNlAttr {
		length := int(binary.NativeEndian.Uint16(b))
		if length < unix.SizeofNlAttr || length > len(b) {
			return
		}
		f(binary.NativeEndian.Uint16(b[2:])&^(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER), b[unix.SizeofNlAttr:length])
		b = b[min(align(length), len(b)):]
	}
}

// align rounds up to the 4 bytes that messages and attributes are padded to.
func align(n int) int { return (n + 3) &^ 3 }

func (w *watcher) tell(n notice) {
	select {
	case w.out <- n:
	default:
	}
}

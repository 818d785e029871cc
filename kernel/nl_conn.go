package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// requestBuffer is asked for on sockets that send requests: a batch of writes must fit the send buffer, and
	// the refusals of a whole batch the receive buffer (about 1 KiB each with the kernel's bookkeeping).
	requestBuffer = 8 << 20
	// receiveSize fits any one datagram of rtnetlink: the kernel fills dump replies up to 32 KiB.
	receiveSize = 64 << 10
)

// nlConn is a netlink socket for batches of requests and their answers. rtnetlink works a request off inside sendmsg,
// so the answers are there when send returns and a blocking read ends at once; a receive timeout guards against
// surprises.
//
// Answers are not checked for their sender: only a process with CAP_NET_ADMIN in this namespace can send to
// another's NETLINK_ROUTE socket, and that one needs no forgery to change the table.
type nlConn struct {
	mu     sync.Mutex
	fd     int
	portID uint32
	seq    uint32
	in     []byte
	out    encoder
}

func openConn() (*nlConn, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket: %w", err)
	}
	c := &nlConn{fd: fd, in: make([]byte, receiveSize)}
	if err := c.prepare(); err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return c, nil
}

func (c *nlConn) prepare() error {
	if err := unix.Bind(c.fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("bind a netlink socket: %w", err)
	}
	name, err := unix.Getsockname(c.fd)
	if err != nil {
		return fmt.Errorf("read a netlink socket's port id: %w", err)
	}
	if a, ok := name.(*unix.SockaddrNetlink); ok {
		c.portID = a.Pid
	}
	growBuffer(c.fd, unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, requestBuffer)
	growBuffer(c.fd, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, requestBuffer)
	// Both are for shorter and better answers; kernels before 4.2 and 4.12 do without.
	_ = unix.SetsockoptInt(c.fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1)
	_ = unix.SetsockoptInt(c.fd, unix.SOL_NETLINK, unix.NETLINK_EXT_ACK, 1)
	timeout := unix.Timeval{Sec: answerTimeout}
	if err := unix.SetsockoptTimeval(c.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		return fmt.Errorf("set a netlink socket's timeout: %w", err)
	}
	return nil
}

// growBuffer sets a buffer's size, beyond the host's limit where we have the right to (CAP_NET_ADMIN).
func growBuffer(fd, force, plain, size int) {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, size) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, plain, size)
	}
}

func (c *nlConn) close() error { return unix.Close(c.fd) }

func (c *nlConn) send(b []byte) error {
	for {
		err := unix.Sendto(c.fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
		if !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("sendto", err)
		}
	}
}

// receive calls handle for each message of one datagram.
func (c *nlConn) receive(handle func(m message) error) error {
	n, err := readFull(c.fd, c.in)
	if err != nil {
		return err
	}
	return eachMessage(c.in[:n], handle)
}

func readFull(fd int, b []byte) (int, error) {
	for {
		n, err := unix.Read(fd, b)
		if !errors.Is(err, unix.EINTR) {
			return n, os.NewSyscallError("read", err)
		}
	}
}

// message is one netlink message; its data is valid until the next read.
type message struct {
	typ   uint16
	flags uint16
	seq   uint32
	data  []byte
}

func eachMessage(b []byte, handle func(m message) error) error {
	for len(b) >= unix.NLMSG_HDRLEN {
		length := int(binary.NativeEndian.Uint32(b))
		if length < unix.NLMSG_HDRLEN || length > len(b) {
			return fmt.Errorf("netlink: a message of %d bytes in a datagram with %d left", length, len(b))
		}
		m := message{
			typ:   binary.NativeEndian.Uint16(b[4:]),
			flags: binary.NativeEndian.Uint16(b[6:]),
			seq:   binary.NativeEndian.Uint32(b[8:]),
			data:  b[unix.NLMSG_HDRLEN:length],
		}
		if err := handle(m); err != nil {
			return err
		}
		b = b[min(align(length), len(b)):]
	}
	return nil
}

// opError reads the errno of an NLMSG_ERROR or NLMSG_DONE message; 0 is no error.
func (m message) opError() error {
	if len(m.data) < 4 {
		return nil
	}
	errno := -int32(binary.NativeEndian.Uint32(m.data))
	if errno <= 0 {
		return nil
	}
	return &OpError{Errno: syscall.Errno(errno), Text: m.extendedText()}
}

// extendedText is the kernel's message in an extended acknowledgement (NLMSGERR_ATTR_MSG), which follows the
// header of the refused message (Documentation/userspace-api/netlink/intro.rst).
func (m message) extendedText() string {
	if m.typ != unix.NLMSG_ERROR || m.flags&unix.NLM_F_ACK_TLVS == 0 || len(m.data) < 4+unix.NLMSG_HDRLEN {
		return ""
	}
	skip := 4 + unix.NLMSG_HDRLEN
	if m.flags&unix.NLM_F_CAPPED == 0 {
		skip = 4 + align(int(binary.NativeEndian.Uint32(m.data[4:])))
	}
	if skip < 4+unix.NLMSG_HDRLEN || skip > len(m.data) {
		return ""
	}
	text := ""
	eachAttribute(m.data[skip:], func(typ uint16, value []byte) {
		if typ == unix.NLMSGERR_ATTR_MSG && len(value) > 0 {
			text = string(value[:len(value)-1])
		}
	})
	return text
}

// align rounds up to the 4 bytes that messages and attributes are padded to.
func align(n int) int { return (n + 3) &^ 3 }

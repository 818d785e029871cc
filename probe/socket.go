package probe

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// socket is a raw ICMP socket of one family. It needs CAP_NET_RAW (raw(7)).
type socket struct {
	conn *net.IPConn
	id   uint16
	buf  []byte
}

// sendWithin bounds how long a full send buffer may hold the schedule up.
const sendWithin = 100 * time.Millisecond

// openSocket opens the socket that probes of a family leave by, from this node's address.
func openSocket(local netip.Addr) (conn, error) {
	network, options := "ip4:icmp", ipv4Options
	if local.Is6() {
		network, options = "ip6:ipv6-icmp", ipv6Options
	}
	lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		if broken := raw.Control(func(fd uintptr) { err = options(int(fd)) }); broken != nil {
			return broken
		}
		return err
	}}
	pc, err := lc.ListenPacket(context.Background(), network, local.String())
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		return nil, fmt.Errorf("an ICMP socket needs the capability CAP_NET_RAW, and routed runs without it: %w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("open an ICMP socket: %w", err)
	}
	c, isIP := pc.(*net.IPConn)
	if !isIP {
		return nil, errors.Join(fmt.Errorf("open an ICMP socket: unexpected %T", pc), pc.Close())
	}
	s := &socket{conn: c, id: uint16(rand.Uint32()), buf: make([]byte, largestPacket)}
	if err := s.filter(local); err != nil {
		return nil, errors.Join(fmt.Errorf("filter an ICMP socket: %w", err), c.Close())
	}
	return s, nil
}

// ipv4Options has packets carry DF, and be measured by the device alone, not by what the kernel remembers of the path
// (ip(7), IP_MTU_DISCOVER).
func ipv4Options(fd int) error {
	return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE)
}

// ipv6Options is the same for IPv6 (ipv6(7); RFC 3542 section 11.2 for IPV6_DONTFRAG).
func ipv6Options(fd int) error {
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_DONTFRAG, 1); err != nil {
		return err
	}
	return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE)
}

// filter has the kernel keep from us what is certainly for others: a raw ICMP socket is shown everybody's.
func (s *socket) filter(local netip.Addr) error {
	if local.Is4() {
		program, err := bpf.Assemble(repliesTo(s.id))
		if err != nil {
			return err
		}
		return ipv4.NewPacketConn(s.conn).SetBPF(program)
	}
	var f ipv6.ICMPFilter
	f.SetAll(true)
	for _, t := range []ipv6.ICMPType{
		ipv6.ICMPTypeEchoReply, ipv6.ICMPTypePacketTooBig, ipv6.ICMPTypeDestinationUnreachable,
	} {
		f.Accept(t)
	}
	return ipv6.NewPacketConn(s.conn).SetICMPFilter(&f)
}

// repliesTo lets through echo replies with an identifier, and unreachable messages; a raw IPv4 socket's filter sees the
// header of IP.
func repliesTo(id uint16) []bpf.Instruction {
	return []bpf.Instruction{
		/* 0 */ bpf.LoadMemShift{Off: 0},
		/* 1 */ bpf.LoadIndirect{Off: 0, Size: 1},
		/* 2 */ bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(ipv4.ICMPTypeDestinationUnreachable), SkipTrue: 3},
		/* 3 */ bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(ipv4.ICMPTypeEchoReply), SkipTrue: 3},
		/* 4 */ bpf.LoadIndirect{Off: 4, Size: 2},
		/* 5 */ bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(id), SkipTrue: 1},
		/* 6 */ bpf.RetConstant{Val: 1<<32 - 1},
		/* 7 */ bpf.RetConstant{Val: 0},
	}
}

func (s *socket) send(e *echo) error {
	b, err := marshal(e, s.id)
	if err != nil {
		return fmt.Errorf("write an echo: %w", err)
	}
	if err := s.conn.SetWriteDeadline(time.Now().Add(sendWithin)); err != nil {
		return err
	}
	_, err = s.conn.WriteToIP(b, &net.IPAddr{IP: e.to.AsSlice()})
	if errors.Is(err, unix.EMSGSIZE) {
		return errTooLarge
	}
	return sendError(err)
}

// sendError is what the kernel says, without what the caller knows: the addresses.
func sendError(err error) error {
	var no syscall.Errno
	if errors.As(err, &no) {
		return fmt.Errorf("it cannot be sent: %w", no)
	}
	return err
}

func (s *socket) receive() (answer, error) {
	for {
		n, from, err := s.conn.ReadFromIP(s.buf)
		at := time.Now()
		if err != nil {
			return answer{}, err
		}
		addr, ok := netip.AddrFromSlice(from.IP)
		if !ok {
			continue
		}
		if a, ours := parse(addr.Unmap(), s.buf[:n], s.id); ours {
			a.at = at
			return a, nil
		}
	}
}

func (s *socket) Close() error { return s.conn.Close() }

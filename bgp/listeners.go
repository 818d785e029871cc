package bgp

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"

	"routed/peering"

	"golang.org/x/sys/unix"
)

// deferAccept is how long the kernel keeps a connection on which nothing arrives from the accept queue (TCP_DEFER_ACCEPT,
// tcp(7)). Who opens a BGP connection speaks first (RFC 4271 section 8.2.2, Connect state), so one that is silent has
// nothing to say, and would hold its peer's state machine in OpenSent. Longer would let strangers fill the queue of
// connection requests.
const deferAccept = 5 // seconds; the kernel rounds up to its retransmissions

// listeners are GoBGP's listening sockets under descriptors of our own. GoBGP does not hand them out, and what it does with
// them is not enough: that the kernel refused a TCP MD5 key it only logs, and then accepts without; the key of a removed
// peer it leaves; the hop limit of IPv6 sockets it does not set; how far a packet has come it looks at only after it has
// accepted; and it takes silent connections for those of the peer.
type listeners []listener

type listener struct {
	fd   int
	addr netip.AddrPort
}

// openListeners finds the sockets of this process that listen on the addresses and prepares them. Closing them is the
// caller's work, before GoBGP closes its own: the ports are free only then.
func openListeners(addrs []netip.Addr, port uint16) (listeners, error) {
	if len(addrs) == 0 {
		return nil, nil
	}
	fds, err := openSockets(func(fd int) bool { return listensOn(fd, addrs, port) })
	var out listeners
	for _, fd := range fds {
		out = append(out, listener{fd: fd, addr: boundTo(fd)})
	}
	if err != nil {
		out.close()
		return nil, fmt.Errorf("find the listening sockets: %w", err)
	}
	for _, l := range out {
		if err := l.prepare(); err != nil {
			out.close()
			return nil, fmt.Errorf("listening socket %s: %w", l.addr, err)
		}
	}
	for _, a := range addrs {
		if !slices.ContainsFunc(out, func(l listener) bool { return l.addr.Addr() == a.WithZone("") }) {
			out.close()
			return nil, fmt.Errorf("the listening socket %s port %d is not among the descriptors of this process", a, port)
		}
	}
	return out, nil
}

// openSockets finds sockets of this process and gives descriptors of our own for them. They are looked at again under those:
// the others may be another's by then. When it fails, it gives what it has.
func openSockets(wanted func(fd int) bool) ([]int, error) {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return nil, err
	}
	var out []int
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || !wanted(fd) {
			continue
		}
		own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		switch {
		case errors.Is(err, unix.EBADF): // it has ended meanwhile
		case err != nil:
			return out, fmt.Errorf("duplicate a descriptor: %w", err)
		case wanted(own):
			out = append(out, own)
		default:
			_ = unix.Close(own)
		}
	}
	return out, nil
}

// listensOn tells whether a descriptor is a socket that listens on one of the addresses.
func listensOn(fd int, addrs []netip.Addr, port uint16) bool {
	if listening, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err != nil || listening == 0 {
		return false
	}
	at := boundTo(fd)
	return at.Port() == port && slices.ContainsFunc(addrs, func(a netip.Addr) bool { return a.WithZone("") == at.Addr() })
}

// boundTo is the address of a TCP socket; the zero value when it is none.
func boundTo(fd int) netip.AddrPort {
	name, err := unix.Getsockname(fd)
	if err != nil {
		return netip.AddrPort{}
	}
	return addrPortOf(name)
}

func addrPortOf(name unix.Sockaddr) netip.AddrPort {
	switch a := name.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr), uint16(a.Port))
	default:
		return netip.AddrPort{}
	}
}

// prepare sets what concerns all peers.
func (l listener) prepare() error {
	if err := unix.SetsockoptInt(l.fd, unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, deferAccept); err != nil {
		return fmt.Errorf("TCP_DEFER_ACCEPT: %w", err)
	}
	if l.addr.Addr().Is4() {
		return nil // GoBGP has set its TTL
	}
	if err := unix.SetsockoptInt(l.fd, unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, maxTTL); err != nil {
		return fmt.Errorf("IPV6_UNICAST_HOPS: %w", err)
	}
	return nil
}

func (ls listeners) close() {
	for _, l := range ls {
		_ = unix.Close(l.fd)
	}
}

// setKey makes every listener of the peer's family take signed segments only from the peer. A key that is there is
// replaced, which the kernel never refuses for want of memory. When one listener has not taken it, none keeps it.
func (ls listeners) setKey(peer netip.Addr, p peering.Password) error {
	for _, l := range ls {
		if l.addr.Addr().Is4() != peer.Is4() {
			continue
		}
		if err := l.key(peer, p.Secret()); err != nil {
			ls.removeKey(peer)
			return fmt.Errorf("the kernel refused the TCP MD5 key for %s on %s: %w", peer, l.addr, err)
		}
	}
	return nil
}

// removeKey makes every listener forget a peer's key, if it has one.
func (ls listeners) removeKey(peer netip.Addr) {
	for _, l := range ls {
		if l.addr.Addr().Is4() == peer.Is4() {
			_ = l.key(peer, "") // ENOENT: it had none
		}
	}
}

// key sets a key; the empty one removes it.
func (l listener) key(peer netip.Addr, secret string) error {
	var sig unix.TCPMD5Sig
	if len(secret) > len(sig.Key) {
		return fmt.Errorf("%d bytes long, at most %d (TCP_MD5SIG_MAXKEYLEN)", len(secret), len(sig.Key))
	}
	// A sockaddr_storage without its family: the port, for IPv6 the flow label, then the address.
	if peer.Is4() {
		sig.Addr.Family = unix.AF_INET
		copy(sig.Addr.Data[2:], peer.AsSlice())
	} else {
		sig.Addr.Family = unix.AF_INET6
		copy(sig.Addr.Data[6:], peer.AsSlice())
	}
	sig.Keylen = uint16(copy(sig.Key[:], secret))
	return unix.SetsockoptTCPMD5Sig(l.fd, unix.IPPROTO_TCP, unix.TCP_MD5SIG, &sig)
}

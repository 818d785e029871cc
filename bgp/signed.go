package bgp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/osrg/gobgp/v4/pkg/apiutil"
	"golang.org/x/sys/unix"
)

// A session with a password may come up over a connection from before the kernel had the key: one that waited in the
// accept queue. So the kernel is asked for the connection itself. It answers by sock_diag(7), on kernels since 4.14 and to
// CAP_NET_ADMIN only, and else says nothing of keys; then what it said when it took the key has to do.

// unsigned tells that the connection of a session has no key for sure.
func (ls listeners) unsigned(ev *apiutil.WatchEventMessage_PeerEvent) bool {
	tr, peer := ev.Peer.Transport, ev.Peer.State.NeighborAddress
	local := netip.AddrPortFrom(tr.LocalAddress, uint16(tr.LocalPort))
	if keyed, err := hasKey(local, netip.AddrPortFrom(peer, uint16(tr.RemotePort))); err != nil || keyed {
		return false // a connection that is not there any more does no harm
	}
	for _, l := range ls {
		if l.addr.Addr().Is4() != peer.Is4() {
			continue
		}
		// Every listener has the peer's key: when the kernel shows it none, it shows us none at all.
		if keyed, err := hasKey(l.addr, netip.AddrPortFrom(unspecified(peer), 0)); err == nil && keyed {
			return true
		}
	}
	return false
}

func unspecified(like netip.Addr) netip.Addr {
	if like.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

// Sizes and numbers of include/uapi/linux/inet_diag.h, which golang.org/x/sys does not have.
const (
	diagRequestLen = 56           // struct inet_diag_req_v2
	diagAnswerLen  = 72           // struct inet_diag_msg
	diagInfo       = 1 << (2 - 1) // INET_DIAG_INFO as a bit: without it the kernel leaves the keys out
	diagMD5Sig     = 18           // INET_DIAG_MD5SIG
	diagAllStates  = uint32(1<<32 - 1)
	diagAnswerMax  = 1 << 17
	diagTimeout    = 1 // second
)

// hasKey asks the kernel whether one TCP socket has any TCP MD5 key. False also when it would not tell us.
func hasKey(local, remote netip.AddrPort) (bool, error) {
	answer, err := askSocket(diagRequest(local, remote))
	if err != nil {
		return false, fmt.Errorf("ask the kernel for the TCP socket %s to %s: %w", local, remote, err)
	}
	if len(answer) < diagAnswerLen {
		return false, errors.New("sock_diag: answer cut short")
	}
	return hasAttribute(answer[diagAnswerLen:], diagMD5Sig), nil
}

// diagRequest is a netlink message that asks for one socket.
func diagRequest(local, remote netip.AddrPort) []byte {
	b := make([]byte, unix.NLMSG_HDRLEN, unix.NLMSG_HDRLEN+diagRequestLen)
	ne := binary.NativeEndian
	ne.PutUint32(b[0:], unix.NLMSG_HDRLEN+diagRequestLen)
	ne.PutUint16(b[4:], unix.SOCK_DIAG_BY_FAMILY)
	ne.PutUint16(b[6:], unix.NLM_F_REQUEST)
	family := byte(unix.AF_INET)
	if local.Addr().Is6() {
		family = unix.AF_INET6
	}
	b = append(b, family, unix.IPPROTO_TCP, diagInfo, 0)
	b = ne.AppendUint32(b, diagAllStates)
	b = binary.BigEndian.AppendUint16(b, local.Port())
	b = binary.BigEndian.AppendUint16(b, remote.Port())
	for _, a := range []netip.Addr{local.Addr(), remote.Addr()} {
		var field [16]byte
		copy(field[:], a.AsSlice())
		b = append(b, field[:]...)
	}
	b = ne.AppendUint32(b, 0)             // any interface
	return ne.AppendUint64(b, ^uint64(0)) // INET_DIAG_NOCOOKIE
}

// askSocket sends a request and returns the payload of the answer.
func askSocket(request []byte) ([]byte, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return nil, err
	}
	defer func() { _ = unix.Close(fd) }()
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: diagTimeout}); err != nil {
		return nil, err
	}
	if err := unix.Sendto(fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, err
	}
	buf := make([]byte, diagAnswerMax)
	n, _, err := unix.Recvfrom(fd, buf, 0)
	if err != nil {
		return nil, err
	}
	return diagPayload(buf[:n])
}

// diagPayload takes the answer out of its netlink message.
func diagPayload(b []byte) ([]byte, error) {
	if len(b) < unix.NLMSG_HDRLEN+4 {
		return nil, errors.New("sock_diag: answer cut short")
	}
	if binary.NativeEndian.Uint16(b[4:]) == unix.NLMSG_ERROR {
		return nil, unix.Errno(-int32(binary.NativeEndian.Uint32(b[unix.NLMSG_HDRLEN:])))
	}
	return b[unix.NLMSG_HDRLEN:], nil
}

// hasAttribute looks for a netlink attribute of a type that holds something.
func hasAttribute(b []byte, wanted uint16) bool {
	for len(b) >= unix.NLA_HDRLEN {
		size, typ := int(binary.NativeEndian.Uint16(b)), binary.NativeEndian.Uint16(b[2:])
		if size < unix.NLA_HDRLEN || size > len(b) {
			return false
		}
		if typ == wanted {
			return size > unix.NLA_HDRLEN
		}
		b = b[min((size+unix.NLA_ALIGNTO-1)/unix.NLA_ALIGNTO*unix.NLA_ALIGNTO, len(b)):]
	}
	return false
}

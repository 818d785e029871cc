package probe

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

const (
	headerIPv4 = 20
	headerIPv6 = 40
	headerICMP = 8 // of an echo
	payload    = 56
	nonceSize  = 8 // at the beginning of the payload

	leastMTU      = 256 // of a device that is worth a search
	largestPacket = 65535

	protocolICMP, protocolICMPv6 = 1, 58
)

// echoSize is how large a plain echo is, in bytes of the whole IP packet.
func echoSize(to netip.Addr) int { return headerSize(to) + headerICMP + payload }

func headerSize(to netip.Addr) int {
	if to.Is4() {
		return headerIPv4
	}
	return headerIPv6
}

// marshal writes an echo request. The kernel adds the header of IP, and the checksum of ICMPv6.
func marshal(e *echo, id uint16) ([]byte, error) {
	data := make([]byte, max(e.size-headerSize(e.to)-headerICMP, nonceSize))
	binary.BigEndian.PutUint64(data, e.nonce)
	m := icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &icmp.Echo{ID: int(id), Seq: int(e.seq), Data: data}}
	if e.to.Is6() {
		m.Type = ipv6.ICMPTypeEchoRequest
	}
	return m.Marshal(nil)
}

// parse reads an ICMP message of a family; false: it is not about an echo with our identifier.
func parse(from netip.Addr, b []byte, id uint16) (answer, bool) {
	protocol := protocolICMPv6
	if from.Is4() {
		protocol = protocolICMP
	}
	m, err := icmp.ParseMessage(protocol, b)
	if err != nil {
		return answer{}, false
	}
	a := answer{from: from}
	switch m.Type {
	case ipv4.ICMPTypeEchoReply, ipv6.ICMPTypeEchoReply:
		a.to = from
		ours := a.takeEcho(b, id)
		return a, ours
	case ipv4.ICMPTypeDestinationUnreachable:
		if a.kind = unreachable; m.Code == 4 { // fragmentation needed and DF set, RFC 1191 section 4: the MTU is in bytes 6 and 7
			a.kind, a.mtu = tooBig, int(binary.BigEndian.Uint16(b[6:]))
		}
	case ipv6.ICMPTypePacketTooBig:
		a.kind, a.mtu = tooBig, int(binary.BigEndian.Uint32(b[4:]))
	case ipv6.ICMPTypeDestinationUnreachable:
		a.kind = unreachable
	default:
		return answer{}, false
	}
	a.text = fmt.Sprintf("%s says: %v, code %d", from, m.Type, m.Code)
	ours := a.takeQuoted(b[headerICMP:], id)
	return a, ours
}

// takeEcho reads the header of an echo or its reply, and what of its payload is there.
func (a *answer) takeEcho(b []byte, id uint16) bool {
	if len(b) < headerICMP || binary.BigEndian.Uint16(b[4:]) != id {
		return false
	}
	a.seq = binary.BigEndian.Uint16(b[6:])
	if len(b) >= headerICMP+nonceSize {
		a.nonce, a.quoted = binary.BigEndian.Uint64(b[headerICMP:]), true
	}
	return true
}

// takeQuoted reads the packet that an error message quotes: the header of IP and the beginning of our echo.
func (a *answer) takeQuoted(b []byte, id uint16) bool {
	if a.from.Is6() {
		if len(b) < headerIPv6 || b[0]>>4 != 6 || b[6] != protocolICMPv6 {
			return false
		}
		a.to = netip.AddrFrom16([16]byte(b[24:40]))
		b = b[headerIPv6:]
		return len(b) > 0 && b[0] == 128 && a.takeEcho(b, id)
	}
	if len(b) < headerIPv4 || b[0]>>4 != 4 || b[9] != protocolICMP {
		return false
	}
	a.to = netip.AddrFrom4([4]byte(b[16:20]))
	header := int(b[0]&0xf) * 4
	return len(b) > header && header >= headerIPv4 && b[header] == 8 && a.takeEcho(b[header:], id)
}

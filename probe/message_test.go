package probe

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

const testID = 0x1234

func ends(six bool) (from, to netip.Addr) {
	if six {
		return local6, netip.MustParseAddr("fd00::77")
	}
	return local4, netip.MustParseAddr("10.0.0.77")
}

func request(tb testing.TB, six bool, size int) (*echo, []byte) {
	tb.Helper()
	_, to := ends(six)
	e := &echo{to: to, seq: 77, nonce: 0x0102030405060708, size: size}
	b, err := marshal(e, testID)
	if err != nil {
		tb.Fatal(err)
	}
	return e, b
}

// asReply is what the target makes of a request.
func asReply(b []byte, six bool) []byte {
	b = bytes.Clone(b)
	b[0] = 0
	if six {
		b[0] = 129
	}
	return b
}

// quoting is an error message about a packet, of which it quotes so many bytes beyond the header of IP.
func quoting(tb testing.TB, six bool, request []byte, bytesOfIt int) []byte {
	tb.Helper()
	const mtu = 1300
	from, to := ends(six)
	request = request[:min(bytesOfIt, len(request))]
	var m icmp.Message
	if six {
		header := make([]byte, headerIPv6)
		header[0], header[6] = 6<<4, protocolICMPv6
		copy(header[8:], from.AsSlice())
		copy(header[24:], to.AsSlice())
		m = icmp.Message{Type: ipv6.ICMPTypePacketTooBig, Body: &icmp.PacketTooBig{MTU: mtu, Data: slices.Concat(header, request)}}
	} else {
		header := make([]byte, headerIPv4)
		header[0], header[9] = 4<<4|5, protocolICMP
		copy(header[12:], from.AsSlice())
		copy(header[16:], to.AsSlice())
		m = icmp.Message{Type: ipv4.ICMPTypeDestinationUnreachable, Code: 4, Body: &icmp.DstUnreach{Data: slices.Concat(header, request)}}
	}
	b, err := m.Marshal(nil)
	if err != nil {
		tb.Fatal(err)
	}
	if !six {
		b[6], b[7] = byte(mtu>>8), byte(mtu&0xff)
	}
	return b
}

func TestMessages(t *testing.T) {
	for _, six := range []bool{false, true} {
		_, to := ends(six)
		router := netip.MustParseAddr("10.0.0.254")
		if six {
			router = netip.MustParseAddr("fd00::254")
		}
		e, b := request(t, six, 1400)
		equal(t, 1400-headerSize(to), len(b))

		a, ours := parse(to, asReply(b, six), testID)
		check(t, ours && a.kind == reply && a.about(e), a)
		_, ours = parse(to, asReply(b, six), testID+1)
		check(t, !ours, "another identifier")
		_, ours = parse(to, b, testID)
		check(t, !ours, "a request")

		for _, quoted := range []int{8, 15, 16, 500} {
			a, ours = parse(router, quoting(t, six, b, quoted), testID)
			check(t, ours && a.kind == tooBig && a.mtu == 1300 && a.about(e), six, quoted, a)
			equal(t, quoted >= 16, a.quoted)
		}
		_, ours = parse(router, quoting(t, six, b, 7), testID)
		check(t, !ours, "too little is quoted")
		_, ours = parse(router, quoting(t, six, asReply(b, six), 64), testID)
		check(t, !ours, "a reply is quoted")
		other := *e
		other.nonce++
		a, _ = parse(router, quoting(t, six, b, 64), testID)
		check(t, !a.about(&other), "another nonce is quoted")
	}
}

// Whatever comes from the network is read, or refused, and no more.
func FuzzParse(f *testing.F) {
	for _, six := range []bool{false, true} {
		_, b := request(f, six, 200)
		f.Add(six, asReply(b, six))
		f.Add(six, quoting(f, six, b, 64))
	}
	f.Fuzz(func(t *testing.T, six bool, b []byte) {
		from, _ := ends(six)
		a, ours := parse(from, b, testID)
		if ours && a.kind == reply && a.to != from {
			t.Errorf("a reply of %s is taken for one of %s", from, a.to)
		}
	})
}

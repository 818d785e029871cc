package bgp

import (
	"bytes"
	"io"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"testing"
	"time"

	"routed/peering"

	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// rawPeer is a BGP peer made of bytes.
type rawPeer struct {
	t    testing.TB
	conn net.Conn
	wait time.Duration // for a message
}

// dialRaw opens a connection from one address to a speaker, which is to be near.
func dialRaw(tb testing.TB, from netip.Addr, to node) *rawPeer {
	tb.Helper()
	d := net.Dialer{
		Timeout:   patience,
		LocalAddr: &net.TCPAddr{IP: from.AsSlice()},
		Control:   withTTL(maxTTL),
	}
	conn, err := d.DialContext(tb.Context(), "tcp", net.JoinHostPort(to.addr.String(), strconv.Itoa(int(to.port))))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	return &rawPeer{tb, conn, patience}
}

// withTTL makes a socket send with a TTL (hop limit).
func withTTL(ttl int) func(network, address string, c syscall.RawConn) error {
	return func(network, _ string, c syscall.RawConn) error {
		level, option := syscall.IPPROTO_IP, syscall.IP_TTL
		if network == "tcp6" {
			level, option = syscall.IPPROTO_IPV6, syscall.IPV6_UNICAST_HOPS
		}
		var err error
		_ = c.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), level, option, ttl) })
		return err
	}
}

func (p *rawPeer) send(b []byte) {
	p.t.Helper()
	if _, err := p.conn.Write(b); err != nil {
		p.t.Logf("raw peer: %v", err)
	}
}

func (p *rawPeer) sendMessage(m *bgp.BGPMessage) {
	p.t.Helper()
	b, err := m.Serialize()
	if err != nil {
		p.t.Fatal(err)
	}
	p.send(b)
}

// open sends OPEN and KEEPALIVE and waits for the other side's; false: it closed the connection.
func (p *rawPeer) open(id netip.Addr, hold uint16, more ...bgp.ParameterCapabilityInterface) bool {
	p.t.Helper()
	const asn = 64512
	caps := append([]bgp.ParameterCapabilityInterface{
		bgp.NewCapMultiProtocol(bgp.RF_IPv4_UC), bgp.NewCapMultiProtocol(bgp.RF_IPv6_UC), bgp.NewCapFourOctetASNumber(asn),
	}, more...)
	m, err := bgp.NewBGPOpenMessage(asn, hold, id, []bgp.OptionParameterInterface{bgp.NewOptionParameterCapability(caps)})
	if err != nil {
		p.t.Fatal(err)
	}
	p.sendMessage(m)
	if typ := p.read(); typ != bgp.BGP_MSG_OPEN {
		return false
	}
	p.sendMessage(bgp.NewBGPKeepAliveMessage())
	typ := p.read()
	return typ == bgp.BGP_MSG_KEEPALIVE
}

// read returns the type of the next message; 0 when the connection has ended.
func (p *rawPeer) read() byte {
	_ = p.conn.SetReadDeadline(time.Now().Add(p.wait))
	header := make([]byte, bgp.BGP_HEADER_LENGTH)
	if _, err := io.ReadFull(p.conn, header); err != nil {
		return 0
	}
	body := make([]byte, int(header[16])<<8+int(header[17])-len(header))
	if _, err := io.ReadFull(p.conn, body); err != nil {
		return 0
	}
	return header[18]
}

// message frames a body.
func message(typ byte, body []byte) []byte {
	n := bgp.BGP_HEADER_LENGTH + len(body)
	return append(append(bytes.Repeat([]byte{0xff}, 16), byte(n>>8), byte(n), typ), body...)
}

// update frames an UPDATE of attributes and IPv4 NLRI.
func update(attrs []byte, nlri ...byte) []byte {
	body := append([]byte{0, 0, byte(len(attrs) >> 8), byte(len(attrs))}, attrs...)
	return message(bgp.BGP_MSG_UPDATE, append(body, nlri...))
}

// openWhenReady retries until the speaker takes the session: it answers only once the peer is configured.
func openWhenReady(tb testing.TB, from netip.Addr, to node, hold uint16) *rawPeer {
	tb.Helper()
	return openWhenReadyAs(tb, from, from, to, hold)
}

func openWhenReadyAs(tb testing.TB, from, id netip.Addr, to node, hold uint16, more ...bgp.ParameterCapabilityInterface) *rawPeer {
	tb.Helper()
	var p *rawPeer
	eventually(tb, "a raw session", func() bool {
		p = dialRaw(tb, from, to)
		if p.open(id, hold, more...) {
			return true
		}
		_ = p.conn.Close()
		return false
	})
	return p
}

// raw is how a speaker sees a rawPeer: passive, any TTL.
func rawAs(a node, from netip.Addr) peering.Peer {
	return peering.Peer{
		Addr: from, Role: peering.RoleRemote, ASN: 64512, Local: a.addr, MaxHops: 255, Families: both, HoldTime: 9 * time.Second,
	}
}

// Bytes of attributes: flags, type, length, value.
var (
	originIGPAttr = []byte{0x40, 1, 1, 0}
	emptyASPath   = []byte{0x40, 2, 0}
	nextHopAttr   = []byte{0x40, 3, 4, 127, 9, 20, 2}
	localPref     = []byte{0x40, 5, 4, 0, 0, 0, 100}
	badAggregator = []byte{0xc0, 7, 3, 1, 2, 3} // RFC 7606 section 7.7: discarded
)

func attrs(list ...[]byte) []byte { return bytes.Join(list, nil) }

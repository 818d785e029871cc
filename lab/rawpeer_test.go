package lab_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"routed/lab"
)

// Types of BGP messages (RFC 4271 section 4.1).
const (
	bgpOpen      = 1
	bgpUpdate    = 2
	bgpKeepalive = 4
)

// rawPeer is a BGP peer made of bytes: it sends what it is told, and its keepalives.
type rawPeer struct {
	conn net.Conn
	stop context.CancelFunc
	gone chan struct{} // closed when the other side has ended the session
}

// dialRaw opens a TCP connection from a node to the BGP port of another, with a TTL.
func dialRaw(ctx context.Context, from, to *lab.Node, ttl int) (net.Conn, error) {
	var conn net.Conn
	err := from.Do(func() error {
		d := net.Dialer{
			Timeout:   time.Second,
			LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from.Spec.Addr, 0)),
			Control: func(_, _ string, c syscall.RawConn) error {
				var optErr error
				err := c.Control(func(fd uintptr) { optErr = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TTL, ttl) })
				return errors.Join(err, optErr)
			},
		}
		var err error
		conn, err = d.DialContext(ctx, "tcp4", netip.AddrPortFrom(to.Spec.Addr, 1790).String())
		return err
	})
	return conn, err
}

// openRaw opens a session; it is an error when the other side does not take it.
func openRaw(ctx context.Context, from, to *lab.Node) (*rawPeer, error) {
	conn, err := dialRaw(ctx, from, to, 255)
	if err != nil {
		return nil, err
	}
	asn := binary.BigEndian.AppendUint32(nil, from.Cluster.ASN)
	caps := append([]byte{1, 4, 0, 1, 0, 1, 65, 4}, asn...) // IPv4 unicast (RFC 4760), AS numbers of four bytes (RFC 6793)
	open := append([]byte{4, asn[2], asn[3], 0, 90}, from.Spec.Addr.AsSlice()...)
	open = append(open, byte(len(caps)+2), 2, byte(len(caps)))
	_, err = conn.Write(append(rawMessage(bgpOpen, append(open, caps...)), rawMessage(bgpKeepalive, nil)...))
	for _, want := range []byte{bgpOpen, bgpKeepalive} {
		var typ byte
		if err == nil {
			typ, err = readRaw(conn, 2*time.Second)
		}
		if err == nil && typ != want {
			err = fmt.Errorf("a message of type %d, want %d", typ, want)
		}
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	ctx, stop := context.WithCancel(ctx)
	p := &rawPeer{conn: conn, stop: stop, gone: make(chan struct{})}
	go p.read()
	go p.keepAlive(ctx)
	return p, nil
}

func (p *rawPeer) read() {
	defer close(p.gone)
	for {
		if _, err := readRaw(p.conn, time.Minute); err != nil {
			return
		}
	}
}

func (p *rawPeer) keepAlive(ctx context.Context) {
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if _, err := p.conn.Write(rawMessage(bgpKeepalive, nil)); err != nil {
				return
			}
		}
	}
}

func (p *rawPeer) close() {
	p.stop()
	_ = p.conn.Close()
	<-p.gone
}

// announce sends one UPDATE.
func (p *rawPeer) announce(nextHop netip.Addr, asPath []uint32, prefixes ...netip.Prefix) error {
	segment := []byte{2, byte(len(asPath))} // AS_SEQUENCE
	for _, as := range asPath {
		segment = binary.BigEndian.AppendUint32(segment, as)
	}
	attrs := append([]byte{0x40, 1, 1, 0, 0x40, 2, byte(len(segment))}, segment...) // ORIGIN, AS_PATH
	attrs = append(append(attrs, 0x40, 3, 4), nextHop.AsSlice()...)                 // NEXT_HOP
	body := append(binary.BigEndian.AppendUint16([]byte{0, 0}, uint16(len(attrs))), attrs...)
	for _, prefix := range prefixes {
		body = append(append(body, byte(prefix.Bits())), prefix.Addr().AsSlice()[:(prefix.Bits()+7)/8]...)
	}
	_, err := p.conn.Write(rawMessage(bgpUpdate, body))
	return err
}

func rawMessage(typ byte, body []byte) []byte {
	const header = 19
	out := binary.BigEndian.AppendUint16(bytes.Repeat([]byte{0xff}, 16), uint16(header+len(body)))
	return append(append(out, typ), body...)
}

// readRaw returns the type of the next message.
func readRaw(conn net.Conn, wait time.Duration) (byte, error) {
	if err := conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return 0, err
	}
	header := make([]byte, 19)
	if _, err := io.ReadFull(conn, header); err != nil {
		return 0, err
	}
	_, err := io.CopyN(io.Discard, conn, int64(binary.BigEndian.Uint16(header[16:]))-int64(len(header)))
	return header[18], err
}

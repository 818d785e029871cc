package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	holdTime    = 90 * time.Second // proposed; the peer's is taken when it is less
	redialEvery = 50 * time.Millisecond
)

// speaker is our end of an established BGP session. It sends what it is given and ignores what it gets.
type speaker struct {
	conn  *net.TCPConn
	began time.Time     // its OPEN, the first byte of the session, was sent
	done  chan struct{} // closed when the session has ended and err is set
	err   error
	mu    sync.Mutex // of writes to conn
}

// dialSpeaker opens a session, trying again and again until ctx ends: the peer may not be ready yet.
func dialSpeaker(ctx context.Context, local netip.Addr, peer netip.AddrPort) (*speaker, error) {
	for {
		s, hold, err := tryDial(ctx, local, peer)
		if err == nil {
			s.serve(hold)
			return s, nil
		}
		if pauseErr := pause(ctx, redialEvery); pauseErr != nil {
			return nil, fmt.Errorf("no BGP session with %s: %w; last: %w", peer, pauseErr, err)
		}
	}
}

func tryDial(ctx context.Context, local netip.Addr, peer netip.AddrPort) (*speaker, time.Duration, error) {
	d := net.Dialer{
		Timeout:   2 * time.Second,
		LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(local, 0)),
		Control:   farthest,
	}
	conn, err := d.DialContext(ctx, "tcp4", peer.String())
	if err != nil {
		return nil, 0, err
	}
	return speak(conn, local)
}

// farthest has what a socket sends leave with TTL 255 (RFC 5082, GTSM).
func farthest(_, _ string, c syscall.RawConn) error {
	var optErr error
	err := c.Control(func(fd uintptr) {
		optErr = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TTL, 255)
	})
	return errors.Join(err, optErr)
}

// speak opens a session over a connection, whoever dialled, and returns the hold time of both.
func speak(conn net.Conn, local netip.Addr) (*speaker, time.Duration, error) {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return nil, 0, errors.Join(errors.New("not TCP"), conn.Close())
	}
	s := &speaker{conn: tcp, began: time.Now(), done: make(chan struct{})}
	hold, err := s.open(local)
	if err != nil {
		return nil, 0, errors.Join(err, conn.Close())
	}
	return s, hold, nil
}

// serve reads and keeps the session alive until it ends.
func (s *speaker) serve(hold time.Duration) {
	go s.read()
	go s.keepAlive(hold / 3)
}

// open brings the session to Established (RFC 4271 section 8.2.2) and returns the hold time of both.
func (s *speaker) open(id netip.Addr) (time.Duration, error) {
	if err := s.conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return 0, err
	}
	if err := s.send(openMessage(asn, uint16(holdTime.Seconds()), id)); err != nil {
		return 0, err
	}
	typ, body, err := readMessage(s.conn)
	if err != nil {
		return 0, err
	}
	if typ != typeOpen || len(body) < 10 {
		return 0, unexpected(typ, body)
	}
	hold := min(holdTime, time.Duration(binary.BigEndian.Uint16(body[3:]))*time.Second)
	if err := s.send(message(typeKeepalive, nil)); err != nil {
		return 0, err
	}
	if typ, body, err = readMessage(s.conn); err != nil {
		return 0, err
	}
	if typ != typeKeepalive {
		return 0, unexpected(typ, body)
	}
	return max(hold, 3*time.Second), s.conn.SetReadDeadline(time.Time{})
}

func unexpected(typ byte, body []byte) error {
	if typ == typeNotification && len(body) >= 2 {
		return fmt.Errorf("the peer sent NOTIFICATION %d/%d", body[0], body[1])
	}
	return fmt.Errorf("the peer sent a message of type %d and %d bytes", typ, len(body))
}

func readMessage(r io.Reader) (typ byte, body []byte, err error) {
	var h [headerLen]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return 0, nil, err
	}
	n := int(binary.BigEndian.Uint16(h[16:]))
	if n < headerLen || n > messageMax {
		return 0, nil, fmt.Errorf("a BGP message of %d bytes", n)
	}
	body = make([]byte, n-headerLen)
	_, err = io.ReadFull(r, body)
	return h[18], body, err
}

// read drops what the peer says until the session ends.
func (s *speaker) read() {
	defer close(s.done)
	for s.err == nil {
		typ, body, err := readMessage(s.conn)
		if err == nil && typ == typeNotification {
			err = unexpected(typ, body)
		}
		s.err = err
	}
}

func (s *speaker) keepAlive(every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-s.done:
			return
		case <-tick.C:
			if s.send(message(typeKeepalive, nil)) != nil {
				return // read sees the end, too
			}
		}
	}
}

// send writes whole messages; when it returns they are with the kernel.
func (s *speaker) send(messages []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.conn.SetWriteDeadline(time.Now().Add(time.Minute)); err != nil {
		return err
	}
	_, err := s.conn.Write(messages)
	return err
}

// alive returns nil as long as the session is up, and then why it ended.
func (s *speaker) alive() error {
	select {
	case <-s.done:
		return fmt.Errorf("the BGP session ended: %w", s.err)
	default:
		return nil
	}
}

// close ends the session without a NOTIFICATION and waits for its end.
func (s *speaker) close() {
	_ = s.conn.Close() // nothing is left to be sent
	<-s.done
}

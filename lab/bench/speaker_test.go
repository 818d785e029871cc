package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// peerAt listens on loopback, plays a peer that answers OPEN with the given messages, and hands over what comes then.
func peerAt(t *testing.T, answer []byte) (netip.AddrPort, <-chan []byte) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	got := make(chan []byte, 16)
	go func() {
		defer close(got)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if typ, _, err := readMessage(conn); err != nil || typ != typeOpen {
				t.Errorf("type %d, %v, want OPEN", typ, err)
			}
			_, _ = conn.Write(answer)
			rest, _ := io.ReadAll(conn)
			conn.Close()
			got <- rest
		}
	}()
	return netip.MustParseAddrPort(l.Addr().String()), got
}

func TestSpeaker(t *testing.T) {
	local := netip.MustParseAddr("127.0.0.1")
	answer := append(openMessage(asn, 9, netip.MustParseAddr("192.0.2.2")), message(typeKeepalive, nil)...)
	addr, got := peerAt(t, answer)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	s, err := dialSpeaker(ctx, local, addr)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.alive(); err != nil {
		t.Error(err)
	}
	sent := updateMessages(blocks(3), local)
	if err := s.send(sent); err != nil {
		t.Error(err)
	}
	s.close()
	if err := s.alive(); err == nil {
		t.Error("alive after its end")
	}
	if want := append(message(typeKeepalive, nil), sent...); !bytes.Equal(<-got, want) {
		t.Error("the peer got something else")
	}
}

func TestSpeakerSaysWhyNot(t *testing.T) {
	addr, _ := peerAt(t, message(typeNotification, []byte{6, 5}))
	_, _, err := tryDial(t.Context(), netip.MustParseAddr("127.0.0.1"), addr)
	if err == nil || !strings.Contains(err.Error(), "NOTIFICATION 6/5") {
		t.Error(err)
	}
}

func TestSink(t *testing.T) {
	took, err := sinkTime(t.Context(), updateMessages(blocks(10_000), senderAddr()))
	if err != nil || took <= 0 {
		t.Errorf("%v, %v", took, err)
	}
}

package main

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"testing"
	"time"
)

// daemonAt is a peer on loopback that takes sessions, and hands over each.
func daemonAt(t *testing.T, addr netip.Addr) (netip.AddrPort, <-chan *speaker) {
	t.Helper()
	l, err := net.Listen("tcp4", netip.AddrPortFrom(addr, 0).String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	sessions := make(chan *speaker, 16)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if s, _, err := speak(conn, addr); err == nil {
				sessions <- s
			}
		}
	}()
	return netip.MustParseAddrPort(l.Addr().String()), sessions
}

// A node that dials comes back by itself, one that waits when it is dialled, and one that is gone not at all.
func TestNodes(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	dialler, waiter, us := netip.MustParseAddr("127.0.0.11"), netip.MustParseAddr("127.0.0.13"), netip.MustParseAddr("127.0.0.12")
	peer, sessions := daemonAt(t, us)
	l, err := net.Listen("tcp4", netip.AddrPortFrom(waiter, 0).String())
	if err != nil {
		t.Fatal(err)
	}
	feed := endOfRIB()
	ns := playNodes(ctx, l, []neighbor{{Addr: dialler, Dials: true}, {Addr: waiter}}, peer, func(int) []byte { return feed })
	defer ns.close()
	var before time.Time
	for round := range 2 {
		s, _, err := tryDial(ctx, us, netip.MustParseAddrPort(l.Addr().String()))
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []*speaker{s, <-sessions} {
			if typ, body, err := readMessage(s.conn); err != nil || !bytes.Equal(message(typ, body), feed) {
				t.Errorf("round %d: type %d, %x, %v, want the feed", round, typ, body, err)
			}
		}
		up, err := ns.allUp(ctx)
		if err != nil || !up.After(before) {
			t.Fatalf("round %d: up at %s, the last time at %s: %v", round, up, before, err)
		}
		before = up
		ns.drop(round > 0)
	}
	if _, _, err := tryDial(ctx, us, netip.MustParseAddrPort(l.Addr().String())); err == nil {
		t.Error("a node that is gone took a connection")
	}
	if ns.all[0].mayDial() {
		t.Error("a node that is gone dials")
	}
}

// By turns the nodes' addresses are below the receiver's, and dial, and above it; all lie on its link.
func TestManyNodes(t *testing.T) {
	t.Parallel()
	s := manyNodes(20_000)
	seen := map[netip.Addr]bool{}
	dialling := 0
	for _, n := range s.neighbors {
		if seen[n.Addr] || !s.receiver.Contains(n.Addr) || n.Addr == s.receiver.Addr() || n.Dials != n.Addr.Less(s.receiver.Addr()) {
			t.Fatalf("%+v", n)
		}
		seen[n.Addr] = true
		if n.Dials {
			dialling++
		}
	}
	if dialling != 10_000 {
		t.Errorf("%d of 20000 dial", dialling)
	}
}

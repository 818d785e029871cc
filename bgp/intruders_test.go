package bgp

import (
	"context"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"routed/peering"

	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// comesBack is how long the session with the true peer may take, whoever else connects from its address meanwhile.
const comesBack = 10 * time.Second

// intruder connects from the address of a peer, again and again, until the test ends.
type intruder struct {
	connections atomic.Int64
}

// intrude lets several of a kind loose: each opens a connection and does something with it.
func intrude(t *testing.T, from netip.Addr, to node, do func(context.Context, net.Conn)) *intruder {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var in intruder
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			pace := time.NewTicker(5 * time.Millisecond)
			defer pace.Stop()
			for ctx.Err() == nil {
				d := net.Dialer{Timeout: 200 * time.Millisecond, LocalAddr: &net.TCPAddr{IP: from.AsSlice()}, Control: withTTL(maxTTL)}
				if conn, err := d.DialContext(ctx, "tcp", netip.AddrPortFrom(to.addr, to.port).String()); err == nil {
					in.connections.Add(1)
					do(ctx, conn)
					_ = conn.Close()
				}
				<-pace.C
			}
		})
	}
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	return &in
}

// says sends something, and then holds the connection for as long as it is let.
func says(b []byte) func(context.Context, net.Conn) {
	return func(ctx context.Context, conn net.Conn) {
		stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
		defer stop()
		if _, err := conn.Write(b); err == nil {
			_, _ = io.Copy(io.Discard, conn)
		}
	}
}

// TestIntruders: whatever somebody does with connections from the address of a peer, short of speaking BGP like it, the
// session with the peer itself comes about, whichever end dials first, and the others do not notice.
func TestIntruders(t *testing.T) {
	t.Parallel()
	peer := node{addr("127.9.50.5"), 64512, 0}
	m, err := bgp.NewBGPOpenMessage(64512, 90, peer.addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	open, err := m.Serialize()
	if err != nil {
		t.Fatal(err)
	}
	for name, do := range map[string]func(context.Context, net.Conn){
		"silence":               says(nil),
		"half an OPEN":          says(open[:len(open)/2]),
		"an OPEN, then silence": says(open),
		"closed at once":        func(context.Context, net.Conn) {},
	} {
		t.Run(name, func(t *testing.T) {
			if alone(t) {
				testIntruders(t, peer.addr, do)
			}
		})
	}
}

func testIntruders(t *testing.T, peerAddr netip.Addr, do func(context.Context, net.Conn)) {
	t.Helper()
	port := freePort(t)
	peer, healthy := node{peerAddr, 64512, port}, node{addr("127.9.50.6"), 64512, port}
	var here []node // one dials the peer first, the other is dialled
	var rigs []*rig
	for _, a := range []string{"127.9.50.1", "127.9.50.9"} {
		here = append(here, node{addr(a), 64512, port})
		rigs = append(rigs, start(t, here[len(here)-1].config()))
	}
	truePeer, beside := start(t, peer.config()), start(t, healthy.config())
	var toHere, toHereBeside []peering.Peer
	for i, r := range rigs {
		toHere = append(toHere, here[i].as(peer, peering.IPv4))
		toHereBeside = append(toHereBeside, here[i].as(healthy, peering.IPv4))
		r.peers(t, peer.as(here[i], peering.IPv4), healthy.as(here[i], peering.IPv4))
	}
	beside.peers(t, toHereBeside...)
	for _, r := range rigs {
		eventually(t, "the healthy sessions up", func() bool { return r.isUp(healthy.addr) })
	}
	for _, a := range here {
		in := intrude(t, peer.addr, a, do)
		eventually(t, "intruders there", func() bool { return in.connections.Load() > 3 })
	}
	const rounds = 3
	for round := range rounds {
		began := time.Now()
		truePeer.peers(t, toHere...)
		for i, r := range rigs {
			within(t, comesBack-time.Since(began), "up again", func() bool { return r.isUp(peer.addr) && truePeer.isUp(here[i].addr) })
			t.Logf("round %d: up at %s after %s", round, here[i].addr, time.Since(began).Round(time.Millisecond))
		}
		truePeer.peers(t)
		for _, r := range rigs {
			eventually(t, "down", func() bool { return !r.isUp(peer.addr) })
		}
	}
	for _, r := range rigs {
		if n := r.flaps(peer.addr); n != rounds {
			t.Errorf("the session came up %d times, want %d", n, rounds)
		}
		if r.flaps(healthy.addr) != 1 || !r.isUp(healthy.addr) {
			t.Errorf("the healthy session was disturbed: %s", r.lastDown(healthy.addr))
		}
	}
}

// TestIgnore: the listeners drop what comes from the addresses named, all of them and no other.
func TestIgnore(t *testing.T) {
	var many []netip.Addr
	for i := range 27 {
		many = append(many, netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), netip.AddrFrom16([16]byte{0: 0xfd, 15: byte(i)}))
	}
	for _, at := range []netip.Addr{addr("127.9.51.1"), netip.IPv6Loopback()} {
		l, ls := listenTCP(t, at)
		defer ls.close()
		us := node{at, 64512, netip.MustParseAddrPort(l.Addr().String()).Port()}
		for name, tc := range map[string]struct {
			ignored []netip.Addr
			want    bool
		}{
			"nobody":              {nil, true},
			"the peer":            {[]netip.Addr{at}, false},
			"others":              {many, true},
			"others and the peer": {append(many[:len(many):len(many)], at), false},
			"its neighbours":      {[]netip.Addr{at.Prev(), at.Next()}, true},
		} {
			if err := ls.ignore(tc.ignored); err != nil {
				t.Fatalf("%s, ignoring %s: %v", at, name, err)
			}
			if got := reached(t, at, us); got != tc.want {
				t.Errorf("%s, ignoring %s: reached %v", at, name, got)
			}
		}
	}
	for _, is4 := range []bool{true, false} {
		if n := len(dropFrom(is4, slices.Repeat(many, 10))); n > maxFilter {
			t.Errorf("a program of %d instructions", n)
		}
	}
}

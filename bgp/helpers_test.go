package bgp

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"routed/peering"

	"go.uber.org/goleak"
)

const patience = 20 * time.Second

func addr(s string) netip.Addr     { return netip.MustParseAddr(s) }
func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// eventually waits until ok answers true.
func eventually(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	within(tb, patience, what, ok)
}

func within(tb testing.TB, d time.Duration, what string, ok func() bool) {
	tb.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.NewTimer(d)
	defer deadline.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			tb.Fatalf("after %s: still not %s", d, what)
		}
	}
}

// rig is a running speaker and all it said.
type rig struct {
	*Speaker
	cancel context.CancelFunc
	ran    chan error

	mu      sync.Mutex
	updates []peering.Update
	rib     map[netip.Addr]map[netip.Prefix]peering.Announcement
	eor     map[netip.Addr]peering.Families
	up      map[netip.Addr]bool
	ups     map[netip.Addr]int
}

func testLog(tb testing.TB) *slog.Logger {
	tb.Helper()
	if os.Getenv("BGP_TEST_LOG") == "" {
		return nil
	}
	return slog.New(slog.NewTextHandler(tb.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// start runs a speaker on a loopback address until the test ends; router ID and next hop are that address unless
// cfg says otherwise.
func start(tb testing.TB, cfg Config) *rig {
	tb.Helper()
	if cfg.Log == nil {
		cfg.Log = testLog(tb)
	}
	s, err := NewSpeaker(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(tb.Context())
	r := &rig{
		Speaker: s, cancel: cancel, ran: make(chan error, 1),
		rib: map[netip.Addr]map[netip.Prefix]peering.Announcement{},
		eor: map[netip.Addr]peering.Families{}, up: map[netip.Addr]bool{}, ups: map[netip.Addr]int{},
	}
	updates := make(chan peering.Update, 16)
	go func() { r.ran <- s.Run(ctx, updates) }()
	read := make(chan struct{})
	go func() {
		defer close(read)
		for {
			select {
			case u := <-updates:
				r.take(u)
			case <-s.done:
				return
			}
		}
	}()
	tb.Cleanup(func() {
		r.stop(tb)
		<-read
	})
	// A setter answers once GoBGP runs; GoBGP has package globals that StartBgp writes.
	if err := s.SetAdvertised(ctx, nil); err != nil {
		tb.Fatal(err)
	}
	return r
}

// stop ends the speaker and checks that it ended well.
func (r *rig) stop(tb testing.TB) {
	tb.Helper()
	r.cancel()
	select {
	case err := <-r.ran:
		r.ran <- err
		if err != nil {
			tb.Errorf("Run: %v", err)
		}
	case <-time.After(patience):
		tb.Fatal("Run does not end")
	}
}

func (r *rig) take(u peering.Update) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.updates = append(r.updates, u)
	switch u.Session {
	case peering.SessionUp:
		r.up[u.Peer], r.rib[u.Peer], r.eor[u.Peer] = true, map[netip.Prefix]peering.Announcement{}, 0
		r.ups[u.Peer]++
	case peering.SessionDown:
		r.up[u.Peer] = false
	case peering.SessionSame:
	}
	for _, a := range u.Announce {
		r.rib[u.Peer][a.Prefix] = a
	}
	for _, p := range u.Withdraw {
		delete(r.rib[u.Peer], p)
	}
	r.eor[u.Peer] |= u.EndOfRIB
}

func (r *rig) isUp(peer netip.Addr) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.up[peer]
}

func (r *rig) flaps(peer netip.Addr) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ups[peer]
}

func (r *rig) from(peer netip.Addr) map[netip.Prefix]peering.Announcement {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := map[netip.Prefix]peering.Announcement{}
	for k, v := range r.rib[peer] {
		out[k] = v
	}
	return out
}

func (r *rig) heardEnd(peer netip.Addr) peering.Families {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.eor[peer]
}

func (r *rig) all(peer netip.Addr) []peering.Update {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(r.updates), func(u peering.Update) bool { return u.Peer != peer })
}

// lastDown is the reason of the last loss.
func (r *rig) lastDown(peer netip.Addr) string {
	reason := ""
	for _, u := range r.all(peer) {
		if u.Session == peering.SessionDown {
			reason = u.Reason
		}
	}
	return reason
}

func (r *rig) status(peer netip.Addr) PeerStatus {
	for _, p := range r.Status().Peers {
		if p.Peer.Addr == peer {
			return p
		}
	}
	return PeerStatus{}
}

func (r *rig) peers(tb testing.TB, peers ...peering.Peer) {
	tb.Helper()
	if err := r.SetPeers(tb.Context(), peers); err != nil {
		tb.Fatal(err)
	}
}

func (r *rig) advertise(tb testing.TB, blocks ...string) {
	tb.Helper()
	var ps []netip.Prefix
	for _, b := range blocks {
		ps = append(ps, prefix(b))
	}
	if err := r.SetAdvertised(tb.Context(), ps); err != nil {
		tb.Fatal(err)
	}
}

// freePort is a TCP port that is free on every address at the moment.
func freePort(tb testing.TB) uint16 {
	tb.Helper()
	l, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", "0.0.0.0:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return netip.MustParseAddrPort(strings.Replace(l.Addr().String(), "[::]", "127.0.0.1", 1)).Port()
}

// node is a speaker's address, ASN and port in a test.
type node struct {
	addr netip.Addr
	asn  uint32
	port uint16
}

func (n node) config() Config {
	return Config{
		ASN: n.asn, RouterID: n.addr, Listen: []netip.Addr{n.addr}, Port: n.port,
		NextHop4: n.addr, NextHop6: addr("fd00::" + strings.ReplaceAll(n.addr.String()[len("127."):], ".", ":")),
	}
}

// as is how a sees n.
func (n node) as(a node, families peering.Families) peering.Peer {
	return peering.Peer{
		Addr: n.addr, Role: peering.RoleRemote, Cluster: "c", ASN: n.asn, Local: a.addr, DialPort: n.port,
		MaxHops: 1, Families: families, HoldTime: 9 * time.Second,
	}
}

// pair are two nodes of a test; the third octet keeps tests that run side by side apart.
func pair(tb testing.TB, octet int, asnA, asnB uint32) (a, b node) {
	tb.Helper()
	port := freePort(tb)
	return node{addr(fmt.Sprintf("127.9.%d.1", octet)), asnA, port}, node{addr(fmt.Sprintf("127.9.%d.2", octet)), asnB, port}
}

func TestMain(m *testing.M) {
	if childMain() {
		return
	}
	flag.Parse()
	// Tests wait most of the time, whatever the number of processors.
	if err := flag.Set("test.parallel", "6"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m,
		// GoBGP empties the outgoing queue of a session that it removes with a loop that may give up too early; the
		// queue's goroutine then waits for ever. Rare, and a few hundred bytes.
		goleak.IgnoreTopFunction("github.com/eapache/channels.(*InfiniteChannel).infiniteBuffer"))
}

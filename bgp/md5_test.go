package bgp

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"routed/peering"
)

// signedAs is as with a password.
func (n node) signedAs(a node, secret string) peering.Peer {
	p := n.as(a, peering.IPv4)
	p.Password = peering.NewPassword(secret)
	return p
}

// TestPasswords has one speaker in the middle, which holds sessions of every kind on one listener. Of the two ends of each,
// one dials first and the other later; when nothing comes of it both have failed.
func TestPasswords(t *testing.T) {
	if !alone(t) {
		return
	}
	a, _ := pair(t, 40, 64512, 64512)
	middle := start(t, a.config())
	middle.advertise(t, "10.1.0.0/26")
	var here []peering.Peer
	rigs := map[string]*rig{}
	nodes := map[string]node{}
	for i, tc := range []struct{ name, ours, theirs string }{
		{"right", "secret", "secret"},
		{"of another peer", "other", "other"},
		{"none", "", ""},
		{"80 bytes", strings.Repeat("x", 80), strings.Repeat("x", 80)},
		{"wrong", "secret", "Secret"},
		{"theirs is missing", "secret", ""},
		{"ours is missing", "", "secret"},
		{"that of another peer", "secret", "other"},
	} {
		n := node{addr(fmt.Sprintf("127.9.40.%d", 10+i)), 64512, a.port}
		nodes[tc.name], rigs[tc.name] = n, start(t, n.config())
		rigs[tc.name].advertise(t, fmt.Sprintf("10.2.%d.0/26", i))
		here = append(here, n.signedAs(a, tc.ours))
		rigs[tc.name].peers(t, a.signedAs(n, tc.theirs))
	}
	middle.peers(t, here...)

	good := []string{"right", "of another peer", "none", "80 bytes"}
	bad := []string{"wrong", "theirs is missing", "ours is missing", "that of another peer"}
	for _, name := range good {
		eventually(t, name+": up, with blocks both ways", func() bool {
			return len(middle.from(nodes[name].addr)) == 1 && len(rigs[name].from(a.addr)) == 1
		})
	}
	for _, name := range bad {
		eventually(t, name+": both ends have tried to connect", func() bool {
			return middle.status(nodes[name].addr).LastError != "" && rigs[name].status(a.addr).LastError != ""
		})
		if middle.flaps(nodes[name].addr) != 0 || rigs[name].flaps(a.addr) != 0 {
			t.Errorf("%s: the session came up", name)
		}
	}
	for _, name := range good {
		if middle.flaps(nodes[name].addr) != 1 || !middle.isUp(nodes[name].addr) {
			t.Errorf("%s: disturbed, down for %q", name, middle.lastDown(nodes[name].addr))
		}
	}
	if reached(t, nodes["right"].addr, a) {
		t.Error("a connection without signature from the address of a peer with a password was answered")
	}
	if !reached(t, nodes["none"].addr, a) {
		t.Error("a connection from the address of a peer without a password was not answered")
	}
}

// reached tells whether a connection without signature comes about.
func reached(t *testing.T, from netip.Addr, to node) bool {
	t.Helper()
	return reachedFrom(t, from, to, maxTTL)
}

func reachedFrom(t *testing.T, from netip.Addr, to node, ttl int) bool {
	t.Helper()
	d := net.Dialer{Timeout: 500 * time.Millisecond, LocalAddr: &net.TCPAddr{IP: from.AsSlice()}, Control: withTTL(ttl)}
	conn, err := d.DialContext(t.Context(), "tcp", netip.AddrPortFrom(to.addr, to.port).String())
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// TestPasswordRotation changes the password on one side and then on the other, takes it away and puts it back.
func TestPasswordRotation(t *testing.T) {
	if !alone(t) {
		return
	}
	a, b := pair(t, 41, 64512, 64512)
	c := node{addr("127.9.41.3"), 64512, a.port}
	ra, rb, rc := start(t, a.config()), start(t, b.config()), start(t, c.config())
	rc.peers(t, a.signedAs(c, "stays"))
	toC := c.signedAs(a, "stays")
	for i, secret := range []string{"old", "new", "", "back"} {
		ra.peers(t, b.signedAs(a, secret), toC)
		if i > 0 {
			eventually(t, "down until the other side changes", func() bool { return !rb.isUp(a.addr) })
			const why = "closed by us: its password changed" // we may tell it later than the other side notices
			eventually(t, why, func() bool { return ra.lastDown(b.addr) == why })
		}
		rb.peers(t, a.signedAs(b, secret))
		within(t, 10*time.Second, fmt.Sprintf("up with password %q", secret), func() bool {
			return ra.isUp(b.addr) && rb.isUp(a.addr) && ra.flaps(b.addr) == i+1 && rb.flaps(a.addr) == i+1
		})
	}
	eventually(t, "the other session up", func() bool { return ra.isUp(c.addr) })
	if ra.flaps(c.addr) != 1 {
		t.Error("the session that did not change was touched")
	}
	ra.peers(t, toC)
	eventually(t, "b gone", func() bool { return !ra.isUp(b.addr) })
	if !reached(t, b.addr, a) {
		t.Error("the key of a removed peer is still on the listener")
	}
}

// TestKeyRefused has the kernel refuse keys, as it does at the default of many hosts.
func TestKeyRefused(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	setOptmem(t, 4096) // some 29 keys
	a, first := pair(t, 42, 64512, 64512)
	last := node{addr("127.9.42.250"), 64512, a.port}
	plain := node{addr("127.9.42.251"), 64512, a.port}
	ra, rFirst, rLast, rPlain := start(t, a.config()), start(t, first.config()), start(t, last.config()), start(t, plain.config())
	rFirst.peers(t, a.signedAs(first, "secret"))
	rLast.peers(t, a.as(last, peering.IPv4)) // would come up in plaintext if we let it
	rPlain.peers(t, a.as(plain, peering.IPv4))
	all := []peering.Peer{plain.as(a, peering.IPv4), last.signedAs(a, "secret"), first.signedAs(a, "secret")}
	for i := range 50 {
		n := node{addr(fmt.Sprintf("127.9.42.%d", 10+i)), 64512, a.port}
		all = append(all, n.signedAs(a, "secret"))
	}
	ra.peers(t, all...)

	eventually(t, "those with and without a key up", func() bool { return ra.isUp(first.addr) && ra.isUp(plain.addr) })
	s := ra.status(last.addr)
	for _, want := range []string{last.addr.String(), "cannot allocate memory", "net.core.optmem_max is 4096", "sysctl -w net.core.optmem_max=12288"} {
		if !strings.Contains(s.Refused, want) || s.LastError != s.Refused {
			t.Errorf("refused %q, last error %q: want both to say %q", s.Refused, s.LastError, want)
		}
	}
	raw := dialRaw(t, last.addr, a)
	if raw.open(last.addr, 9) || ra.flaps(last.addr) != 0 || rLast.flaps(a.addr) != 0 {
		t.Error("a session without signature")
	}
	refused := 0
	for _, p := range ra.Status().Peers {
		if p.Refused != "" {
			refused++
		}
	}
	if refused < 20 || refused > 26 {
		t.Errorf("%d refused", refused)
	}

	setOptmem(t, 12288) // as told
	rLast.peers(t, a.signedAs(last, "secret"))
	ra.peers(t, all...) // a reload tries at once
	eventually(t, "up", func() bool { return ra.isUp(last.addr) && rLast.isUp(a.addr) })
	for _, p := range ra.Status().Peers {
		if p.Refused != "" {
			t.Errorf("%s still refused: %s", p.Peer.Addr, p.Refused)
		}
	}
	if ra.flaps(first.addr) != 1 || ra.flaps(plain.addr) != 1 {
		t.Error("the others were disturbed")
	}
}

func setOptmem(t *testing.T, bytes int) {
	t.Helper()
	if err := os.WriteFile(optmemFile, []byte(strconv.Itoa(bytes)), 0); err != nil {
		t.Skipf("SKIPPED: the limit cannot be set in a network namespace on this kernel: %v", err)
	}
}

// TestKeyRoom: what is recommended is enough.
func TestKeyRoom(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	for _, keys := range []int{1, 28, 29, 149, 150, 1000} {
		var peers []peering.Peer
		for i := range keys {
			peers = append(peers, peering.Peer{
				Addr: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), Password: peering.NewPassword("secret"),
			})
		}
		setOptmem(t, 2048)
		room, err := NewKeyRoom(peers)
		if err != nil || room.Keys != keys || room.Have != 2048 || room.Enough() {
			t.Fatalf("%+v, %v", room, err)
		}
		setOptmem(t, room.Least-1)
		if takeKeys(t, peers) == nil {
			t.Errorf("%d keys have room in %d bytes, %d were called the least", keys, room.Least-1, room.Least)
		}
		setOptmem(t, room.Need)
		if err := takeKeys(t, peers); err != nil {
			t.Errorf("%d keys, %d bytes: %v", keys, room.Need, err)
		}
	}
	if room, err := NewKeyRoom([]peering.Peer{{Addr: addr("10.0.0.1")}}); err != nil || room.Need != 0 || !room.Enough() {
		t.Errorf("no password: %+v, %v", room, err)
	}
}

// takeKeys puts the keys of the peers on a listening socket, until one is refused.
func takeKeys(t *testing.T, peers []peering.Peer) error {
	t.Helper()
	_, ls := listenTCP(t, addr("127.0.0.1"))
	defer ls.close()
	for _, p := range peers {
		if err := ls.setKey(p.Addr, p.Password); err != nil {
			return err
		}
	}
	return nil
}

// events is a log that passes the names of events on.
type events struct{ names chan<- string }

func (e events) Enabled(context.Context, slog.Level) bool { return true }
func (e events) WithAttrs([]slog.Attr) slog.Handler       { return e }
func (e events) WithGroup(string) slog.Handler            { return e }
func (e events) Handle(_ context.Context, r slog.Record) error {
	if name := attr(r, "event"); r.Level >= slog.LevelWarn {
		e.names <- name
	}
	return nil
}

// TestUnsignedConnection: a connection from before the kernel had the key does not become a session.
func TestUnsignedConnection(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: needs root, to ask the kernel for keys")
	}
	if !alone(t) {
		return
	}
	a, b := pair(t, 43, 64512, 64512)
	raw := addr("127.9.43.9")
	closed := make(chan string, 1024)
	cfg := a.config()
	cfg.Log = slog.New(events{closed})
	ra, rb := start(t, cfg), start(t, b.config())
	rb.peers(t, a.signedAs(b, "secret"))
	p := rawAs(a, raw)
	p.Password = peering.NewPassword("secret")
	ra.peers(t, p, b.signedAs(a, "secret"))
	eventually(t, "the other session up", func() bool { return ra.isUp(b.addr) })

	ls, err := openListeners([]netip.Addr{a.addr}, a.port)
	if err != nil {
		t.Fatal(err)
	}
	defer ls.close()
	ls.removeKey(raw) // as though the connection had been made before
	c := dialRaw(t, raw, a)
	c.open(raw, 9)
	c.send(update(attrs(originIGPAttr, emptyASPath, nextHopAttr, localPref), 24, 10, 1, 0))
	for c.read() != 0 {
	}
	if ra.flaps(raw) != 0 || len(ra.all(raw)) != 0 {
		t.Errorf("a session without signature: %+v", ra.all(raw))
	}
	eventually(t, "logged", func() bool { return <-closed == "unsigned-connection" })
	eventually(t, "listening again", func() bool { return ra.status(raw).State == "Active" })
	if reached(t, raw, a) {
		t.Error("the key was not put back")
	}
	if ra.flaps(b.addr) != 1 {
		t.Error("the other session was disturbed")
	}
}

package bgp

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"routed/peering"

	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

func TestReasons(t *testing.T) {
	if !alone(t) {
		return
	}
	a, _ := pair(t, 30, 64512, 64512)
	raw := addr("127.9.30.9")
	r := start(t, a.config())
	r.peers(t, rawAs(a, raw))

	lose := func(name, want string, hold uint16, do func(*rawPeer)) {
		t.Helper()
		before := r.flaps(raw)
		p := openWhenReady(t, raw, a, hold)
		eventually(t, name+": up", func() bool { return r.flaps(raw) > before })
		do(p)
		eventually(t, name+": down", func() bool { return !r.isUp(raw) })
		if got := r.lastDown(raw); !strings.Contains(got, want) {
			t.Errorf("%s: reason %q does not say %q", name, got, want)
		}
		if s := r.status(raw); s.DownReason != r.lastDown(raw) || s.Negotiated != 0 || s.State == "Established" {
			t.Errorf("%s: status %+v", name, s)
		}
	}
	lose("closed", "connection closed by the peer", 9, func(p *rawPeer) { _ = p.conn.Close() })
	lose("cease", `administrative shutdown`, 9, func(p *rawPeer) {
		p.sendMessage(bgp.NewBGPNotificationMessage(bgp.BGP_ERROR_CEASE, bgp.BGP_ERROR_SUB_ADMINISTRATIVE_SHUTDOWN, append([]byte{4}, "work"...)))
	})
	lose("silent", "hold timer expired", 3, func(*rawPeer) {})
}

// TestConnectFailureIsTold: the kernel of a host without a daemon refuses with a TTL of 64, which a session with GTSM
// does not believe; it times out instead.
func TestConnectFailureIsTold(t *testing.T) {
	if !alone(t) {
		return
	}
	a, b := pair(t, 31, 64512, 64512)
	c := node{addr("127.9.31.3"), 64512, b.port}
	r := start(t, a.config())
	localBIRD := c.as(a, both)
	localBIRD.Role = peering.RoleBIRD
	r.peers(t, b.as(a, both), localBIRD) // nobody there
	for peer, want := range map[netip.Addr]string{b.addr: "timeout", c.addr: "connection refused"} {
		eventually(t, "told of the "+want, func() bool { return strings.Contains(r.status(peer).LastError, want) })
		if s := r.status(peer); s.State != "Active" || s.DownReason != "" {
			t.Errorf("status %+v", s)
		}
	}
}

// TestSilentPeerDoesNotBlock: GoBGP has no timer for a peer that goes silent in OpenConfirm.
func TestSilentPeerDoesNotBlock(t *testing.T) {
	if !alone(t) {
		return
	}
	a, _ := pair(t, 32, 64512, 64512)
	raw := addr("127.9.32.9")
	r := start(t, a.config())
	r.peers(t, rawAs(a, raw))
	eventually(t, "listening", func() bool { return r.status(raw).State == "Active" })
	p := dialRaw(t, raw, a)
	m, _ := bgp.NewBGPOpenMessage(64512, 90, raw, nil)
	p.sendMessage(m)
	eventually(t, "in OpenConfirm", func() bool { return r.status(raw).State == "OpenConfirm" })
	within(t, stuckAfter+5*time.Second, "listening again", func() bool { return r.status(raw).State == "Active" })
	openWhenReady(t, raw, a, 9)
	eventually(t, "up", func() bool { return r.isUp(raw) })
}

// TestKilledDaemon kills the other daemon without warning and starts it again.
func TestKilledDaemon(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name     string
		us, them string // who dials first is the lower one
	}{{"we dial", "127.9.33.1", "127.9.33.2"}, {"they dial", "127.9.34.2", "127.9.34.1"}} {
		t.Run(tc.name, func(t *testing.T) {
			if !alone(t) {
				return
			}
			port := freePort(t)
			a, b := node{addr(tc.us), 64512, port}, node{addr(tc.them), 64512, port}
			r := start(t, a.config())
			r.peers(t, b.as(a, peering.IPv4))
			child := startChild(t, b, a)
			eventually(t, "up, with the block", func() bool { return len(r.from(b.addr)) == 1 })

			child.kill()
			eventually(t, "down", func() bool { return !r.isUp(b.addr) })
			if got := r.lastDown(b.addr); got != "connection closed by the peer" {
				t.Errorf("reason %q", got)
			}
			for _, u := range r.all(b.addr) {
				if len(u.Withdraw) > 0 {
					t.Errorf("the loss of the session withdrew %v", u.Withdraw)
				}
			}
			began := time.Now()
			startChild(t, b, a)
			eventually(t, "up again, with the block", func() bool { return r.flaps(b.addr) == 2 && len(r.from(b.addr)) == 1 })
			took := time.Since(began)
			t.Logf("up again %s after its process was started", took)
			if took > 4*time.Second {
				t.Errorf("took %s: GoBGP's idle time was sat out", took)
			}
		})
	}
}

// TestPeerThatHolds: a peer that names families to keep routes of over a restart (RFC 4724) ends its sessions in the middle
// of its routes, which GoBGP would then mark as stale while it still tells of them, in a data race. It gets its End-of-RIB.
func TestPeerThatHolds(t *testing.T) {
	if !alone(t) {
		return
	}
	a, _ := pair(t, 36, 64512, 64512)
	raw := addr("127.9.36.9")
	r := start(t, a.config())
	p := rawAs(a, raw)
	p.HoldTime = time.Minute
	r.peers(t, p)
	var routes []byte
	for i := range 100 {
		var nlri []byte
		for j := range 200 {
			nlri = append(nlri, 24, 10, byte(i), byte(j))
		}
		routes = append(routes, update(attrs(originIGPAttr, emptyASPath, nextHopAttr, localPref), nlri...)...)
	}
	holds := bgp.NewCapGracefulRestart(false, false, 120, []*bgp.CapGracefulRestartTuple{
		bgp.NewCapGracefulRestartTuple(bgp.RF_IPv4_UC, true), bgp.NewCapGracefulRestartTuple(bgp.RF_IPv6_UC, true),
	})
	for round := range 3 {
		c := openWhenReadyAs(t, raw, raw, a, 90, holds)
		eventually(t, "up", func() bool { return r.flaps(raw) == round+1 })
		if typ := c.read(); typ != bgp.BGP_MSG_UPDATE {
			t.Errorf("message of type %d, want the End-of-RIB", typ)
		}
		c.send(routes)
		eventually(t, "in the middle of its routes", func() bool { return len(r.from(raw)) > 0 })
		_ = c.conn.Close()
		eventually(t, "down", func() bool { return !r.isUp(raw) })
		if why := r.lastDown(raw); why != "connection closed by the peer" {
			t.Errorf("down for %q", why)
		}
	}
}

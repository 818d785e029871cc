package bgp

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"routed/peering"
)

// TestTooFarAway: the kernel does not answer whoever is further away than any peer of a listener may be, and the listeners
// follow the list of peers.
func TestTooFarAway(t *testing.T) {
	if !alone(t) {
		return
	}
	local := addr("127.0.0.1")
	for name, addrs := range map[string][2]netip.Addr{
		"IPv4": {addr("127.9.22.1"), addr("127.9.22.9")},
		"IPv6": {addr("::1"), addr("::1")},
	} {
		a, peer := node{addrs[0], 64512, freePort(t)}, addrs[1]
		bird := node{local, a.asn, a.port}
		r := start(t, Config{ASN: a.asn, RouterID: addr("192.0.2.1"), Listen: []netip.Addr{a.addr, local}, Port: a.port})
		near := rawAs(a, peer)
		near.MaxHops = 2
		ourBIRD := peering.Peer{Addr: addr("127.9.22.8"), Role: peering.RoleBIRD, ASN: a.asn, Local: local, Families: peering.IPv4}
		r.peers(t, near, ourBIRD)
		wants := func(ttl int, want bool) {
			t.Helper()
			if got := reachedFrom(t, peer, a, ttl); got != want {
				t.Errorf("%s, %d hops allowed: answered at TTL %d: %v, want %v", name, near.MaxHops, ttl, got, want)
			}
		}
		wants(64, false)
		wants(253, false)
		openWhenReadyAs(t, peer, addr("192.0.2.9"), a, 9)
		eventually(t, name+": up, from nearby", func() bool { return r.isUp(peer) })
		wants(254, true)
		if !reachedFrom(t, ourBIRD.Addr, bird, 1) {
			t.Errorf("%s: BIRD was not answered", name)
		}

		near.MaxHops = 1
		r.peers(t, near, ourBIRD)
		wants(254, false)
		wants(255, true)
		near.MaxHops = 3
		r.peers(t, near, ourBIRD)
		wants(252, false)
		wants(253, true)
		r.peers(t, ourBIRD)
		wants(254, false) // nobody there may be far
	}
}

// TestDialledTooFarAway: the answers to what we dial are held to the same.
func TestDialledTooFarAway(t *testing.T) {
	if !alone(t) {
		return
	}
	far := map[netip.Addr]node{} // by the address of the one who listens: who dials it
	for peer, us := range map[string]string{"127.9.23.9": "127.9.23.1", "::1": "::1"} {
		far[addr(peer)] = node{addr(us), 64512, freePort(t)}
	}
	dialListening := func(r *rig, ttl int) map[netip.Addr]net.Listener {
		t.Helper()
		out := map[netip.Addr]net.Listener{}
		var peers []peering.Peer
		for at, us := range far {
			lc := net.ListenConfig{Control: withTTL(ttl)}
			l, err := lc.Listen(t.Context(), "tcp", netip.AddrPortFrom(at, 0).String())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = l.Close() })
			out[at] = l
			p := rawAs(us, at)
			p.MaxHops, p.DialPort = 1, netip.MustParseAddrPort(l.Addr().String()).Port()
			p.Role = peering.RoleReflector // those we always dial
			peers = append(peers, p)
		}
		r.peers(t, peers...)
		return out
	}
	r := start(t, Config{ASN: 64512, RouterID: addr("192.0.2.1")})
	dialListening(r, maxTTL-1)
	for at := range far {
		eventually(t, at.String()+" not believed", func() bool { return strings.Contains(r.status(at).LastError, "timeout") })
	}
	for _, near := range dialListening(r, maxTTL) {
		conn, err := near.Accept()
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.Close()
	}
}

package bgp

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"routed/peering"
)

const both = peering.IPv4 | peering.IPv6

func TestTwoDaemons(t *testing.T) {
	for i, tc := range []struct {
		name       string
		asnA, asnB uint32
		hops       uint8
		path       []uint32
	}{
		{"iBGP", 64512, 64512, 1, []uint32{}},
		{"eBGP", 64512, 4200000001, 1, []uint32{64512}},
		{"eBGP, multihop, the other way", 4200000001, 64512, 16, []uint32{4200000001}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a, b := pair(t, 1+i, tc.asnA, tc.asnB)
			ra, rb := start(t, a.config()), start(t, b.config())
			ra.advertise(t, "10.1.0.0/26", "fd01::/122")
			began := time.Now()
			toB, toA := b.as(a, both), a.as(b, both)
			toB.MaxHops, toA.MaxHops = tc.hops, tc.hops
			ra.peers(t, toB)
			rb.peers(t, toA)
			within(t, 3*time.Second, "established on both sides", func() bool { return ra.isUp(b.addr) && rb.isUp(a.addr) })
			t.Logf("established after %s", time.Since(began))

			eventually(t, "End-of-RIB of both families, both ways", func() bool {
				return rb.heardEnd(a.addr) == both && ra.heardEnd(b.addr) == both
			})
			got := rb.from(a.addr)
			for block, hop := range map[string]netip.Addr{"10.1.0.0/26": a.config().NextHop4, "fd01::/122": a.config().NextHop6} {
				p, ok := got[prefix(block)]
				if !ok || p.NextHop != hop || !slices.Equal(p.ASPath, tc.path) || p.ASPath == nil {
					t.Errorf("%s: got %+v, want next hop %s and AS path %v", block, p, hop, tc.path)
				}
			}
			if n := len(ra.from(b.addr)); n != 0 {
				t.Errorf("the side without blocks announced %d", n)
			}
			checkStatus(t, ra, b.addr)
			checkChanges(t, ra, rb, a.addr)
			if ra.flaps(b.addr) != 1 || rb.flaps(a.addr) != 1 {
				t.Errorf("sessions came up %d and %d times, want once", ra.flaps(b.addr), rb.flaps(a.addr))
			}
		})
	}
}

func checkStatus(t *testing.T, r *rig, peer netip.Addr) {
	t.Helper()
	eventually(t, "in Status with its hold time", func() bool { return r.status(peer).HoldTime == 9*time.Second })
	s := r.status(peer)
	if s.State != "Established" || s.Negotiated != both || s.Advertised != 2 || s.DownReason != "" {
		t.Errorf("status %+v", s)
	}
}

// checkChanges adds and takes away blocks of a, as b sees it.
func checkChanges(t *testing.T, ra, rb *rig, a netip.Addr) {
	t.Helper()
	ra.advertise(t, "10.1.0.0/26", "fd01::/122", "10.1.0.64/26", "fd02::/122")
	eventually(t, "the new blocks there", func() bool { return len(rb.from(a)) == 4 })
	before := len(rb.all(a))
	ra.advertise(t, "10.1.0.64/26", "10.1.0.64/26", "fd02::/122", "fd01::/122", "10.1.0.0/26") // the same, in another order
	ra.advertise(t, "fd02::/122")
	eventually(t, "only the last block there", func() bool {
		got := rb.from(a)
		_, ok := got[prefix("fd02::/122")]
		return len(got) == 1 && ok
	})
	for _, u := range rb.all(a)[before:] {
		if len(u.Announce) > 0 {
			t.Errorf("blocks that did not change were announced again: %+v", u)
		}
	}
}

func TestNothingIsPassedOnOrToldToBIRD(t *testing.T) {
	if !alone(t) {
		return
	}
	a, b := pair(t, 3, 64512, 64512)
	c := node{addr("127.9.3.3"), 64512, a.port}
	ra, rb, rc := start(t, a.config()), start(t, b.config()), start(t, c.config())
	ra.advertise(t, "10.1.0.0/26")
	rb.advertise(t, "10.2.0.0/26")
	// For a, c is the local BIRD; b is a remote daemon. c and b announce; c must hear nothing at all.
	rc.advertise(t, "10.1.47.128/26")
	birdPeer := c.as(a, both)
	birdPeer.Role = peering.RoleBIRD
	ra.peers(t, b.as(a, both), birdPeer)
	rb.peers(t, a.as(b, both))
	forBIRD := a.as(c, both)
	forBIRD.MaxHops = 255 // BIRD sends with the default TTL, and so do we towards it
	rc.peers(t, forBIRD)
	eventually(t, "everything heard", func() bool {
		return len(ra.from(c.addr)) == 1 && len(ra.from(b.addr)) == 1 && len(rb.from(a.addr)) == 1 && rc.isUp(a.addr)
	})
	ra.advertise(t, "10.1.0.0/26", "10.1.0.64/26") // a marker: what was to come before it has come
	eventually(t, "the marker there", func() bool { return len(rb.from(a.addr)) == 2 })
	if n := rc.status(a.addr).Updates; n != 0 {
		t.Errorf("BIRD was sent %d UPDATEs, among them %v", n, rc.from(a.addr))
	}
	if _, ok := rb.from(a.addr)[prefix("10.1.47.128/26")]; ok {
		t.Error("what BIRD said was passed on as it was")
	}
	if n := ra.status(c.addr).Advertised; n != 0 {
		t.Errorf("status: %d advertised to BIRD", n)
	}
}

func TestOnlyTheFamiliesInUse(t *testing.T) {
	if !alone(t) {
		return
	}
	a, b := pair(t, 4, 64512, 64512)
	ca := a.config()
	ca.NextHop6 = netip.Addr{}
	ra, rb := start(t, ca), start(t, b.config())
	ra.advertise(t, "10.1.0.0/26", "fd01::/122") // no IPv6 next hop: left out
	rb.advertise(t, "10.2.0.0/26", "fd02::/122")
	ra.peers(t, b.as(a, both))
	rb.peers(t, a.as(b, peering.IPv4))
	eventually(t, "heard", func() bool { return len(ra.from(b.addr)) == 1 && len(rb.from(a.addr)) == 1 })
	for _, u := range ra.all(b.addr) {
		if u.Session == peering.SessionUp && u.Families != peering.IPv4 {
			t.Errorf("negotiated %s, want ipv4", u.Families)
		}
	}
	if s := ra.status(b.addr); s.Advertised != 1 {
		t.Errorf("status: %d advertised, want 1", s.Advertised)
	}
}

func TestSetPeersTouchesOnlyWhatChanged(t *testing.T) {
	if !alone(t) {
		return
	}
	a, b := pair(t, 5, 64512, 64512)
	c := node{addr("127.9.5.3"), 64512, a.port}
	ra, rb, rc := start(t, a.config()), start(t, b.config()), start(t, c.config())
	toB, toC := b.as(a, peering.IPv4), c.as(a, peering.IPv4)
	ra.peers(t, toB, toC)
	rb.peers(t, a.as(b, peering.IPv4))
	rc.peers(t, a.as(c, peering.IPv4))
	eventually(t, "up", func() bool { return ra.isUp(b.addr) && ra.isUp(c.addr) && rb.isUp(a.addr) && rc.isUp(a.addr) })

	toB.Name, toB.Cluster = "renamed", "other" // people's words
	toB.HoldTime = 12 * time.Second            // for the next session
	toB.Other = addr("fd00::b")                // for the import policy
	toC.MaxHops = 2                            // a parameter of the session
	ra.peers(t, toC, toB)
	eventually(t, "c up again", func() bool { return ra.flaps(c.addr) == 2 && ra.isUp(c.addr) })
	if got := ra.lastDown(c.addr); got != "closed by us: its configuration changed" {
		t.Errorf("reason %q", got)
	}
	if ra.flaps(b.addr) != 1 || !ra.isUp(b.addr) {
		t.Error("the other session was touched")
	}
	if n := ra.status(b.addr).Peer.Name; n != "renamed" {
		t.Errorf("name %q", n)
	}

	bad := toB
	bad.ASN = 0
	err := ra.SetPeers(t.Context(), []peering.Peer{bad})
	if err == nil || !strings.Contains(err.Error(), b.addr.String()) {
		t.Errorf("a bad peer: error %v does not name it", err)
	}
	eventually(t, "c gone", func() bool { return !ra.isUp(c.addr) && len(ra.Status().Peers) == 1 })
	if got := ra.lastDown(c.addr); got != "closed by us: no longer a peer" {
		t.Errorf("reason %q", got)
	}
	if ra.flaps(b.addr) != 1 || !ra.isUp(b.addr) {
		t.Error("a peer that was named, but badly, lost its session")
	}
	eventually(t, "c told why", func() bool { return strings.Contains(rc.lastDown(a.addr), "NOTIFICATION") })
}

// TestMesh brings many sessions up at once, both ends dialling: none may collide its way into seconds of waiting.
func TestMesh(t *testing.T) {
	const n = 10
	port := freePort(t)
	var nodes []node
	var rigs []*rig
	for i := range n {
		nodes = append(nodes, node{addr(fmt.Sprintf("127.9.6.%d", i+1)), 64512, port})
		rigs = append(rigs, start(t, nodes[i].config()))
	}
	began := time.Now()
	for i, r := range rigs {
		var ps []peering.Peer
		for j := range nodes {
			if i != j {
				ps = append(ps, nodes[j].as(nodes[i], peering.IPv4))
			}
		}
		r.peers(t, ps...)
	}
	within(t, 5*time.Second, "all established", func() bool {
		for i, r := range rigs {
			for j := range nodes {
				if i != j && !r.isUp(nodes[j].addr) {
					return false
				}
			}
		}
		return true
	})
	t.Logf("%d sessions after %s", n*(n-1)/2, time.Since(began))
}

// TestIPv6Session has one address only, so that nobody dials first and both must after a while.
func TestIPv6Session(t *testing.T) {
	if !alone(t) {
		return
	}
	one := addr("::1")
	a, b := node{one, 64512, freePort(t)}, node{one, 64513, freePort(t)}
	conf := func(n node, id string) Config {
		return Config{ASN: n.asn, RouterID: addr(id), Listen: []netip.Addr{one}, Port: n.port, NextHop4: addr("192.0.2.1"), NextHop6: addr("fd00::1")}
	}
	ra, rb := start(t, conf(a, "192.0.2.1")), start(t, conf(b, "192.0.2.2"))
	ra.advertise(t, "fd01::/122", "10.1.0.0/26")
	ra.peers(t, b.as(a, both))
	rb.peers(t, a.as(b, both))
	eventually(t, "heard", func() bool { return len(rb.from(one)) == 2 })
	got := rb.from(one)
	if got[prefix("fd01::/122")].NextHop != addr("fd00::1") || got[prefix("10.1.0.0/26")].NextHop != addr("192.0.2.1") {
		t.Errorf("next hops: %+v", got)
	}
}

// TestHoldTime: a change holds from the next session on, and leaves the present one alone. The lower one counts.
func TestHoldTime(t *testing.T) {
	if !alone(t) {
		return
	}
	a, b := pair(t, 7, 64512, 64512)
	ra, rb := start(t, a.config()), start(t, b.config())
	toB, toA := b.as(a, peering.IPv4), a.as(b, peering.IPv4)
	toB.HoldTime, toA.HoldTime = 30*time.Second, 12*time.Second
	ra.peers(t, toB)
	rb.peers(t, toA)
	holds := func(d time.Duration) {
		t.Helper()
		eventually(t, "negotiated "+d.String(), func() bool {
			return ra.isUp(b.addr) && ra.status(b.addr).HoldTime == d && rb.status(a.addr).HoldTime == d
		})
	}
	holds(12 * time.Second)
	toB.HoldTime = 3 * time.Second
	ra.peers(t, toB)
	ra.advertise(t, "10.1.0.0/26")
	eventually(t, "the session goes on", func() bool { return len(rb.from(a.addr)) == 1 })
	holds(12 * time.Second)
	if ra.flaps(b.addr) != 1 || rb.flaps(a.addr) != 1 {
		t.Error("the session was disturbed")
	}
	toA.MaxHops = 2
	rb.peers(t, toA)
	eventually(t, "up again", func() bool { return ra.flaps(b.addr) == 2 && rb.flaps(a.addr) == 2 })
	holds(3 * time.Second)
}

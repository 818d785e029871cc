package bgp

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"routed/peering"
)

func TestNewSpeakerChecks(t *testing.T) {
	good := Config{ASN: 64512, RouterID: addr("192.0.2.1"), Listen: []netip.Addr{addr("127.0.0.1")}, Port: 1790}
	if _, err := NewSpeaker(good); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*Config){
		"AS number 0":    func(c *Config) { c.ASN = 0 },
		"router ID":      func(c *Config) { c.RouterID = addr("fd00::1") },
		"port 0":         func(c *Config) { c.Port = 0 },
		"listen address": func(c *Config) { c.Listen = append(c.Listen, netip.Addr{}) },
		"IPv4 next hop":  func(c *Config) { c.NextHop4 = addr("fd00::1") },
		"IPv6 next hop":  func(c *Config) { c.NextHop6 = addr("::ffff:192.0.2.1") },
	} {
		c := good
		c.Listen = append([]netip.Addr(nil), good.Listen...)
		change(&c)
		if _, err := NewSpeaker(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
}

func TestCheckPeer(t *testing.T) {
	good := rawAs(node{addr: addr("192.0.2.1")}, addr("192.0.2.2"))
	if err := checkPeer(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*peering.Peer){
		"address":    func(p *peering.Peer) { p.Addr = netip.Addr{} },
		"role":       func(p *peering.Peer) { p.Role = 0 },
		"AS":         func(p *peering.Peer) { p.ASN = 0 },
		"local":      func(p *peering.Peer) { p.Local = addr("fd00::1") },
		"families":   func(p *peering.Peer) { p.Families = 0 },
		"family 4":   func(p *peering.Peer) { p.Families = 4 },
		"hops":       func(p *peering.Peer) { p.MaxHops = 0 },
		"short hold": func(p *peering.Peer) { p.HoldTime = time.Second },
		"long hold":  func(p *peering.Peer) { p.HoldTime = 24 * time.Hour },
	} {
		p := good
		change(&p)
		if checkPeer(p) == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestMinimumTTL(t *testing.T) {
	for hops, want := range map[uint8]uint32{1: 255, 2: 254, 255: 1} {
		p := peering.Peer{Addr: addr("192.0.2.2"), Role: peering.RoleRemote, MaxHops: hops}
		if got := minTTL(p); got != want {
			t.Errorf("%d hops: minimum %d, want %d", hops, got, want)
		}
	}
	if got := minTTL(peering.Peer{Addr: addr("192.0.2.2"), Role: peering.RoleBIRD}); got != 0 {
		t.Errorf("BIRD: minimum %d", got)
	}
}

func TestSettersWaitForRun(t *testing.T) {
	a, _ := pair(t, 40, 64512, 64512)
	s, err := NewSpeaker(a.config())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.SetPeers(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("without Run: %v", err)
	}
	set := make(chan error, 1)
	go func() { set <- s.SetAdvertised(t.Context(), []netip.Prefix{prefix("10.1.0.0/26")}) }()
	ctx, cancel = context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx, make(chan peering.Update)) }()
	if err := <-set; err != nil {
		t.Errorf("set before Run was ready: %v", err)
	}
	if err := s.SetAdvertised(t.Context(), []netip.Prefix{netip.PrefixFrom(addr("10.1.0.1"), 26)}); err == nil {
		t.Error("a block with host bits was taken")
	}
	if err := s.Run(t.Context(), nil); !errors.Is(err, ErrStopped) {
		t.Errorf("a second Run: %v", err)
	}
	cancel()
	if err := <-ran; err != nil {
		t.Errorf("Run: %v", err)
	}
	if err := s.SetPeers(t.Context(), nil); !errors.Is(err, ErrStopped) {
		t.Errorf("after Run: %v", err)
	}
}

func TestRunTellsWhyItCannotListen(t *testing.T) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	port := netip.MustParseAddrPort(l.Addr().String()).Port()
	s, err := NewSpeaker(Config{ASN: 64512, RouterID: addr("192.0.2.1"), Listen: []netip.Addr{addr("127.0.0.1")}, Port: port})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "127.0.0.1") {
		t.Errorf("got %v", err)
	}
}

// TestSlowReceiver: nobody reads the updates, and yet Run ends when told.
func TestSlowReceiver(t *testing.T) {
	a, b := pair(t, 41, 64512, 64512)
	s, err := NewSpeaker(a.config())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx, make(chan peering.Update)) }()
	if err := s.SetPeers(t.Context(), []peering.Peer{b.as(a, both)}); err != nil {
		t.Fatal(err)
	}
	rb := start(t, b.config())
	rb.advertise(t, "10.2.0.0/26")
	rb.peers(t, a.as(b, both))
	eventually(t, "up", func() bool { return rb.isUp(a.addr) })
	cancel()
	select {
	case err := <-ran:
		if err != nil {
			t.Errorf("Run: %v", err)
		}
	case <-time.After(patience):
		t.Fatal("Run does not end")
	}
}

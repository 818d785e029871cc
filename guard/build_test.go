package guard

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func addrs(list ...string) []netip.Addr {
	out := make([]netip.Addr, 0, len(list))
	for _, s := range list {
		out = append(out, addr(s))
	}
	return out
}

// nodeState is a node of the seed document, with one more peer that is far away and the second family.
func nodeState() State {
	return State{
		Port: 1790, Listen: addrs("9.111.255.21", "fd00::21", "127.0.0.1"), BIRD: addrs("9.111.255.21"),
		Peers: []Peer{
			{Addr: addr("9.111.255.77"), Port: 1790, MaxHops: 1},
			{Addr: addr("9.111.255.152"), Port: 1790, MaxHops: 1},
			{Addr: addr("198.51.100.9"), Port: 1791, MaxHops: 16},
			{Addr: addr("fd00::77"), Port: 1790, MaxHops: 1},
		},
	}
}

const (
	fin, syn, rst, ack = 0x01, 0x02, 0x04, 0x10
)

// Each case sends one packet through the table of nodeState.
func TestWhoPasses(t *testing.T) {
	ap := netip.MustParseAddrPort
	to4, to6 := ap("9.111.255.21:1790"), ap("[fd00::21]:1790")
	for _, tc := range []struct {
		name   string
		packet packet
		passes bool
	}{
		{"a peer opens", packet{source: ap("9.111.255.77:40000"), target: to4, ttl: 255, flags: syn}, true},
		{"from two hops away", packet{source: ap("9.111.255.77:40000"), target: to4, ttl: 254, flags: syn}, false},
		{"goes on from two hops away", packet{source: ap("9.111.255.77:40000"), target: to4, ttl: 254, flags: ack}, false},
		{"resets from two hops away", packet{source: ap("9.111.255.77:40000"), target: to4, ttl: 254, flags: rst}, false},
		{"a peer opens, IPv6", packet{source: ap("[fd00::77]:40000"), target: to6, ttl: 255, flags: syn}, true},
		{"from two hops away, IPv6", packet{source: ap("[fd00::77]:40000"), target: to6, ttl: 254, flags: syn}, false},
		{"a far peer, near enough", packet{source: ap("198.51.100.9:40000"), target: to4, ttl: 240, flags: syn}, true},
		{"a far peer, too far", packet{source: ap("198.51.100.9:40000"), target: to4, ttl: 239, flags: syn}, false},
		{"a stranger", packet{source: ap("9.111.255.78:40000"), target: to4, ttl: 255, flags: syn}, false},
		{"a stranger, IPv6", packet{source: ap("[fd00::78]:40000"), target: to6, ttl: 255, flags: syn}, false},
		{"a stranger by the port of a peer", packet{source: ap("9.111.255.78:1790"), target: to4, ttl: 255, flags: ack}, false},
		{"BIRD", packet{loopback: true, source: ap("9.111.255.21:40000"), target: ap("127.0.0.1:1790"), ttl: 64, flags: syn}, true},
		{"a pod that poses as BIRD", packet{source: ap("9.111.255.21:40000"), target: ap("127.0.0.1:1790"), ttl: 64, flags: syn}, false},
		{"a pod that poses as BIRD at TTL 255", packet{source: ap("9.111.255.21:40000"), target: to4, ttl: 255, flags: syn}, false},
		{"another address of this host", packet{loopback: true, source: ap("127.0.0.1:40000"), target: ap("127.0.0.1:1790"), ttl: 64, flags: syn}, false},
		{"BIRD's address, IPv6, which it does not use", packet{loopback: true, source: ap("[fd00::21]:40000"), target: to6, ttl: 64, flags: syn}, false},

		{"another port of ours", packet{source: ap("9.111.255.78:40000"), target: ap("9.111.255.21:22"), ttl: 3, flags: syn}, true},
		{"the port on an address that we do not listen on", packet{source: ap("9.111.255.78:40000"), target: ap("172.17.0.1:1790"), ttl: 64, flags: syn}, true},
		{"the port by UDP", packet{udp: true, source: ap("9.111.255.78:40000"), target: to4, ttl: 64}, true},

		{"an answer", packet{source: ap("9.111.255.77:1790"), target: ap("9.111.255.21:40000"), ttl: 255, flags: ack}, true},
		{"an answer from too far", packet{source: ap("9.111.255.77:1790"), target: ap("9.111.255.21:40000"), ttl: 254, flags: ack}, false},
		{"an answer from too far, IPv6", packet{source: ap("[fd00::77]:1790"), target: ap("[fd00::21]:40000"), ttl: 64, flags: ack}, false},
		{"GoBGP's answer to a SYN, IPv6", packet{source: ap("[fd00::77]:1790"), target: ap("[fd00::21]:40000"), ttl: 64, flags: syn | ack}, true},
		{"a refusal", packet{source: ap("9.111.255.77:1790"), target: ap("9.111.255.21:40000"), ttl: 64, flags: rst | ack}, true},
		{"a session closed before it was one", packet{source: ap("[fd00::77]:1790"), target: ap("[fd00::21]:40000"), ttl: 64, flags: fin | ack}, true},
		{"an answer by the peer's own port", packet{source: ap("198.51.100.9:1791"), target: ap("9.111.255.21:40000"), ttl: 239, flags: ack}, false},
		{"a peer's other services", packet{source: ap("198.51.100.9:1790"), target: ap("9.111.255.21:40000"), ttl: 50, flags: ack}, true},
		{"a stranger's port of that number", packet{source: ap("9.111.255.78:1790"), target: ap("9.111.255.21:40000"), ttl: 50, flags: ack}, true},

		{"forwarded to a peer", packet{hook: hookForward, source: ap("10.1.198.140:40000"), target: ap("9.111.255.77:1790"), ttl: 63, flags: syn}, false},
		{"forwarded to a peer, IPv6", packet{hook: hookForward, source: ap("[fd10::1]:40000"), target: ap("[fd00::77]:1790"), ttl: 63, flags: syn}, false},
		{"forwarded to a peer's own port", packet{hook: hookForward, source: ap("10.1.198.140:40000"), target: ap("198.51.100.9:1791"), ttl: 63, flags: syn}, false},
		{"forwarded to us", packet{hook: hookForward, source: ap("10.1.198.140:40000"), target: to4, ttl: 63, flags: syn}, false},
		{"forwarded to another port of a peer", packet{hook: hookForward, source: ap("10.1.198.140:40000"), target: ap("9.111.255.77:443"), ttl: 63, flags: syn}, true},
		{"forwarded to the port of another cluster's peers", packet{hook: hookForward, source: ap("10.1.198.140:40000"), target: ap("198.51.100.9:1790"), ttl: 63, flags: syn}, true},
		{"between pods that use the port", packet{hook: hookForward, source: ap("10.1.198.140:40000"), target: ap("20.1.47.150:1790"), ttl: 63, flags: syn}, true},
		{"what such a pod answers", packet{hook: hookForward, source: ap("20.1.47.150:1790"), target: ap("10.1.198.140:40000"), ttl: 63, flags: ack}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.packet.hook == hookNone {
				tc.packet.hook = hookInput
			}
			got, err := build(nodeState()).passes(tc.packet)
			if err != nil || got != tc.passes {
				t.Errorf("passes: %t, %v; want %t", got, err, tc.passes)
			}
		})
	}
}

// pool keeps random addresses few, so that they meet.
func pool() []netip.Addr {
	return addrs("9.0.0.1", "9.0.0.2", "9.0.0.3", "9.0.0.4", "127.0.0.1", "fd00::1", "fd00::2", "fd00::3", "::1")
}

func genState(t *rapid.T, label string) State {
	some := func(name string, most int) []netip.Addr {
		return rapid.SliceOfN(rapid.SampledFrom(pool()), 0, most).Draw(t, label+name)
	}
	port := rapid.SampledFrom([]uint16{1790, 1791, 0})
	s := State{Port: 1790, Listen: some("listen", 3), BIRD: some("bird", 2)}
	for i, a := range some("peers", 6) {
		s.Peers = append(s.Peers, Peer{
			Addr: a, Port: port.Draw(t, fmt.Sprintf("%sport%d", label, i)),
			MaxHops: rapid.SampledFrom([]uint8{0, 1, 2, 16, 255}).Draw(t, fmt.Sprintf("%shops%d", label, i)),
		})
	}
	return s
}

func genPacket(t *rapid.T) packet {
	one := rapid.SampledFrom(pool())
	source := one.Draw(t, "source")
	target := one.Filter(func(a netip.Addr) bool { return a.Is4() == source.Is4() }).Draw(t, "target")
	port := rapid.SampledFrom([]uint16{1790, 1791, 40000})
	return packet{
		hook: rapid.SampledFrom([]hook{hookInput, hookForward}).Draw(t, "hook"), loopback: rapid.Bool().Draw(t, "loopback"),
		source: netip.AddrPortFrom(source, port.Draw(t, "sport")), target: netip.AddrPortFrom(target, port.Draw(t, "dport")),
		udp: rapid.Bool().Draw(t, "udp"), flags: rapid.Byte().Draw(t, "flags"),
		ttl: rapid.SampledFrom([]uint8{0, 1, 64, 239, 240, 253, 254, 255}).Draw(t, "ttl"),
	}
}

// peerAt is the peer of an address: the one with the fewest hops, then the lowest port.
func (s State) peerAt(a netip.Addr) (Peer, bool) {
	var best Peer
	found := false
	for _, p := range s.Peers {
		p.MaxHops = max(p.MaxHops, 1)
		if p.Addr == a && (!found || p.MaxHops < best.MaxHops || (p.MaxHops == best.MaxHops && p.Port < best.Port)) {
			best, found = p, true
		}
	}
	return best, found
}

// admits is the guard in plain words, to hold the rules against.
func (s State) admits(p packet) bool {
	toUs := p.target.Port() == s.Port && slices.Contains(s.Listen, p.target.Addr())
	sender, fromPeer := s.peerAt(p.source.Addr())
	near := int(p.ttl) >= 256-int(sender.MaxHops)
	switch {
	case p.udp:
		return true
	case p.hook == hookForward:
		receiver, toPeer := s.peerAt(p.target.Addr())
		return !toUs && (!toPeer || receiver.Port == 0 || receiver.Port != p.target.Port())
	case toUs:
		return (fromPeer && near) || (p.loopback && slices.Contains(s.BIRD, p.source.Addr()))
	case fromPeer && sender.Port != 0 && sender.Port == p.source.Port() && p.flags&(fin|syn|rst) == 0:
		return near
	}
	return true
}

func TestRulesDoWhatIsSaid(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, p := genState(t, ""), genPacket(t)
		got, err := build(s).passes(p)
		if err != nil {
			t.Fatal(err)
		}
		if want := s.admits(p); got != want {
			t.Fatalf("passes: %t, want %t", got, want)
		}
	})
}

// What changes nothing in the meaning changes nothing in the table, so that it is not written again.
func TestOrderAndRepetitionDoNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := genState(t, "")
		other := State{
			Port: s.Port, Listen: rapid.Permutation(s.Listen).Draw(t, "listen"), BIRD: rapid.Permutation(s.BIRD).Draw(t, "bird"),
			Peers: append(rapid.Permutation(s.Peers).Draw(t, "peers"), s.Peers...),
		}
		if !build(s).equal(build(other)) {
			t.Fatal("another table")
		}
	})
}

func TestAddressesAreTakenAsPacketsHaveThem(t *testing.T) {
	odd := State{
		Port: 1790, Listen: addrs("::ffff:9.0.0.1", "fe80::1%eth0"), BIRD: []netip.Addr{{}},
		Peers: []Peer{{Addr: addr("::ffff:9.0.0.2"), Port: 1790, MaxHops: 1}, {}},
	}
	same := State{
		Port: 1790, Listen: addrs("9.0.0.1", "fe80::1"),
		Peers: []Peer{{Addr: addr("9.0.0.2"), Port: 1790, MaxHops: 1}},
	}
	if !build(odd).equal(build(same)) {
		t.Errorf("%+v\nis not\n%+v", build(odd), build(same))
	}
}

// Old kernels take names of 15 characters at most.
func TestNamesAreShort(t *testing.T) {
	s := nodeState()
	s.Peers = append(s.Peers, Peer{Addr: addr("fd00::99"), Port: 65535, MaxHops: 1})
	for _, one := range build(s).sets {
		if len(one.name) > 15 {
			t.Errorf("set %s has %d characters", one.name, len(one.name))
		}
	}
}

// A roster of one kind of peer needs rules for that kind, however long it is.
func TestRulesDoNotGrowWithTheRoster(t *testing.T) {
	s := nodeState()
	before := len(build(s).rules)
	a := addr("10.0.0.0")
	for range 5000 {
		a = a.Next()
		s.Peers = append(s.Peers, Peer{Addr: a, Port: 1790, MaxHops: 1})
	}
	if after := len(build(s).rules); after != before {
		t.Errorf("%d rules, and %d with 5000 peers more", before, after)
	}
}

func TestTranslationIsOneToOne(t *testing.T) {
	for _, r := range build(nodeState()).rules {
		if got := decode(encode(r.program)); !slices.Equal(got, r.program) {
			t.Errorf("%s: %+v became %+v", r.comment, r.program, got)
		}
	}
}

package guard

import (
	"cmp"
	"net/netip"
	"slices"
)

// State is all that the guard goes by. It is full state: who is not in it may not connect.
type State struct {
	Port   uint16       // the TCP port that the speaker listens on
	Listen []netip.Addr // the addresses that it listens on
	BIRD   []netip.Addr // where the local BIRD's connections come from; only those over the loopback interface count
	Peers  []Peer       // the remote daemons
}

// Peer is one remote daemon. An address names one peer; of two with the same address the one with fewer hops counts.
type Peer struct {
	Addr    netip.Addr
	Port    uint16 // that it listens on and we dial; 0: we do not dial it
	MaxHops uint8  // how far it may be: its packets come with a TTL of at least 256 - MaxHops; 0 is taken for 1
}

// minTTL is the lowest TTL (hop limit) that a packet of the peer may arrive with (GTSM, RFC 5082).
func (p Peer) minTTL() uint8 { return uint8(256 - int(max(p.MaxHops, 1))) }

// group is the peers that the same rules hold for.
type group struct {
	family family
	port   uint16
	ttl    uint8 // the lowest allowed
	addrs  []netip.Addr
}

// groups sorts the peers by family, port and TTL, so that equal states give equal tables.
func (s State) groups() []group {
	peers := make([]Peer, 0, len(s.Peers))
	for _, p := range s.Peers {
		if p.Addr = plain(p.Addr); p.Addr.IsValid() {
			peers = append(peers, p)
		}
	}
	slices.SortFunc(peers, func(a, b Peer) int {
		return cmp.Or(a.Addr.Compare(b.Addr), -cmp.Compare(a.minTTL(), b.minTTL()), cmp.Compare(a.Port, b.Port))
	})
	peers = slices.CompactFunc(peers, func(a, b Peer) bool { return a.Addr == b.Addr })
	slices.SortStableFunc(peers, func(a, b Peer) int { // stable: within a group they stay sorted by address
		return cmp.Or(cmp.Compare(familyOf(a.Addr), familyOf(b.Addr)), cmp.Compare(a.Port, b.Port),
			-cmp.Compare(a.minTTL(), b.minTTL()))
	})
	var out []group
	for _, p := range peers {
		g := group{family: familyOf(p.Addr), port: p.Port, ttl: p.minTTL()}
		if n := len(out); n == 0 || out[n-1].family != g.family || out[n-1].port != g.port || out[n-1].ttl != g.ttl {
			out = append(out, g)
		}
		last := &out[len(out)-1]
		last.addrs = append(last.addrs, p.Addr)
	}
	return out
}

// ofFamily picks the addresses of a family, sorted, each once.
func ofFamily(addrs []netip.Addr, f family) []netip.Addr {
	var out []netip.Addr
	for _, a := range addrs {
		if a = plain(a); a.IsValid() && familyOf(a) == f {
			out = append(out, a)
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out)
}

// plain is an address as a packet's header has it: without a zone, an IPv4 address never inside IPv6.
func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

package config

import (
	"crypto/sha256"
	"net/netip"
)

// deriveRouterID makes this node's BGP Identifier from its IPv4 address: the lower 28 bits of the address inside
// 240.0.0.0/4, so that 9.111.255.21 becomes 249.111.255.21. ok is false for an address that is itself in there.
//
// It must not be the address: the local BIRD uses that, and an internal session between equal identifiers fails
// (RFC 6286 section 2.2; NOTIFICATION 2/3). It should be no other speaker's identifier either: identifiers are to be
// unique within the AS, and two daemons with the same one could have no internal session. No BIRD of any node has
// an identifier in 240.0.0.0/4, which is assigned to no host (RFC 1112 section 4), and two nodes get the same one
// only when their addresses differ in nothing but the first four bits. So within each private range (RFC 1918, RFC
// 6598), between them, and within any /4, every node's is its own: better than a hash of 28 bits, which gives 5,000
// nodes a collision in one mesh of twenty; and a person can read the address in it.
//
// RFC 6286 allows any identifier but zero, and BIRD, GoBGP and FRR since 7.5 do so. Quagga and older FRR refuse this
// range: beside one of those set node.routerID.
//
// A node without an IPv4 address gets 28 bits of a hash of the other: between two clusters of 100 nodes each, one mesh in
// 27,000 has the same one on both sides. Calico's own hash (CALICO_ROUTER_ID=hash) ends at 223.255.255.255, so it is no
// BIRD's either.
func deriveRouterID(n Node) (id netip.Addr, ok bool) {
	if !n.Address.IsValid() {
		a := n.Address6.As16()
		sum := sha256.Sum256(a[:])
		return reserved([4]byte(sum[:4])), true
	}
	b := n.Address.As4()
	if b[0] >= 0xf0 {
		return netip.Addr{}, false
	}
	return reserved(b), true
}

// reserved puts an identifier into 240.0.0.0/4.
func reserved(b [4]byte) netip.Addr {
	b[0] |= 0xf0
	return netip.AddrFrom4(b)
}

package main

import (
	"fmt"
	"net/netip"
)

const (
	bgpPort = 179
	// nodePort is where those neighbours listen that the competitor dials.
	nodePort = 1790
)

// site is a network for a competitor: where it is, and who its neighbours are on our side of the link.
type site struct {
	receiver  netip.Prefix // with its address
	sender    []string     // lines of ip that give our side its addresses
	neighbors []neighbor
	nextHops  netip.Prefix // of what the neighbours, then reflectors, announce; the zero value: their own addresses
}

// neighbor is one end of a BGP session of the competitor.
type neighbor struct {
	Addr  netip.Addr
	Dials bool // it opens the session; otherwise it waits for the competitor to do that
}

func loopback() netip.Addr     { return netip.AddrFrom4([4]byte{127, 0, 0, 1}) }
func senderAddr() netip.Addr   { return netip.AddrFrom4([4]byte{192, 0, 2, 1}) }
func receiverAddr() netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, 2}) }

// oneSender has a single neighbour, which dials.
func oneSender() site {
	return site{
		receiver:  netip.PrefixFrom(receiverAddr(), 24),
		sender:    []string{fmt.Sprintf("address add %s/24 dev %s", senderAddr(), senderLink)},
		neighbors: []neighbor{{Addr: senderAddr(), Dials: true}},
	}
}

// manyReceiver lies in the middle of 198.18.0.0/15, which RFC 2544 sets apart for benchmarks.
func manyReceiver() netip.Prefix { return netip.MustParsePrefix("198.19.0.1/15") }

// nodeAddr is the address of a simulated node: by turns lower and higher than the receiver's.
func nodeAddr(i int) netip.Addr {
	host := i/2 + 256
	return netip.AddrFrom4([4]byte{198, 18 + byte(i%2), byte(host >> 8), byte(host)})
}

// manyNodes has n neighbours that are simulated nodes. As between daemons of routed, the lower address of two dials.
func manyNodes(n int) site {
	s := onManyAddresses()
	for i := range n {
		a := nodeAddr(i)
		s.neighbors = append(s.neighbors, neighbor{Addr: a, Dials: a.Less(s.receiver.Addr())})
	}
	return s
}

// twoReflectors has two neighbours that stand for every [nodeAddr], and wait to be dialled.
func twoReflectors() site {
	s := onManyAddresses()
	s.nextHops = s.receiver.Masked()
	s.neighbors = []neighbor{{Addr: netip.MustParseAddr("198.18.0.1")}, {Addr: netip.MustParseAddr("198.18.0.2")}}
	return s
}

// onManyAddresses makes every address of the network ours, but the receiver's, without one of them being set up.
func onManyAddresses() site {
	r := manyReceiver()
	return site{receiver: r, sender: []string{
		fmt.Sprintf("route add local %s dev %s table local", r.Masked(), senderLink),
		fmt.Sprintf("route add %s dev %s table local", r.Addr(), senderLink),
	}}
}

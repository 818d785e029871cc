package main

import (
	"encoding/binary"
	"net/netip"
)

// The sender's part of BGP-4 (RFC 4271), written by hand: what is measured must not share code with what measures.

const (
	headerLen  = 19
	messageMax = 4096 // RFC 4271 section 4.1

	typeOpen         = 1
	typeUpdate       = 2
	typeNotification = 3
	typeKeepalive    = 4
)

// message puts the header before a body.
func message(typ byte, body []byte) []byte {
	m := make([]byte, headerLen, headerLen+len(body))
	for i := range 16 {
		m[i] = 0xff
	}
	binary.BigEndian.PutUint16(m[16:], uint16(headerLen+len(body)))
	m[18] = typ
	return append(m, body...)
}

// openMessage proposes IPv4 unicast and four-octet AS numbers (RFC 5492, 4760, 6793), and graceful restart without a family,
// as routed does between nodes (RFC 4724 section 3): who has it sends End-of-RIB.
func openMessage(asn uint32, hold uint16, id netip.Addr) []byte {
	as2 := uint16(23456) // AS_TRANS
	if asn <= 0xffff {
		as2 = uint16(asn)
	}
	caps := []byte{1, 4, 0, 1, 0, 1, 64, 2, 0, 90, 65, 4}
	caps = binary.BigEndian.AppendUint32(caps, asn)
	body := []byte{4}
	body = binary.BigEndian.AppendUint16(body, as2)
	body = binary.BigEndian.AppendUint16(body, hold)
	body = append(body, id.AsSlice()...)
	body = append(body, byte(len(caps)+2), 2, byte(len(caps)))
	return message(typeOpen, append(body, caps...))
}

// updateMessages announces the IPv4 prefixes over iBGP in as few messages as they fit in.
func updateMessages(prefixes []netip.Prefix, nextHop netip.Addr) []byte {
	return announcements(prefixes, nextHop, nil)
}

// reflectedMessages is what a route reflector makes of a client's announcement (RFC 4456 section 8).
func reflectedMessages(prefixes []netip.Prefix, client, reflector netip.Addr) []byte {
	attrs := append([]byte{0x80, 9, 4}, client.AsSlice()...) // ORIGINATOR_ID
	attrs = append(attrs, 0x80, 10, 4)                       // CLUSTER_LIST
	return announcements(prefixes, client, append(attrs, reflector.AsSlice()...))
}

// announcements announces the prefixes with attributes that come after LOCAL_PREF.
func announcements(prefixes []netip.Prefix, nextHop netip.Addr, more []byte) []byte {
	attrs := []byte{
		0x40, 1, 1, 0, // ORIGIN IGP
		0x40, 2, 0, // AS_PATH, empty
		0x40, 3, 4, 0, 0, 0, 0, // NEXT_HOP
		0x40, 5, 4, 0, 0, 0, 100, // LOCAL_PREF
	}
	hop := nextHop.As4()
	copy(attrs[10:], hop[:])
	attrs = append(attrs, more...)
	return packed(prefixes, func(nlri []byte) []byte {
		body := binary.BigEndian.AppendUint16([]byte{0, 0}, uint16(len(attrs)))
		return message(typeUpdate, append(append(body, attrs...), nlri...))
	}, messageMax-headerLen-4-len(attrs))
}

// withdrawMessages withdraws the IPv4 prefixes.
func withdrawMessages(prefixes []netip.Prefix) []byte {
	return packed(prefixes, func(nlri []byte) []byte {
		body := binary.BigEndian.AppendUint16(nil, uint16(len(nlri)))
		return message(typeUpdate, append(append(body, nlri...), 0, 0))
	}, messageMax-headerLen-4)
}

// endOfRIB is the marker of RFC 4724 section 2 for IPv4 unicast: an UPDATE that says nothing.
func endOfRIB() []byte { return message(typeUpdate, []byte{0, 0, 0, 0}) }

// packed cuts the NLRI of the prefixes into pieces of at most room bytes and puts a message around each.
func packed(prefixes []netip.Prefix, around func(nlri []byte) []byte, room int) []byte {
	var out, nlri []byte
	for _, p := range prefixes {
		one := encodePrefix(p)
		if len(nlri)+len(one) > room {
			out, nlri = append(out, around(nlri)...), nlri[:0]
		}
		nlri = append(nlri, one...)
	}
	if len(nlri) == 0 {
		return out
	}
	return append(out, around(nlri)...)
}

// encodePrefix is a prefix as RFC 4271 section 4.3 has it: its length in bits and as many bytes as those need.
func encodePrefix(p netip.Prefix) []byte {
	a := p.Addr().As4()
	return append([]byte{byte(p.Bits())}, a[:(p.Bits()+7)/8]...)
}

// block is the /26 with a number: 20.0.0.0/26, 20.0.0.64/26 and so on.
func block(i int) netip.Prefix {
	var a [4]byte
	binary.BigEndian.PutUint32(a[:], 20<<24+uint32(i)<<6)
	return netip.PrefixFrom(netip.AddrFrom4(a), 26)
}

// blocks are the first n.
func blocks(n int) []netip.Prefix {
	all := make([]netip.Prefix, n)
	for i := range all {
		all[i] = block(i)
	}
	return all
}

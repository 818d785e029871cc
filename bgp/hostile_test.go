package bgp

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"routed/peering"

	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// TestHostileBytes throws at a speaker, from the address of a peer, what has killed BGP daemons, and watches that a
// healthy session beside it does not notice.
func TestHostileBytes(t *testing.T) {
	if !alone(t) {
		return
	}
	a, b := pair(t, 20, 64512, 64512)
	raw := addr("127.9.20.9")
	ra, rb := start(t, a.config()), start(t, b.config())
	ra.peers(t, b.as(a, both), rawAs(a, raw))
	rb.peers(t, a.as(b, both))
	eventually(t, "the healthy session up", func() bool { return ra.isUp(b.addr) && rb.isUp(a.addr) })

	unknownType := message(99, nil)
	for name, junk := range map[string][]byte{
		"19 bytes of type 99":    unknownType,
		"no marker":              bytes.Repeat([]byte{0}, 64),
		"length below a header":  append(bytes.Repeat([]byte{0xff}, 16), 0, 3, 1),
		"length 65535":           append(bytes.Repeat([]byte{0xff}, 16), 0xff, 0xff, 2),
		"empty OPEN":             message(bgp.BGP_MSG_OPEN, nil),
		"UPDATE before OPEN":     update(attrs(originIGPAttr, emptyASPath), 24, 10, 1, 0),
		"NOTIFICATION of 1 byte": message(bgp.BGP_MSG_NOTIFICATION, []byte{6}),
		"text":                   []byte("GET / HTTP/1.1\r\nHost: example.org\r\n\r\n"),
		"nothing":                nil,
	} {
		p := dialRaw(t, raw, a)
		p.send(junk)
		_ = p.conn.Close()
		t.Log(name)
	}
	stranger := dialRaw(t, addr("127.9.20.77"), a)
	stranger.send(unknownType)
	if typ := stranger.read(); typ != 0 {
		t.Errorf("a stranger got a message of type %d", typ)
	}

	p := openWhenReady(t, raw, a, 9)
	eventually(t, "the raw session up", func() bool { return ra.isUp(raw) })
	p.send(unknownType) // inside an established session
	eventually(t, "the raw session down", func() bool { return !ra.isUp(raw) })
	if r := ra.lastDown(raw); !strings.Contains(r, "NOTIFICATION") || !strings.Contains(r, "bad message type") {
		t.Errorf("reason %q", r)
	}

	rb.advertise(t, "10.2.0.0/26")
	eventually(t, "the healthy session working", func() bool { return len(ra.from(b.addr)) == 1 })
	if ra.flaps(b.addr) != 1 || rb.flaps(a.addr) != 1 {
		t.Error("the healthy session flapped")
	}
}

// TestMalformedPaths sends UPDATEs that GoBGP lets pass although attributes are missing.
func TestMalformedPaths(t *testing.T) {
	a, _ := pair(t, 21, 64512, 64512)
	raw := addr("127.9.21.9")
	r := start(t, a.config())
	r.peers(t, rawAs(a, raw))
	p := openWhenReady(t, raw, a, 9)

	p.send(update(attrs(originIGPAttr, emptyASPath, nextHopAttr, localPref), 24, 10, 1, 0))
	p.send(update(attrs(originIGPAttr, emptyASPath, localPref, badAggregator), 24, 10, 1, 1)) // no NEXT_HOP
	p.send(update(attrs(originIGPAttr, nextHopAttr, localPref, badAggregator), 24, 10, 1, 2)) // no AS_PATH
	p.send(update(badAggregator, 24, 10, 1, 3))                                               // nothing at all
	ownAS := []byte{0x40, 2, 6, 2, 1, 0, 0, 0xfc, 0}
	p.send(update(attrs(originIGPAttr, ownAS, nextHopAttr, localPref), 24, 10, 1, 0)) // replaces the first, looping
	set := []byte{0x40, 2, 16, 2, 1, 0, 0, 0, 7, 1, 2, 0, 0, 0, 8, 0, 0, 0, 9}
	p.send(update(attrs(originIGPAttr, set, nextHopAttr, localPref), 24, 10, 1, 4, 24, 10, 1, 5))
	eventually(t, "the last one there", func() bool { return len(r.from(raw)) == 6 })

	got := r.from(raw)
	for p, want := range map[string]peering.Announcement{
		"10.1.0.0/24": {NextHop: addr("127.9.20.2"), ASPath: []uint32{64512}},
		"10.1.1.0/24": {ASPath: []uint32{}},
		"10.1.2.0/24": {NextHop: addr("127.9.20.2")},
		"10.1.3.0/24": {},
		"10.1.4.0/24": {NextHop: addr("127.9.20.2"), ASPath: []uint32{7, 8, 9}},
	} {
		g := got[prefix(p)]
		if g.NextHop != want.NextHop || !slices.Equal(g.ASPath, want.ASPath) || (g.ASPath == nil) != (want.ASPath == nil) {
			t.Errorf("%s: got %+v, want %+v", p, g, want)
		}
	}

	p.send(message(bgp.BGP_MSG_UPDATE, []byte{0, 4, 24, 10, 1, 4, 0, 0})) // withdrawn
	p.send(message(bgp.BGP_MSG_UPDATE, []byte{0, 0, 0, 0}))               // End-of-RIB
	eventually(t, "withdrawn, End-of-RIB", func() bool { return len(r.from(raw)) == 5 && r.heardEnd(raw) == peering.IPv4 })
	if !r.isUp(raw) {
		t.Errorf("the session went down: %s", r.lastDown(raw))
	}
}

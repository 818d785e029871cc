package bgp

import (
	"context"
	"net/netip"
	"testing"

	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// GoBGP keeps no table for a session, nor for one that came back with a fresh state machine (the first time) or with the old
// one (when that is too soon again), and passes on announcements and withdrawals all the same.
func TestNoAdjRIBIn(t *testing.T) {
	a, _ := pair(t, 35, 64512, 64512)
	raw := addr("127.9.35.9")
	r := start(t, a.config())
	r.peers(t, rawAs(a, raw))
	err := r.do(t.Context(), func(_ context.Context, e *engine) error { return e.adjRIBs.drop(addr("127.9.35.1")) })
	if err == nil {
		t.Error("tables of somebody who is no peer")
	}
	block := prefix("10.1.0.0/24")
	heard := func() bool { _, there := r.from(raw)[block]; return there }
	for round := range 3 {
		before := r.flaps(raw)
		p := openWhenReady(t, raw, a, 9)
		eventually(t, "up", func() bool { return r.flaps(raw) > before })
		eventually(t, "GoBGP has no table", func() bool { return r.tables(t, raw) == 0 })
		p.send(update(attrs(originIGPAttr, emptyASPath, nextHopAttr, localPref), 24, 10, 1, 0))
		eventually(t, "announced", heard)
		p.send(message(bgp.BGP_MSG_UPDATE, []byte{0, 4, 24, 10, 1, 0, 0, 0}))
		eventually(t, "withdrawn", func() bool { return !heard() })
		if n := r.tables(t, raw); n != 0 {
			t.Errorf("round %d: GoBGP has %d tables", round, n)
		}
		_ = p.conn.Close()
		eventually(t, "down", func() bool { return !r.isUp(raw) })
	}
}

// tables counts GoBGP's tables for a peer.
func (r *rig) tables(t *testing.T, peer netip.Addr) (n int) {
	t.Helper()
	err := r.do(t.Context(), func(_ context.Context, e *engine) error {
		e.adjRIBs.mu.Lock()
		defer e.adjRIBs.mu.Unlock()
		tables, err := e.adjRIBs.tables(peer)
		if err == nil {
			n = tables.Len()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

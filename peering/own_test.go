package peering

import (
	"net/netip"
	"slices"
	"testing"
	"time"
)

func (x *tester) wantOwn(source OwnSource, blocks ...netip.Prefix) {
	x.Helper()
	if got := x.m.OwnBlocks(); !slices.Equal(got, blocks) {
		x.Fatalf("own blocks %v, want %v", got, blocks)
	}
	for _, b := range x.m.Status().Own {
		if b.Source != source {
			x.Errorf("%s known from %s, want %s", b.Prefix, b.Source, source)
		}
	}
}

func (x *tester) evidence(blocks ...netip.Prefix) { x.Helper(); x.take(x.m.SetEvidence(x.now, blocks)) }

func TestOwnBlocksComeFromBIRD(t *testing.T) {
	x := newTester(t, nodeA)
	x.up(bird, ownBlock)
	x.wantOwn(OwnFromBIRD, ownBlock)
	if x.m.OwnKnown() {
		t.Error("own blocks known before End-of-RIB and grace")
	}
	x.eor(bird)
	if !x.m.OwnKnown() {
		t.Error("own blocks not known after BIRD's End-of-RIB")
	}
	x.apply(Update{Peer: bird, Withdraw: []netip.Prefix{ownBlock}})
	x.wantOwn(OwnFromBIRD)
}

func TestLosingBIRDWithdrawsNothing(t *testing.T) {
	x := newTester(t, nodeA)
	x.up(bird, ownBlock)
	x.eor(bird)
	x.down(bird)
	x.wantOwn(OwnFromStale, ownBlock)
	x.after(time.Hour - 1)
	x.wantOwn(OwnFromStale, ownBlock)
	x.after(1)
	x.wantOwn("")
}

func TestKernelEvidenceOutlastsRetention(t *testing.T) {
	x := newTester(t, nodeA)
	x.evidence(ownBlock, pfx("192.168.0.0/26"))
	x.up(bird, ownBlock)
	x.eor(bird)
	x.down(bird)
	x.after(3 * time.Hour)
	x.wantOwn(OwnFromStale, ownBlock)
	x.evidence()
	x.wantOwn("")
}

func TestRestartWhileBIRDIsDown(t *testing.T) {
	x := newTester(t, nodeA)
	x.evidence(ownBlock)
	x.wantOwn(OwnFromKernel, ownBlock)
	if x.m.OwnKnown() {
		t.Fatal("known at once: BIRD had no chance to tell of blocks that leave no trace in the kernel")
	}
	if next := x.next(); !next.Equal(t0.Add(2 * time.Second)) {
		t.Fatalf("Next() = %s, want the end of the grace", next)
	}
	x.after(2 * time.Second)
	if !x.m.OwnKnown() {
		t.Fatal("not known after the grace")
	}
	x.evidence()
	x.wantOwn("")
}

// Where an earlier run left routes the peers may hold blocks that BIRD alone knows.
func TestRestartWaitsForBIRD(t *testing.T) {
	for _, tc := range []struct {
		name  string
		up    time.Duration // when the session with BIRD comes; BIRD sends no End-of-RIB
		known time.Duration
	}{
		{"that does not come", time.Minute, 15 * time.Second},
		{"that comes late", 8 * time.Second, 10 * time.Second},
		{"that comes too late", 14 * time.Second, 15 * time.Second},
		{"that comes at once", time.Second, 3 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := testConfig()
			cfg.RestartGrace = 15 * time.Second
			x := &tester{T: t, m: NewMesh(cfg, t0), now: t0, table: map[netip.Prefix]netip.Addr{}}
			x.take(x.m.SetRoster(x.now, testRoster(nodeA)))
			x.take(x.m.Adopt(x.now, []RouteChange{{Prefix: blockA, NextHop: nodeA}}))
			x.evidence(ownBlock)
			if tc.up < tc.known {
				x.after(tc.up)
				x.up(bird, ownBlock)
			}
			end := t0.Add(tc.known)
			if next := x.next(); !next.Equal(end) {
				t.Errorf("Next() = %s, want %s", next, end)
			}
			x.after(end.Sub(x.now) - 1)
			if x.m.OwnKnown() {
				t.Error("known before BIRD had time to say all")
			}
			x.after(1)
			if !x.m.OwnKnown() {
				t.Error("not known after the grace")
			}
		})
	}
}

func TestABIRDThatSpeaksIsBelievedAgainstTheEvidence(t *testing.T) {
	x := newTester(t, nodeA)
	other := pfx("10.1.7.0/26")
	x.evidence(ownBlock, other)
	x.up(bird, ownBlock)
	x.wantOwnSet(ownBlock, other) // not heard to the end yet
	x.eor(bird)
	x.wantOwn(OwnFromBIRD, ownBlock)
}

func (x *tester) wantOwnSet(blocks ...netip.Prefix) {
	x.Helper()
	slices.SortFunc(blocks, ComparePrefix)
	if got := x.m.OwnBlocks(); !slices.Equal(got, blocks) {
		x.Fatalf("own blocks %v, want %v", got, blocks)
	}
}

func TestBIRDRestartChangesNoOwnBlock(t *testing.T) {
	x := newTester(t, nodeA)
	x.up(bird, ownBlock)
	x.eor(bird)
	var changed bool
	for _, u := range []Update{
		{Peer: bird, Session: SessionDown},
		{Peer: bird, Session: SessionUp, Families: IPv4},
		{Peer: bird, Announce: announce(bird, ownBlock)},
		{Peer: bird, EndOfRIB: IPv4},
	} {
		changed = changed || x.apply(u).OwnChanged
	}
	if changed {
		t.Error("a BIRD restart changed our own blocks")
	}
}

func TestOwnKnownByDeadline(t *testing.T) {
	x := newTester(t, nodeA)
	x.after(time.Minute - 1)
	if x.m.OwnKnown() {
		t.Fatal("known before the deadline")
	}
	x.after(1)
	if !x.m.OwnKnown() {
		t.Fatal("not known at the deadline")
	}
}

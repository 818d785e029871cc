package peering

import (
	"maps"
	"testing"
	"time"
)

// What is away for less than the retention costs nothing, to the second; the laboratory plays the same for minutes.

// wait lets time pass in steps, as the mesh asks for them and each minute, and counts the routes that change.
func (x *tester) wait(d time.Duration) (changed int) {
	x.Helper()
	for end := x.now.Add(d); x.now.Before(end); {
		step := min(time.Minute, end.Sub(x.now))
		if next := x.m.Next(); next.After(x.now) {
			step = min(step, next.Sub(x.now))
		}
		changed += len(x.after(step).Routes)
	}
	return changed
}

func TestAClusterOutOfReach(t *testing.T) {
	for _, tc := range []struct {
		name string
		away time.Duration
		kept bool
	}{
		{"for ten minutes", 10 * time.Minute, true},
		{"for an hour less a second", time.Hour - time.Second, true},
		{"for an hour", time.Hour, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			x, addrs, blocks := brakeTester(t, 3)
			before := maps.Clone(x.table)
			changed := 0
			for _, a := range addrs {
				changed += len(x.apply(Update{Peer: a, Session: SessionDown, Reason: "hold timer expired"}).Routes)
			}
			changed += x.wait(tc.away)
			if tc.kept != (changed == 0) {
				t.Errorf("%d routes changed meanwhile", changed)
			}
			if !tc.kept {
				x.want(routes{})
				x.wantHeld(0) // nobody withdrew anything: the brake has no part in it
			}
			changed = 0
			for i, a := range addrs {
				for _, u := range []Update{
					{Session: SessionUp, Families: IPv4}, {Announce: announce(a, blocks[i])}, {EndOfRIB: IPv4},
				} {
					u.Peer = a
					changed += len(x.apply(u).Routes)
				}
			}
			x.want(before)
			if tc.kept && changed+x.wait(2*time.Hour) != 0 {
				t.Errorf("%d routes changed when it was back, or later", changed)
			}
		})
	}
}

func TestABIRDThatIsAway(t *testing.T) {
	x := newTester(t, nodeA)
	x.evidence(ownBlock)
	x.up(bird, ownBlock)
	x.eor(bird)
	told := func() bool { return x.apply(Update{Peer: bird, Session: SessionDown, Reason: "gone"}).OwnChanged }()
	for range 24 * 60 {
		told = told || x.after(time.Minute).OwnChanged
	}
	if told {
		t.Error("a day without BIRD changed our own blocks, which the kernel still shows")
	}
	x.wantOwn(OwnFromStale, ownBlock)
}

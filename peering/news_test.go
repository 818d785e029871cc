package peering

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// tidings runs the Mesh on until nothing is left to tell, and lists what it told of blocks and when.
func (x *tester) tidings() []string {
	x.Helper()
	var out []string
	for range 100 {
		if x.m.nextNews.IsZero() {
			return out
		}
		x.now = x.m.nextNews
		ch := x.m.Tick(x.now)
		x.take(ch)
		for _, e := range ch.Events {
			if slices.Contains([]EventKind{EventLearned, EventMoved, EventLost}, e.Kind) {
				out = append(out, fmt.Sprintf("%s %s %d, one %s: %s", x.now.Sub(t0), e.Kind, e.Count, e.Prefix, e.Detail))
			}
		}
	}
	x.Fatal("there is no end to the news")
	return nil
}

func (x *tester) wantTidings(want ...string) {
	x.Helper()
	if got := x.tidings(); !slices.Equal(got, want) {
		x.Errorf("told\n%q\nwant\n%q", got, want)
	}
}

// However many blocks come and go, there is a line of each kind in ten seconds.
func TestBlocksAreToldTogether(t *testing.T) {
	x := newTester(t, nodeA, nodeB)
	for _, node := range []netip.Addr{nodeA, nodeB} {
		x.apply(Update{Peer: node, Session: SessionUp, Families: IPv4})
	}
	block := func(i int) netip.Prefix {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{20, 1, byte(i >> 2), byte(i << 6)}), 26)
	}
	const many = 200
	for i := range many {
		x.apply(Update{Peer: nodeA, Announce: announce(nodeA, block(i))})
	}
	x.wantTidings(fmt.Sprintf("1s blocks-learned %d, one %s: blocks learned, the latest at %s", many, block(many-1), nodeA))
	// Again and again within the ten seconds.
	for range 50 {
		x.apply(Update{Peer: nodeA, Withdraw: []netip.Prefix{block(0)}})
		x.apply(Update{Peer: nodeA, Announce: announce(nodeA, block(0))})
	}
	x.apply(Update{Peer: nodeA, Withdraw: []netip.Prefix{block(1)}})
	x.wantTidings(
		fmt.Sprintf("11s blocks-learned 50, one %s: blocks learned, the latest at %s", block(0), nodeA),
		fmt.Sprintf("11s blocks-lost 51, one %s: blocks gone, the latest from %s", block(1), nodeA),
	)
	// After a while of silence the next one is told at once.
	x.now = x.now.Add(time.Hour)
	x.apply(Update{Peer: nodeA, Session: SessionDown})
	x.apply(Update{Peer: nodeB, Announce: announce(nodeB, block(2))})
	x.wantTidings(fmt.Sprintf("1h0m12s blocks-moved 1, one %s: blocks moved, the latest at %s", block(2), nodeB))
	x.now = x.now.Add(newsEvery)
	x.apply(Update{Peer: nodeB, Announce: announce(nodeB, block(many))})
	x.tidings()
	x.now = x.now.Add(newsEvery)
	x.m.nextNews = x.now
	if x.m.Tick(x.now); len(x.m.news) != 0 {
		t.Errorf("kept for nothing: %+v", x.m.news)
	}
}

package peering

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestAddress(t *testing.T) {
	x := newTester(t, nodeA, nodeB)
	x.up(bird, ownBlock)
	x.up(nodeA, blockA)
	x.up(nodeB, blockA, pfx("20.1.47.150/32"))
	x.now = x.now.Add(time.Minute)
	x.apply(Update{Peer: nodeA, Announce: []Announcement{
		{Prefix: pfx("20.1.0.0/16"), NextHop: nodeA, ASPath: []uint32{}},
		{Prefix: pfx("20.2.0.0/24"), NextHop: nodeA, ASPath: []uint32{}},
	}})

	got := x.m.Address(ip("20.1.47.150"))
	var prefixes []netip.Prefix
	for _, r := range got.Routes {
		prefixes = append(prefixes, r.Prefix)
	}
	if diff := cmp.Diff([]netip.Prefix{pfx("20.1.47.150/32"), blockA}, prefixes, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
		t.Error(diff)
	}
	if len(got.Announced) != 1 || got.Announced[0].Peer.Addr != nodeB || !got.Announced[0].Up || !got.Announced[0].Since.Equal(t0) {
		t.Errorf("announced by %+v", got.Announced)
	}
	if len(got.Refused) != 1 || got.Refused[0].Prefix != pfx("20.1.0.0/16") || got.Refused[0].Reason != ReasonLength ||
		got.Refused[0].Peer.Addr != nodeA || !got.Refused[0].At.Equal(x.now) {
		t.Errorf("refused %+v", got.Refused)
	}

	if got = x.m.Address(ip("20.1.47.151")); len(got.Announced) != 2 || got.Announced[0].Peer.Addr != nodeA {
		t.Errorf("the block of two nodes: %+v", got.Announced)
	}
	if got = x.m.Address(ip("20.2.0.9")); len(got.Routes) != 0 || len(got.Refused) != 1 || got.Refused[0].Reason != ReasonOutsideRange {
		t.Errorf("of nobody: %+v", got)
	}
	if got = x.m.Address(ip("10.1.198.140")); len(got.Own) != 1 || got.Own[0].Source != OwnFromBIRD || len(got.Routes)+len(got.Refused) != 0 {
		t.Errorf("of this node: %+v", got)
	}
	if got = x.m.Address(ip("2001:db8::1")); len(got.Own)+len(got.Routes)+len(got.Refused) != 0 {
		t.Errorf("of another family: %+v", got)
	}

	x.apply(Update{Peer: nodeA, Withdraw: []netip.Prefix{pfx("20.2.0.0/24")}})
	if got = x.m.Address(ip("20.2.0.9")); len(got.Refused) != 0 {
		t.Errorf("withdrawn, and yet %+v", got.Refused)
	}
}

// A prefix that only a limit keeps out is told with the limit, long after the latest refusals are forgotten.
func TestAddressOfLimited(t *testing.T) {
	x := newTester(t, nodeA)
	roster := testRoster(nodeA)
	roster.Clusters[0].Limits.PerNode = 1
	x.take(x.m.SetRoster(x.now, roster))
	x.up(nodeA, blockA, blockB)
	for range rejectionsKept {
		x.apply(Update{Peer: nodeA, Announce: []Announcement{{Prefix: pfx("30.0.0.0/8"), NextHop: nodeA, ASPath: []uint32{}}}})
	}
	got := x.m.Address(blockB.Addr()).Refused
	if len(got) != 1 || got[0].Reason != ReasonLimitNode || !got[0].At.IsZero() {
		t.Errorf("%+v", got)
	}
}

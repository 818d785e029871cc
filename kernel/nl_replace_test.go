package kernel

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func (n *testNet) target(prefix, via string) FIBRoute {
	n.t.Helper()
	by := way{device: int32(n.near.Attrs().Index)}
	return testConfig().owner().target(netip.MustParsePrefix(prefix), netip.MustParseAddr(via), by)
}

// TestKernelReplaceNeverSeizes replaces a route that is ours as far as we know, and somebody else's in truth.
func TestKernelReplaceNeverSeizes(t *testing.T) {
	for _, f := range families() {
		t.Run(f.name, func(t *testing.T) {
			n := newTestNet(t)
			n.must(n.eye.RouteAdd(n.route(f.prefix, f.hop, unix.RTPROT_STATIC)))
			stale := Op{
				Kind: OpReplaceRoute, Table: testTable,
				Route: n.target(f.prefix, f.hop2), Old: n.target(f.prefix, f.hop),
			}
			if err := n.fib.Apply([]Op{stale})[0]; !errors.Is(err, unix.EEXIST) {
				t.Errorf("error %v, want EEXIST", err)
			}
			if !n.has(line(f.prefix, f.hop, unix.RTPROT_STATIC))() {
				t.Errorf("left: %v", n.lines(testTable))
			}
		})
	}
}

// TestKernelReplaceKeepsRefusedRoutesOld has the kernel refuse the new route.
func TestKernelReplaceKeepsRefusedRoutesOld(t *testing.T) {
	for _, f := range families() {
		t.Run(f.name, func(t *testing.T) {
			n := newTestNet(t)
			n.must(n.eye.RouteAdd(n.route(f.prefix, f.hop, 114)))
			op := Op{
				Kind: OpReplaceRoute, Table: testTable,
				Route: n.target(f.prefix, f.nowhere), Old: n.target(f.prefix, f.hop),
			}
			if n.fib.Apply([]Op{op})[0] == nil {
				t.Error("the kernel took a next hop that is nowhere")
			}
			if !n.has(line(f.prefix, f.hop, 114))() {
				t.Errorf("left: %v", n.lines(testTable))
			}
		})
	}
}

// TestKernelReplaceLeavesNoGap follows a replacement event by event: the prefix always has a route.
func TestKernelReplaceLeavesNoGap(t *testing.T) {
	for _, f := range families() {
		t.Run(f.name, func(t *testing.T) {
			n := newTestNet(t)
			old := n.target(f.prefix, f.hop)
			n.must(n.fib.Apply([]Op{{Kind: OpAddRoute, Table: testTable, Route: old}})[0])
			witness, err := NewNetlink()
			n.must(err)
			defer witness.Close()
			events, err := witness.Watch(t.Context(), testTable)
			n.must(err)
			replaced := Op{Kind: OpReplaceRoute, Table: testTable, Route: n.target(f.prefix, f.hop2), Old: old}
			n.must(n.fib.Apply([]Op{replaced})[0])
			have := []FIBRoute{old}
			for seen := 0; seen < 4; {
				select {
				case batch := <-events:
					for _, e := range batch {
						if e.Kind != EventRoute {
							continue
						}
						seen++
						if e.Gone {
							have, _ = take(have, e.Route)
						} else {
							have = put(have, e.Route, e.Mode)
						}
						if len(have) == 0 {
							t.Fatalf("no route after event %d", seen)
						}
					}
				case <-time.After(patience):
					t.Fatalf("%d events of 4", seen)
				}
			}
			if len(have) != 1 || have[0] != replaced.Route {
				t.Errorf("in the end: %+v", have)
			}
		})
	}
}

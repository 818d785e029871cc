package lab_test

import (
	"net/netip"
	"slices"
	"testing"

	"routed/lab"
)

// testBorrowed kills the daemon of a node with a pod whose address is of no block of the node: BIRD alone knows that it is
// announced. It may take BIRD a while to meet the next daemon, which must not tell the others before that it has said all.
func (m *mesh) testBorrowed(t *testing.T) {
	if m.bird.Tool == lab.StandIn {
		t.Skip("a stand-in announces the blocks of its node and nothing else")
	}
	node, borrowed := m.Node("gyliu-ubuntu-1"), netip.MustParsePrefix("20.1.200.7/32")
	routes, err := node.RouteTable(m.ctx, "main")
	must(t, err)
	pod := slices.IndexFunc(routes, func(r lab.Route) bool { return r.Dst.Addr() == node.Spec.Pods[0] })
	_, err = node.IP(m.ctx, "route", "add", borrowed.String(), "dev", routes[pod].Dev, "scope", "link")
	must(t, err)
	before := m.tables(t, m.RemoteOf(node))
	for _, hops := range before {
		hops[borrowed] = node.Spec.Addr
	}
	must(t, lab.WaitFor(m.ctx, "the borrowed address", before.check))

	monitors, err := m.MonitorAll(m.ctx)
	must(t, err)
	must(t, node.KillRouted(m.ctx))
	must(t, node.StartRouted(m.ctx, m.binary, m.bird.Peering))
	m.waitHealthy(t)
	must(t, before.check(m.ctx))
	must(t, monitors.Close())
	wantUntouched(t, monitors)
	_, err = node.IP(m.ctx, "route", "del", borrowed.String())
	must(t, err)
	must(t, m.WaitMesh(m.ctx))
}

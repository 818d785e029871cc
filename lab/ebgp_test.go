package lab_test

import (
	"errors"
	"strings"
	"testing"

	"routed/lab"
)

// TestEBGP is the seed's mesh with an AS number of its own for each cluster, one of them of four bytes.
func TestEBGP(t *testing.T) {
	topology := lab.Seed()
	topology.Clusters[1].ASN = 4200000001
	ctx, net := buildTopology(t, topology)
	bird := lab.BIRD{Tool: lab.StandIn, Peering: lab.Dial}
	must(t, net.StartBIRDs(ctx, bird))
	binary, err := buildRouted()
	must(t, err)
	m := &mesh{Network: net, ctx: ctx, bird: bird, binary: binary}
	_ = t.Run("ColdStart", m.testColdStart) &&
		t.Run("PodsReachEachOther", m.testPings) &&
		t.Run("NewBlockAndWithdrawal", m.testBlock) &&
		t.Run("DaemonKilled", m.testDaemonKilled) &&
		t.Run("NothingComesBack", m.testNothingComesBack)
	m.checkRaces(t)
}

// Own blocks are told to the other cluster, and nobody tells of them.
func (m *mesh) testNothingComesBack(t *testing.T) {
	for _, node := range m.Nodes() {
		out, status, err := node.Routed(m.ctx, "peers")
		if err == nil && status != 0 {
			err = errors.New(out)
		}
		must(t, err)
		for _, reason := range []string{"as_loop", "own_pod_cidrs", "first_as_not_peer"} {
			if strings.Contains(out, reason) {
				t.Errorf("%s: %s", node.Spec.Name, out)
			}
		}
	}
}

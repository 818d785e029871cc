package lab_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"routed/admin"
	"routed/lab"
)

// narrowed is the MTU of the narrow link; see [lab.Network.Narrow] for the bytes that pass beyond it.
const (
	narrowed     = 1400
	narrowedMost = narrowed + 4
)

// probe switches probes on, on every node, by a reload. On node the pod of another is probed, too.
func (m *mesh) probe(t *testing.T, node *lab.Node, pod string) {
	t.Helper()
	const section = "probe: {interval: 1s, timeout: 300ms, addresses: first}\n"
	for _, n := range m.Nodes() {
		n.EditRouted(func(text string) string {
			if n == node {
				text = strings.Replace(text, "    nodes:\n", "    probeAddresses: ["+pod+"]\n    nodes:\n", 1)
			}
			return text + section
		})
		m.reload(t, n)
	}
}

func codes(s admin.Status) []admin.Code {
	var out []admin.Code
	for _, p := range s.Problems {
		out = append(out, p.Code)
	}
	return out
}

// testProbes switches probes on in six daemons. One node has a narrow link to the LAN, another stops answering ICMP: every
// node sees both, and no route or session suffers.
func (m *mesh) testProbes(t *testing.T) {
	node, narrow, mute := m.Node("gyliu-icp-1"), m.Node("gyliu-ubuntu-1"), m.Node("gyliu-ubuntu-2")
	must(t, m.Narrow(m.ctx, narrow, narrowed))
	m.probe(t, node, mute.Spec.Pods[0].String())
	m.waitStatus(t, m.Nodes(), "probes to tell the narrow link", func(n *lab.Node, s admin.Status) error {
		behind := 0
		switch {
		case n == narrow:
			behind = 3
		case n.Cluster != narrow.Cluster:
			behind = 1
		}
		return wantProbed(s, behind)
	})
	m.waitStatus(t, []*lab.Node{node}, "the pod to answer, and no guess to be a failure", func(_ *lab.Node, s admin.Status) error {
		a := s.Probe.Targets[1]
		if a.Kind != "address" || a.Answering != 1 || a.Failing != 0 || a.Silent != 3 {
			return fmt.Errorf("%+v", a)
		}
		return nil
	})
	s, err := ask[admin.Status](m.ctx, node, "status")
	must(t, err)
	path := s.Probe.Narrow[0].PathMTU
	m.checkWhyProbed(t, node, narrow, path)
	m.wantMetrics(t, node,
		`routed_probe_targets{cluster="cluster-2",kind="next_hop",state="answering"} 3`,
		`routed_probe_success{cluster="cluster-2",kind="next_hop",peer="9.111.255.77"} 1`,
		fmt.Sprintf(`routed_path_mtu_bytes{cluster="cluster-2",peer="9.111.255.77"} %d`, path),
		fmt.Sprintf(`routed_path_mtu_bytes{cluster="cluster-2",peer="9.111.255.152"} %d`, lab.LANMTU),
		`routed_pod_mtu_bytes 1500`, `routed_probe_possible 1`, `routed_probe_round_seconds 1`)

	must(t, mute.AnswerEcho(m.ctx, false))
	far := m.RemoteOf(mute)
	m.waitStatus(t, far, "probes to tell the node that does not answer", func(_ *lab.Node, s admin.Status) error {
		if !slices.Contains(codes(s), admin.CodeProbesFailing) || len(s.Probe.Failing) == 0 || s.Probe.Failing[0].Address != mute.Spec.Addr {
			return fmt.Errorf("%v, %+v", codes(s), s.Probe)
		}
		return nil
	})
	must(t, node.CheckMesh(m.ctx))
	must(t, mute.AnswerEcho(m.ctx, true))
	m.waitStatus(t, far, "the node to answer again", func(_ *lab.Node, s admin.Status) error {
		if len(s.Probe.Failing) > 0 {
			return fmt.Errorf("%+v", s.Probe.Failing)
		}
		return nil
	})
	for _, event := range []string{"probe-failing", "probe-answering"} {
		if logged(t, node, event) == 0 {
			t.Errorf("the log has no %s", event)
		}
	}
	must(t, m.Narrow(m.ctx, narrow, lab.LANMTU))
	for _, n := range m.Nodes() {
		n.EditRouted(nil)
		m.reload(t, n)
	}
	m.waitHealthy(t)
}

// wantProbed checks that a node's three next hops answer, and so many of them over a narrow link.
func wantProbed(s admin.Status, behind int) error {
	if s.Probe == nil || len(s.Probe.Targets) == 0 {
		return errors.New("nothing is probed yet")
	}
	hops := s.Probe.Targets[0]
	least, most := lab.LANMTU, lab.LANMTU
	if behind > 0 {
		least, most = narrowed, narrowedMost
	}
	if hops.Kind != "next_hop" || hops.Answering != 3 || hops.Narrow != behind || hops.PathMTU < least || hops.PathMTU > most ||
		s.Probe.PodMTU != lab.LANMTU {
		return fmt.Errorf("%+v of %+v, want 3 and %d over a path MTU of %d", hops, s.Probe, behind, least)
	}
	if told := slices.Contains(codes(s), admin.CodePathMTUSmall); told != (behind > 0) {
		return fmt.Errorf("problems %v", codes(s))
	}
	return nil
}

func (m *mesh) checkWhyProbed(t *testing.T, node, narrow *lab.Node, path int) {
	t.Helper()
	out, _, err := node.Routed(m.ctx, "why", narrow.Spec.Pods[0].String())
	must(t, err)
	if want := fmt.Sprintf("WARNING probe\n  %s answers ICMP echo, but the path MTU is %d", narrow.Spec.Addr, path); !strings.Contains(out, want) {
		t.Errorf("why says nothing of %q:\n%s", want, out)
	}
}

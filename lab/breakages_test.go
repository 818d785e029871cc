package lab_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"routed/admin"
	"routed/admin/text"
	"routed/lab"
	"routed/peering/roster/kube/kubetest"
)

// breakage is something that goes wrong around one node, and how an operator is told.
type breakage struct {
	name   string
	happen func(t *testing.T) (mend func()) // from then on it is so, until mended

	problem admin.Code // of `routed status` on the node
	about   []string   // what the problem's text must name
	alert   string     // which one fires for the node

	why []wayEnds
}

// wayEnds is what `routed why` says.
type wayEnds struct {
	ask    string          // the address
	step   string          // the first that is not good: broken, or where packets still get there, a warning
	state  admin.StepState // of that step
	says   string          // in it
	remedy string          // in its remedy
}

// noticeLimit is how long status, why and an alert may take to tell of a breakage, or that it is over.
const noticeLimit = 30 * time.Second

// TestBreakages breaks one thing after the other. Each time `routed status` on the node exits 1 and names it, `routed why`
// names the first step of the way that is not as it should be, and a Prometheus that goes by deploy/prometheus fires the
// right alert. Mended, all of that is over: no breakage knows of the one before.
func TestBreakages(t *testing.T) {
	lab.Need(t, lab.Prometheus, lab.Ping, lab.NFT)
	m := newMesh(t, lab.BIRD{Tool: birds()[0], Peering: lab.Dial})
	ctx, cancel := context.WithTimeout(t.Context(), 2*testTimeout)
	defer cancel()
	m.ctx = ctx
	node := m.Node("gyliu-icp-1")
	withAPI := m.haveItAll(t, node)
	m.coldStart(t, m.binary)
	p := m.startPrometheus(t, node, hasty())
	for _, b := range m.breakages(node) {
		t.Run(b.name, func(t *testing.T) { m.testBreakage(t, p, node, b) })
	}
	m.testPings(t)
	node.EditRouted(func(config string) string { return withAPI(config) + "probe: {interval: 1s, addresses: first}\n" })
	m.reload(t, node)
	m.wantDocumented(t, node)
	m.checkRaces(t)
}

// hasty has every alert fire, and be over, within seconds. What it fires on is as shipped.
func hasty() tempo {
	patience := regexp.MustCompile(`(?m)^( +for): [0-9]+[mh]$`)
	window := regexp.MustCompile(`\[[0-9]+[mh]\]`)
	return tempo{"500ms", func(content string) string {
		return window.ReplaceAllString(patience.ReplaceAllString(content, "$1: 500ms"), "[3s]")
	}}
}

// haveItAll has a node notice soon that another one does not answer, and its daemon have all that one can: the list of remote
// nodes comes from a Kubernetes API as well.
func (m *mesh) haveItAll(t *testing.T, node *lab.Node) (withAPI func(config string) string) {
	t.Helper()
	// The kernel holds a neighbour for reachable for half a minute (base_reachable_time_ms), and then asks for some seconds.
	const neighbor = "ipv4/neigh/eth0/"
	must(t, node.Sysctls(m.ctx, neighbor+"base_reachable_time_ms=1000", neighbor+"delay_first_probe_time=1", neighbor+"retrans_time_ms=200"))
	var api *kubetest.API
	must(t, node.Do(func() error {
		api = kubetest.Start(t)
		return nil
	}))
	for _, remote := range m.RemoteOf(node) {
		api.Put(remote.Spec.Name, remote.Spec.Addr.String())
	}
	kubeconfig := filepath.Join(node.Dir, "cluster-2.kubeconfig")
	must(t, os.WriteFile(kubeconfig, []byte(api.Kubeconfig("sesame")), 0o600))
	withAPI = func(config string) string {
		config = strings.Replace(config, "    nodes:\n", "    nodes:\n      kubernetes: {kubeconfig: "+kubeconfig+"}\n", 1)
		return config + "state: {directory: " + filepath.Join(node.Dir, "state") + "}\n"
	}
	node.EditRouted(withAPI)
	return withAPI
}

func (m *mesh) testBreakage(t *testing.T, p prometheus, node *lab.Node, b breakage) {
	t.Helper()
	mend := b.happen(t)
	t.Cleanup(func() {
		mend()
		m.waitHealthy(t)
		must(t, m.WaitMesh(m.ctx))
		p.wantAlert(m.ctx, t, "")
	})
	m.wantProblem(t, node, b)
	for _, w := range b.why {
		m.wantWhy(t, node, w)
	}
	p.wantAlert(m.ctx, t, b.alert, metricsAddress(node))
	b.wantExplained(t)
}

// wantExplained checks that docs/troubleshooting.md has the breakage, as it is told.
func (b breakage) wantExplained(t *testing.T) {
	t.Helper()
	page := readFile(t, "../docs/troubleshooting.md")
	want := []string{"| `" + string(b.problem) + "` | ", " " + b.alert, " " + string(b.problem) + "\n"}
	for _, w := range b.why {
		want = append(want, "\n"+strings.ToUpper(string(w.state))+" "+w.step+"\n")
	}
	for _, text := range want {
		if !strings.Contains(page, text) {
			t.Errorf("docs/troubleshooting.md does not have %q", text)
		}
	}
}

// wantProblem waits until `routed status` exits 1 and names the breakage.
func (m *mesh) wantProblem(t *testing.T, node *lab.Node, b breakage) {
	t.Helper()
	var s admin.Status
	_, err := lab.Within(m.ctx, noticeLimit, "status to name "+string(b.problem), func(ctx context.Context) (err error) {
		var exit int
		if s, exit, err = asked[admin.Status](ctx, node, "status"); err != nil {
			return err
		}
		i := slices.IndexFunc(s.Problems, func(p admin.Problem) bool { return p.Code == b.problem })
		if i < 0 || exit != 1 {
			return fmt.Errorf("exits %d, and the problems are %+v", exit, s.Problems)
		}
		for _, word := range b.about {
			if !strings.Contains(s.Problems[i].Text, word) {
				return fmt.Errorf("%q does not say %q", s.Problems[i].Text, word)
			}
		}
		return nil
	})
	must(t, err)
	var out strings.Builder
	must(t, text.Status(&out, s, text.Options{}))
	problems, _, _ := strings.Cut(out.String(), "\nTHIS NODE")
	t.Log("routed status\n" + problems)
}

// wantWhy waits until `routed why` names the step: broken with exit status 1, or as the only doubt about a way that is
// routed as wanted.
func (m *mesh) wantWhy(t *testing.T, node *lab.Node, w wayEnds) {
	t.Helper()
	var answer admin.Why
	_, err := lab.Within(m.ctx, noticeLimit, "why to name the step "+w.step, func(ctx context.Context) (err error) {
		var exit int
		if answer, exit, err = asked[admin.Why](ctx, node, "why", w.ask); err != nil {
			return err
		}
		broken := w.state == admin.StepBroken
		first := slices.IndexFunc(answer.Steps, func(s admin.Step) bool { return s.State == w.state })
		if first < 0 || (exit == 1) != broken || (answer.Broken() != nil) != broken {
			return fmt.Errorf("exits %d, and the steps are %+v", exit, answer.Steps)
		}
		s := answer.Steps[first]
		if s.Step != w.step || !strings.Contains(s.Why, w.says) || !strings.Contains(s.Remedy, w.remedy) {
			return fmt.Errorf("the first step that is %s is %+v", w.state, s)
		}
		return nil
	})
	must(t, err)
	var out strings.Builder
	must(t, text.Why(&out, answer, text.Options{}))
	t.Log("routed why " + w.ask + "\n" + out.String())
}

// wantAlert waits until an alert fires for one instance at least; an empty name: until none does for anybody.
func (p prometheus) wantAlert(ctx context.Context, t *testing.T, name string, instance ...string) {
	t.Helper()
	_, err := lab.Within(ctx, noticeLimit, "the alert "+name, func(ctx context.Context) error {
		alerts, err := p.query(ctx, `ALERTS{alertstate="firing"}`)
		if err != nil {
			return err
		}
		if name == "" && len(alerts) == 0 {
			return nil
		}
		for _, a := range alerts {
			if a.labels["alertname"] == name && slices.Contains(instance, a.labels["instance"]) {
				t.Log("alert", a.labels)
				return nil
			}
		}
		return fmt.Errorf("these fire: %v", alerts)
	})
	must(t, err)
}

// breakages are those of which an operator of the node must be told.
func (m *mesh) breakages(node *lab.Node) []breakage {
	const (
		remote  = "9.111.255.77"
		block   = "20.1.47.128/26"
		pod     = "20.1.47.150"
		outside = "20.2.9.0/26"
	)
	broken, warning := admin.StepBroken, admin.StepWarning
	other := m.Node("gyliu-ubuntu-1")
	return []breakage{
		{
			name: "BIRDStopped", happen: m.stopsBIRD(node),
			problem: admin.CodeBIRDDown, about: []string{"local BIRD " + node.Spec.Addr.String(), "1 block of this node"}, alert: "RoutedBIRDSessionDown",
			why: []wayEnds{
				{node.Spec.Pods[0].String(), "block", warning, "as its BIRD said until", "calico-node runs"},
				{pod, "return", warning, "the session with this node's BIRD was lost", "calico-node runs"},
			},
		},
		{
			name: "RemoteDaemonStopped", happen: m.stopsRouted(other),
			problem: admin.CodeNodesDown, about: []string{"gyliu-ubuntu-1 " + remote}, alert: "RoutedNodesDown",
			why: []wayEnds{{pod, "freshness", warning, "stale", "gyliu-ubuntu-1 " + remote}},
		},
		{
			name: "ForeignRoute", happen: m.routes(node, "replace", block, "via", "9.111.255.155", "proto", "static", "table", lab.RoutedTable),
			problem: admin.CodeRoutesConflict, about: []string{block}, alert: "RoutedRoutesConflict",
			why: []wayEnds{{pod, "table", broken, block + " via 9.111.255.155 dev eth0 proto static", "remove that route"}},
		},
		{
			name: "RuleDiverts", happen: m.diverts(node, "to", "20.1.0.0/16", "lookup", "main", "pref", "100"),
			problem: admin.CodeRoutesShadowed, about: []string{"3 routes"}, alert: "RoutedRoutesShadowed",
			why: []wayEnds{{pod, "lookup", broken, "by rule 100: to 20.1.0.0/16 lookup main", "a priority above 1790"}},
		},
		{
			name: "LinkDown", happen: m.linkDown(node),
			problem: admin.CodeRoutesUnresolved, about: []string{"eth0"}, alert: "RoutedRoutesUnresolved",
			why: []wayEnds{{pod, "route", broken, "next hop " + remote + " is on eth0, which is down", "ip link set eth0 up"}},
		},
		{
			name: "NextHopGone", happen: m.goesQuiet(node, other),
			problem: admin.CodeNodesDown, about: []string{"gyliu-ubuntu-1 " + remote, "hold timer"}, alert: "RoutedNodesDown",
			why: []wayEnds{{pod, "neighbor", broken, remote + " does not answer on eth0", "ip neigh show " + remote}},
		},
		{
			name: "OutsideItsRange", happen: m.announcesOutside(other, outside),
			problem: admin.CodeRejections, about: []string{outside, "outside"}, alert: "RoutedAnnouncementsRejected",
			why: []wayEnds{{"20.2.9.5", "cluster", broken, "no cluster's pod range holds it", "podCIDRs of that cluster"}},
		},
		{
			name: "ForwardingOff", happen: m.forwardsNot(node),
			problem: admin.CodeHostCheck, about: []string{"ip_forward"}, alert: "RoutedPreflightFailing",
			why: []wayEnds{{pod, "ip-forwarding", broken, "ip_forward", "sysctl"}},
		},
		{
			name: "Masquerade", happen: m.masquerades(node),
			problem: admin.CodeHostCheck, about: []string{"masquerade"}, alert: "RoutedPreflightFailing",
			why: []wayEnds{{pod, "masquerade", broken, "cali-nat-outgoing", "IPPool"}},
		},
		{
			name: "StrictReversePath", happen: m.asymmetric(node, "9.111.255.66/26"),
			problem: admin.CodeHostCheck, about: []string{"eth0"}, alert: "RoutedPreflightFailing",
			why: []wayEnds{{pod, "rp-filter", broken, "come in by eth0 while answers leave by eth1", "rp_filter"}},
		},
		{
			name: "KernelRefuses", happen: m.refuses(node, remote, block),
			problem: admin.CodeRoutesUnresolved, about: []string{block, "the kernel refused it"}, alert: "RoutedKernelErrors",
			why: []wayEnds{{pod, "table", broken, "the kernel refused it", "routed status"}},
		},
		{
			name: "BrakeOn", happen: m.brakes(),
			problem: admin.CodeWithdrawalsHeld, about: []string{"cluster-2", "3 of its 3 blocks"}, alert: "RoutedWithdrawalsHeld",
			why: []wayEnds{{pod, "freshness", warning, "withdrawn", "gyliu-ubuntu-1 " + remote}},
		},
	}
}

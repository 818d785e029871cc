package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routed/admin"
	"routed/admin/text"
	"routed/kernel"
	"routed/peering"
	"routed/peering/roster"
	"routed/peering/roster/kube/kubetest"
)

// fromAPI is the nodes of a remote that come from an API.
const fromAPI = "{kubernetes: {kubeconfig: credentials}}"

// newAPIRig is a rig whose remote's nodes come from an API that has these.
func newAPIRig(t *testing.T, a *kubetest.API, nodes string) *rig {
	t.Helper()
	r := newRig(t, nodes)
	r.write("credentials", a.Kubeconfig("sesame"))
	return r
}

// wantTrouble waits until the status says this of the API; "": nothing.
func (r *rig) wantTrouble(says string) *admin.Roster {
	r.t.Helper()
	var got *admin.Roster
	r.eventually(func() error {
		s, err := r.Status(r.t.Context())
		if err != nil {
			return err
		}
		got = s.Clusters[0].Roster
		if got == nil || (says == "") != (got.Error == "") || !strings.Contains(got.Error, says) {
			return fmt.Errorf("roster %+v, want the error %q", got, says)
		}
		return nil
	})
	return got
}

// kept is what is stored of the cluster for the next run.
func (r *rig) kept() string {
	r.t.Helper()
	nodes, err := roster.Store{Dir: r.state}.Load("cluster-2")
	if err != nil {
		return err.Error()
	}
	return inWords(nodes)
}

func inWords(nodes []roster.Node) string {
	var out []string
	for _, n := range nodes {
		out = append(out, n.Addr.String()+"="+n.Name)
	}
	return strings.Join(out, " ")
}

func TestPeersFromAnAPI(t *testing.T) {
	a := kubetest.Start(t)
	a.Put("a", nodeA, "fd00::77") // this node has no IPv6
	r := newAPIRig(t, a, "{addresses: ["+nodeC+"], kubernetes: {kubeconfig: credentials}}").start()
	r.wantPeers(nodeA, nodeC)
	a.Put("b", nodeB)
	r.wantPeers(nodeA, nodeB, nodeC)
	if got, want := r.speaker.names(), nodeB+"=b "+nodeC+"= "+nodeA+"=a"; got != want {
		t.Errorf("peers %s, want %s", got, want)
	}
	a.Remove("a")
	r.wantPeers(nodeB, nodeC)
	r.eventually(func() error {
		if s := r.wantTrouble(""); s.Server != a.URL() || s.LastSuccess.IsZero() || s.Addresses != 1 {
			return fmt.Errorf("status %+v", s)
		}
		return nil
	})
	if diff := cmp.Diff(map[string]int{"9.111.255.21": 1, nodeA: 2, nodeB: 1, nodeC: 1}, r.speaker.taken()); diff != "" {
		t.Errorf("sessions touched: %s", diff)
	}
	if got, want := r.kept(), nodeB+"=b"; got != want {
		t.Errorf("kept %q, want %q", got, want)
	}
}

// An API that lists nothing, or nonsense, costs its cluster the change and nobody else anything.
func TestAListThatCannotBeUsed(t *testing.T) {
	a := kubetest.Start(t)
	a.Put("a", nodeA)
	r := newAPIRig(t, a, fromAPI).start()
	r.wantPeers(nodeA)
	r.wantTrouble("")
	calls, kept := r.speaker.called(), r.kept()
	a.Forget()
	s := r.wantTrouble("the API lists no node")
	if s.Since.IsZero() || s.LastSuccess.After(s.Since) || s.Addresses != 1 {
		t.Errorf("status %+v", s)
	}
	for addr, why := range map[string]string{
		"9.111.255.21": "this node's own address", "20.1.0.9": "lies inside 20.1.0.0/16", "10.1.0.9": "lies inside 10.1.0.0/16",
	} {
		a.Put("b", addr)
		r.wantTrouble(why)
	}
	if r.speaker.called() != calls || r.kept() != kept {
		t.Error("something changed")
	}
	a.Put("b", nodeB)
	r.wantPeers(nodeB)
	r.wantTrouble("")
}

// A list that was refused for what the configuration said is judged again when that changes.
func TestARefusedListIsJudgedAgain(t *testing.T) {
	a := kubetest.Start(t)
	a.Put("a", nodeD)
	r := newAPIRig(t, a, fromAPI)
	const other = "  - {name: cluster-3, podCIDRs: [30.1.0.0/16], nodes: {addresses: [%s]}}\n"
	r.write("routed.yaml", fmt.Sprintf(rigConfig, fromAPI)+fmt.Sprintf(other, nodeD))
	r.start()
	r.wantTrouble(nodeD + " is also a node of cluster-")
	r.wantPeers(nodeD)
	r.write("routed.yaml", fmt.Sprintf(rigConfig, fromAPI)+fmt.Sprintf(other, nodeC))
	r.wantPeers(nodeC, nodeD)
	r.wantTrouble("")
}

// While an API is away the daemon starts and serves: with the list that was kept, with the nodes that routes in the
// kernel lead to, or with neither; and none of the routes that an earlier run left is lost over it.
func TestStartWhileTheAPIIsAway(t *testing.T) {
	left := []kernel.Route{
		{Prefix: testBlock, NextHop: netip.MustParseAddr(nodeA)},
		{Prefix: netip.MustParsePrefix("40.1.0.0/26"), NextHop: netip.MustParseAddr(nodeC)}, // of no remote
	}
	for _, tc := range []struct {
		name, kept string
		left       []kernel.Route
		peers      []string
	}{
		{"nothing known", "", nil, nil},
		{"a list kept", nodeB + " b\n", nil, []string{nodeB}},
		{"routes in the kernel", "", left, []string{nodeA}},
		{"both", nodeA + " a\n" + nodeB + " b\n", left, []string{nodeA, nodeB}},
		{"a list that is broken", "\x00", left, []string{nodeA}},
		{"a list of nonsense", "9.111.255.21 ourselves\n", nil, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := kubetest.Start(t)
			a.Put("c", nodeC)
			r := newAPIRig(t, a, fromAPI)
			a.Stop()
			if tc.kept != "" {
				must(t, os.Mkdir(r.state, 0o755))
				r.write(filepath.Join("state", "cluster-2.hosts"), tc.kept)
			}
			r.start(tc.left...)
			r.wantTrouble("connection refused")
			r.wantPeers(tc.peers...)
			want := map[netip.Prefix]netip.Addr{}
			if tc.left != nil {
				want[testBlock] = netip.MustParseAddr(nodeA)
			}
			if diff := cmp.Diff(fmt.Sprint(want), fmt.Sprint(r.kernel.wanted())); diff != "" {
				t.Errorf("wanted in the kernel: %s", diff)
			}
			a.Resume()
			r.wantPeers(nodeC)
			r.wantTrouble("")
			if got := r.kept(); got != nodeC+"=c" {
				t.Errorf("kept %q", got)
			}
		})
	}
}

// The start's list ends with the first answer: who is not in it loses the routes that were left.
func TestTheFirstAnswerEndsWhatWasLeft(t *testing.T) {
	a := kubetest.Start(t)
	a.Put("a", nodeA)
	r := newAPIRig(t, a, fromAPI)
	a.Stop()
	gone := netip.MustParsePrefix("20.1.99.0/26")
	r.start(kernel.Route{Prefix: testBlock, NextHop: netip.MustParseAddr(nodeA)}, kernel.Route{Prefix: gone, NextHop: netip.MustParseAddr(nodeB)})
	r.wantPeers(nodeA, nodeB)
	a.Resume()
	r.wantPeers(nodeA)
	if got := fmt.Sprint(r.kernel.wanted()); got != fmt.Sprint(map[netip.Prefix]netip.Addr{testBlock: netip.MustParseAddr(nodeA)}) {
		t.Errorf("wanted %s", got)
	}
}

// Credentials that are rotated take effect; until then the outage is told, and after it no session has been touched.
func TestRotatedCredentials(t *testing.T) {
	a := kubetest.Start(t)
	a.Put("a", nodeA)
	r := newAPIRig(t, a, fromAPI).start()
	r.wantPeers(nodeA)
	r.wantTrouble("")
	r.speaker.taken()
	a.Behave(func(how *kubetest.Behaviour) { how.Token = "new" })
	a.Cut()
	r.wantTrouble("Unauthorized")
	r.wantPeers(nodeA)
	r.write("credentials", a.Kubeconfig("new"))
	r.wantTrouble("")
	if touched := r.speaker.taken(); len(touched) != 0 {
		t.Errorf("touched %v", touched)
	}
	a.Put("b", nodeB)
	r.wantPeers(nodeA, nodeB)
	r.reloaded(func() { r.write("credentials", "kind: Config\n") })
	if s := r.settings.status(); s.LastReloadOK || !strings.Contains(s.LastReloadError, "remotes[0].nodes.kubernetes") {
		t.Errorf("%+v", s)
	}
	a.Remove("b")
	r.wantPeers(nodeA) // with the credentials from before
}

// A reload that changes nothing of an API leaves its watch alone.
func TestAReloadLeavesTheWatchAlone(t *testing.T) {
	a := kubetest.Start(t)
	a.Put("a", nodeA)
	r := newAPIRig(t, a, fromAPI).onHangupOnly().start()
	r.wantPeers(nodeA)
	r.wantTrouble("")
	watched := func(q url.Values) bool { return q.Has("watch") }
	r.eventually(func() error {
		if !slices.ContainsFunc(a.Asked(), watched) {
			return errors.New("nobody watches yet")
		}
		return nil
	})
	asked := len(a.Asked())
	for i := range 20 {
		r.reloaded(func() {
			r.write("routed.yaml", fmt.Sprintf(rigConfig, fromAPI)+fmt.Sprintf("    limits: {prefixes: %d}\n", 100+i))
			r.hangup()
		})
	}
	a.Put("b", nodeB)
	r.wantPeers(nodeA, nodeB)
	if now := len(a.Asked()); now != asked {
		t.Errorf("asked %d times more", now-asked)
	}
}

// A remote that goes takes what is kept of it along; one that comes begins with the list kept under its name.
func TestRemotesWithAnAPIComeAndGo(t *testing.T) {
	a := kubetest.Start(t)
	a.Put("a", nodeA)
	r := newAPIRig(t, a, fromAPI).onHangupOnly().start()
	r.wantPeers(nodeA)
	reload := func(text string) {
		t.Helper()
		r.reloaded(func() {
			r.write("routed.yaml", text)
			r.hangup()
		})
		if s := r.settings.status(); !s.LastReloadOK {
			t.Fatal(s.LastReloadError)
		}
	}
	whole := fmt.Sprintf(rigConfig, fromAPI)
	none, _, _ := strings.Cut(whole, "remotes:")
	reload(none)
	r.wantPeers()
	if got := r.kept(); !strings.Contains(got, "no such file") {
		t.Errorf("kept %q of a remote that is gone", got)
	}
	r.eventually(func() error {
		if n := a.Watching(); n != 0 {
			return fmt.Errorf("%d watches of a remote that is gone", n)
		}
		return nil
	})
	a.Stop()
	r.write(filepath.Join("state", "cluster-2.hosts"), nodeB+" b\n")
	reload(whole)
	r.wantPeers(nodeB)
	reload(strings.Replace(whole, "directory: state", "directory: elsewhere", 1))
	r.state = filepath.Join(r.dir, "elsewhere")
	if got := r.kept(); got != nodeB+"=b" {
		t.Errorf("kept %q in the new directory", got)
	}
	a.Resume()
	r.wantPeers(nodeA)
}

func TestCheckAsksTheAPIs(t *testing.T) {
	a := kubetest.Start(t)
	r := newAPIRig(t, a, fromAPI)
	meaning := func() (string, error) {
		l, err := ask(func() (facts, error) { return r.host, nil }).load(t.Context(), r.config)
		must(t, err)
		answers := askAPIs(t.Context(), l.sources.apis)
		who, err := l.resolve(answers.lists())
		if err != nil {
			return "", err
		}
		var out strings.Builder
		err = text.Pairs(&out, text.Options{}, meaningOf(r.config, l.cfg, who, answers))
		return out.String(), err
	}
	for _, step := range []struct {
		name, says string
		change     func()
	}{
		{"no node", "lists no node", func() {}},
		{"two", a.URL() + " lists 2 addresses of nodes", func() { a.Put("a", nodeA); a.Put("b", nodeB) }},
		{"another token", "Unauthorized; a running daemon goes on", func() { a.Behave(func(how *kubetest.Behaviour) { how.Token = "new" }) }},
		{"away", "connection refused; a running daemon goes on", a.Stop},
	} {
		step.change()
		if out, err := meaning(); err != nil || !strings.Contains(out, step.says) {
			t.Errorf("%s: %v, want %q in:\n%s", step.name, err, step.says, out)
		}
	}
	a.Resume()
	a.Behave(func(how *kubetest.Behaviour) { how.Token = "sesame" })
	a.Put("a", "9.111.255.21")
	if _, err := meaning(); err == nil || !strings.Contains(err.Error(), "this node's own address") {
		t.Errorf("our own address among the nodes: %v", err)
	}
}

// Lists of a source that is followed no more change nothing.
func TestRostersIgnoreTheFormerSource(t *testing.T) {
	a := kubetest.Start(t)
	r := newAPIRig(t, a, fromAPI)
	l, err := ask(func() (facts, error) { return r.host, nil }).load(t.Context(), r.config)
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	all := newRosters(discard())
	all.follow(ctx, l.sources.apis, nil)
	former := all.m["cluster-2"].source
	r.write("credentials", a.Kubeconfig("other"))
	l, err = ask(func() (facts, error) { return r.host, nil }).load(t.Context(), r.config)
	must(t, err)
	all.follow(ctx, l.sources.apis, nil)
	all.give("cluster-2", former, []roster.Node{{Addr: netip.MustParseAddr(nodeA)}})
	if got := all.given(); len(got) != 0 {
		t.Errorf("given %v", got)
	}
	cancel()
	all.wait()
	if all.refuse("nobody", errors.New("x"), time.Now()) {
		t.Error("a list of nobody was refused")
	}
}

func TestNodesOfRoutes(t *testing.T) {
	cfg := parse(t, "{dial: 127.0.0.1:179}", "{addresses: [9.111.255.77]}")
	route := func(prefix, hop string) kernel.Route {
		return kernel.Route{Prefix: netip.MustParsePrefix(prefix), NextHop: netip.MustParseAddr(hop)}
	}
	got := nodesOf(cfg.Remotes[0], []kernel.Route{
		route("20.1.0.0/26", nodeB), route("20.1.1.0/26", nodeA), route("20.1.2.0/26", nodeB), route("20.0.0.0/8", nodeC),
		route("30.1.0.0/26", nodeD), route("20.1.3.0/26", "127.0.0.1"), route("fd00::/64", "fd00::1"),
	})
	if inWords(got) != nodeA+"= "+nodeB+"=" {
		t.Errorf("nodes %s", inWords(got))
	}
	if d := peering.FamilyOf(got[0].Addr); d != peering.IPv4 {
		t.Error(d)
	}
}

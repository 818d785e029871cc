package main

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap/zapcore"

	"github.com/google/go-cmp/cmp"

	"routed/peering"
)

// A reload touches the sessions whose parameters changed and no other, whatever else changes with it.
func TestReloadTouchesOnlyWhatChanged(t *testing.T) {
	r := newRig(t, "{hostsFile: hosts}").onHangupOnly().start()
	r.wantPeers(nodeA, nodeB)
	r.speaker.taken()
	const third = "  - {name: cluster-3, podCIDRs: [30.1.0.0/16], nodes: {addresses: [" + nodeD + "]}%s}\n"
	base := fmt.Sprintf(rigConfig, "{hostsFile: hosts}")
	for _, step := range []struct {
		name, config, hosts string
		touched             map[string]int
	}{
		{"nothing", base, nodeA + " a\n" + nodeB + " b\n", map[string]int{}},
		{"a comment", base + "# what for\n", nodeA + " a\n" + nodeB + " b\n", map[string]int{}},
		{"a node more", base, nodeA + " a\n" + nodeB + " b\n" + nodeC + " c\n", map[string]int{nodeC: 1}},
		{"another name", base, nodeA + " z\n" + nodeB + " b\n" + nodeC + " c\n", map[string]int{}},
		{"the file as ICP has it", base, "[worker]\n" + nodeA + "\n" + nodeB + "\n[va]\n" + nodeC + " x=y\n", map[string]int{}},
		{"a node less", base, nodeA + "\n" + nodeC + "\n", map[string]int{nodeB: 1}},
		{"a cluster more", base + fmt.Sprintf(third, ""), nodeA + "\n" + nodeC + "\n", map[string]int{nodeD: 1}},
		{"its limits", base + fmt.Sprintf(third, ", limits: {prefixes: 7}"), nodeA + "\n" + nodeC + "\n", map[string]int{}},
		{"its block lengths", base + fmt.Sprintf(third, ", blockLengths: {ipv4: [24, 26]}"), nodeA + "\n" + nodeC + "\n", map[string]int{}},
		{"its AS", base + fmt.Sprintf(third, ", asn: 65001"), nodeA + "\n" + nodeC + "\n", map[string]int{nodeD: 1}},
		{"its port, and a node", base + fmt.Sprintf(third, ", asn: 65001, port: 1791"), nodeA + "\n", map[string]int{nodeD: 1, nodeC: 1}},
		{"retention, log level, what happens on exit", base + fmt.Sprintf(third, ", asn: 65001, port: 1791") + "mesh: {retention: 2h}\nlog: {level: debug}\nkernel: {onExit: flush}\n", nodeA + "\n", map[string]int{}},
		{"a cluster less", base, nodeA + "\n", map[string]int{nodeD: 1}},
	} {
		r.reloaded(func() {
			r.write("hosts", step.hosts)
			r.write("routed.yaml", step.config)
			r.hangup()
		})
		r.settled()
		if s := r.settings.status(); !s.LastReloadOK {
			t.Fatalf("%s: refused: %s", step.name, s.LastReloadError)
		}
		if diff := cmp.Diff(step.touched, r.speaker.taken()); diff != "" {
			t.Errorf("%s: sessions touched (-want +got):\n%s", step.name, diff)
		}
	}
}

// settled waits until the loop has carried out what it was last asked, and the watcher has nothing to tell.
func (r *rig) settled() {
	r.t.Helper()
	if err := r.loop.do(r.t.Context(), func(time.Time) {}); err != nil {
		r.t.Fatal(err)
	}
}

// A hundred reloads while blocks come and go: the session of a node that stays is never touched, and no route of it is
// lost on the way.
func TestHundredReloads(t *testing.T) {
	r := newRig(t, "{hostsFile: hosts}").onHangupOnly().start()
	r.wantPeers(nodeA, nodeB)
	r.speaker.taken()
	a := netip.MustParseAddr(nodeA)
	r.loop.feed(peering.Update{Peer: a, Session: peering.SessionUp, Families: peering.IPv4, Announce: announce(a, testBlock)})
	for i := range 100 {
		nodes := nodeA + " a\n"
		if i%2 == 1 {
			nodes += nodeB + " b\n"
		}
		moving := netip.PrefixFrom(netip.AddrFrom4([4]byte{20, 1, byte(i), 0}), 26)
		r.loop.feed(peering.Update{Peer: a, Announce: announce(a, moving)})
		r.reloaded(func() {
			r.write("hosts", nodes)
			r.write("routed.yaml", fmt.Sprintf(rigConfig, "{hostsFile: hosts}")+fmt.Sprintf("    limits: {prefixes: %d}\n", 1000+i))
			r.hangup()
		})
		r.loop.feed(peering.Update{Peer: a, Withdraw: []netip.Prefix{moving}})
		if got := r.kernel.wanted(); got[testBlock] != a {
			t.Fatalf("after %d reloads: %v", i, got)
		}
	}
	r.wantPeers(nodeA, nodeB)
	touched := r.speaker.taken()
	if touched[nodeA] != 0 || touched[nodeB] != 100 || len(touched) != 1 {
		t.Errorf("sessions touched %v, want that of the node that came and went, a hundred times", touched)
	}
}

// What cannot be used changes nothing, is told, and is tried again when any file of it changes, not only one that the
// configuration in force names.
func TestRefusedReload(t *testing.T) {
	r := newRig(t, "{hostsFile: hosts}").start()
	r.wantPeers(nodeA, nodeB)
	before, calls := r.settings.loaded(), r.speaker.called()
	for _, tc := range []struct{ name, config, hosts, says string }{
		{"a broken line", fmt.Sprintf(rigConfig, "{hostsFile: hosts}"), nodeA + "\nnonsense\n", "hosts:2"},
		{"an unknown key", fmt.Sprintf(rigConfig, "{hostsFile: hosts}") + "nonsense: 1\n", nodeA + "\n", "nonsense"},
		{"what needs a restart", fmt.Sprintf(rigConfig, "{hostsFile: hosts}") + "listen: {port: 1}\nkernel: {table: 1791}\n", nodeA + "\n", "listen, kernel.table: changed"},
		{"no node", fmt.Sprintf(rigConfig, "{hostsFile: hosts}"), "# all gone\n", "lists no node"},
		{"a file that is not there", fmt.Sprintf(rigConfig, "{hostsFile: other}"), nodeA + "\n", "other: no such file"},
	} {
		r.reloaded(func() {
			r.write("hosts", tc.hosts)
			r.write("routed.yaml", tc.config)
		})
		r.eventually(func() error { // the two files may have been two reloads
			s := r.settings.status()
			if s.LastReloadOK || !strings.Contains(s.LastReloadError, tc.says) {
				return fmt.Errorf("%s: %+v", tc.name, s)
			}
			return nil
		})
		if r.settings.loaded() != before || r.speaker.called() != calls || r.settings.status().LastSuccessAt.IsZero() {
			t.Errorf("%s: something changed", tc.name)
		}
	}
	r.write("other", nodeC+"\n")
	r.wantPeers(nodeC)
	r.eventually(func() error {
		if s := r.settings.status(); !s.LastReloadOK || s.LastReloadError != "" {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
}

// The configuration and its files as a ConfigMap's volume: what changes is ..data.
func TestReloadOfAConfigMap(t *testing.T) {
	r := newRig(t, "{hostsFile: hosts}")
	version := 0
	update := func(hosts string) {
		version++
		name := fmt.Sprintf("..2026_11_24_06_00_%02d", version)
		r.write("hosts.new", hosts)
		must(t, os.Mkdir(filepath.Join(r.dir, name), 0o755))
		must(t, os.Rename(filepath.Join(r.dir, "hosts.new"), filepath.Join(r.dir, name, "hosts")))
		must(t, os.WriteFile(filepath.Join(r.dir, name, "routed.yaml"), []byte(fmt.Sprintf(rigConfig, "{hostsFile: hosts}")), 0o600))
		must(t, os.Symlink(name, filepath.Join(r.dir, "..data_tmp")))
		must(t, os.Rename(filepath.Join(r.dir, "..data_tmp"), filepath.Join(r.dir, "..data")))
	}
	update(nodeA + "\n")
	for _, f := range []string{"hosts", "routed.yaml"} {
		must(t, os.Remove(filepath.Join(r.dir, f)))
		must(t, os.Symlink(filepath.Join("..data", f), filepath.Join(r.dir, f)))
	}
	r.start()
	r.wantPeers(nodeA)
	update(nodeA + "\n" + nodeB + "\n")
	r.wantPeers(nodeA, nodeB)
	update(nodeB + "\n")
	r.wantPeers(nodeB)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A reload while a link happens to be down must not take the nodes behind it for far ones: that would end their sessions.
func TestReloadWhileALinkIsDown(t *testing.T) {
	r := newRig(t, "{hostsFile: hosts}").start()
	r.wantPeers(nodeA, nodeB)
	r.speaker.taken()
	r.host.linkUp(false)
	r.reloaded(func() { r.write("hosts", nodeA+"\n"+nodeB+"\n"+nodeC+"\n") })
	r.wantPeers(nodeA, nodeB, nodeC)
	if diff := cmp.Diff(map[string]int{nodeC: 1}, r.speaker.taken()); diff != "" {
		t.Error(diff)
	}
	// What the configuration says counts all the same.
	r.reloaded(func() { r.write("routed.yaml", fmt.Sprintf(rigConfig, "{hostsFile: hosts}")+"    maxHops: 3\n") })
	r.settled()
	if touched := r.speaker.taken(); len(touched) != 3 {
		t.Errorf("touched %v, want all three", touched)
	}
}

// The retention of a reload holds for what is stale already.
func TestRetentionFollowsTheConfiguration(t *testing.T) {
	r := newRig(t, "{hostsFile: hosts}").start()
	r.wantPeers(nodeA, nodeB)
	a := netip.MustParseAddr(nodeA)
	r.loop.feed(peering.Update{Peer: a, Session: peering.SessionUp, Families: peering.IPv4, Announce: announce(a, testBlock), EndOfRIB: peering.IPv4})
	r.loop.feed(peering.Update{Peer: a, Session: peering.SessionDown, Reason: "gone"})
	r.eventually(func() error {
		if got := r.kernel.wanted(); got[testBlock] != a {
			return fmt.Errorf("wanted %v", got)
		}
		return nil
	})
	r.reloaded(func() { r.write("routed.yaml", fmt.Sprintf(rigConfig, "{hostsFile: hosts}")+"mesh: {retention: 1s}\n") })
	r.eventually(func() error {
		if got := r.kernel.wanted(); len(got) != 0 {
			return fmt.Errorf("wanted %v", got)
		}
		return nil
	})
}

func TestLogLevelFollowsTheConfiguration(t *testing.T) {
	r := newRig(t, "{hostsFile: hosts}").start()
	text := fmt.Sprintf(rigConfig, "{hostsFile: hosts}") + "log: {level: error}\n"
	r.reloaded(func() { r.write("routed.yaml", text) })
	if got := r.level.Level(); got != zapcore.ErrorLevel {
		t.Errorf("level %v, want error", got)
	}
	fixed := logLevel{AtomicLevel: r.level.AtomicLevel, fixed: true}
	fixed.follow(parse(t, "{dial: 127.0.0.1:179}", "{addresses: [9.111.255.77]}"))
	if got := fixed.Level(); got != zapcore.ErrorLevel {
		t.Errorf("the configuration changed the level that the flag gave to %v", got)
	}
}

func TestHangupsAreHeard(t *testing.T) {
	c := hangups()
	must(t, syscall.Kill(os.Getpid(), syscall.SIGHUP))
	select {
	case <-c:
	case <-time.After(30 * time.Second):
		t.Fatal("SIGHUP was not delivered")
	}
}

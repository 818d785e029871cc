package lab_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"routed/admin"
	"routed/lab"
)

// hostileTopology is our node, a healthy one of another cluster, two that misbehave, and one that nobody knows.
func hostileTopology() lab.Topology {
	node := func(name, addr string) lab.NodeSpec { return lab.NodeSpec{Name: name, Addr: netip.MustParseAddr(addr)} }
	cluster := func(name, pods string, asn uint32, nodes ...lab.NodeSpec) lab.ClusterSpec {
		return lab.ClusterSpec{Name: name, ASN: asn, PodCIDR: netip.MustParsePrefix(pods), Nodes: nodes}
	}
	first := node("ours", ourNode)
	first.Blocks = []netip.Prefix{netip.MustParsePrefix(ourBlock)}
	return lab.Topology{
		LAN: netip.MustParsePrefix("9.111.255.0/24"),
		Clusters: []lab.ClusterSpec{
			cluster("cluster-1", "10.1.0.0/16", lab.CalicoASN, first),
			cluster("bird", "40.1.0.0/16", lab.CalicoASN, node("bird", "9.111.255.40")),
			cluster("wild", "60.1.0.0/16", 64513, node("wild", "9.111.255.60"), node("flood", "9.111.255.61")),
			cluster("signed", "70.1.0.0/16", 64513, node("unsigned", "9.111.255.70")),
			cluster("nobody", "80.1.0.0/16", 64513, node("stranger", "9.111.255.80")),
		},
	}
}

// hostileConfig is without the guard: the speaker holds its own.
func hostileConfig(socket string) string {
	return fmt.Sprintf(`cluster: {name: cluster-1, podCIDRs: [10.1.0.0/16], serviceCIDRs: [10.0.0.0/24], asn: 64512}
node: {address: %s}
bird: {dial: "127.0.0.1:179"}
listen: {guard: none}
remotes:
  - {name: bird, podCIDRs: [40.1.0.0/16], asn: 64512, port: 179, nodes: {addresses: [9.111.255.40]}}
  - {name: wild, podCIDRs: [60.1.0.0/16], asn: 64513, nodes: {addresses: [9.111.255.60, 9.111.255.61]}}
  - {name: signed, podCIDRs: [70.1.0.0/16], asn: 64513, password: secret, nodes: {addresses: [9.111.255.70]}}
metrics: {listen: "127.0.0.1:9790"}
admin: {socket: %s}
`, ourNode, socket)
}

// TestHostilePeers has peers say what they must not, and others connect who must not: each is refused for its exact reason,
// which `routed peers` and the metrics tell, no route comes of it, and the session beside it does not notice.
func TestHostilePeers(t *testing.T) {
	lab.Need(t, lab.BIRD2)
	o := startOurs(t, hostileTopology(), hostileConfig)
	healthy := foreignBIRD(o.Network)
	must(t, healthy.begin(o.ctx, false))
	t.Cleanup(func() { _ = healthy.Kill(context.WithoutCancel(o.ctx)) })
	must(t, o.wantPeer(o.ctx, healthy, false))
	t.Run("Announcements", o.testHostileAnnouncements)
	t.Run("Connections", o.testHostileConnections)
	o.wantUndisturbed(t, healthy)
	(&mesh{Network: o.Network}).checkRaces(t)
}

// wantUndisturbed checks that the session with a healthy peer is as it was, and so are its routes.
func (o *ours) wantUndisturbed(t *testing.T, healthy *foreignPeer) {
	t.Helper()
	p, err := o.peer(o.ctx, healthy.Spec.Addr)
	must(t, err)
	if !p.Up || p.Flaps != 0 {
		t.Errorf("the healthy session was disturbed: %+v", p)
	}
	must(t, o.wantRoutes(o.ctx, healthy, healthy.kept, healthy.extra))
}

// open opens a raw session as soon as it is taken.
func (o *ours) open(t *testing.T, from string) *rawPeer {
	t.Helper()
	var p *rawPeer
	must(t, lab.WaitFor(o.ctx, "a raw session", func(ctx context.Context) error {
		var err error
		p, err = openRaw(ctx, o.Network.Node(from), o.Node)
		return err
	}))
	t.Cleanup(p.close)
	return p
}

func (o *ours) testHostileAnnouncements(t *testing.T) {
	p := o.open(t, "wild")
	const wild = "9.111.255.60"
	for _, tc := range []struct {
		name, prefix, nextHop string
		asPath                []uint32
		reason                string
	}{
		{"a default route", "0.0.0.0/0", wild, []uint32{64513}, "default_route"},
		{"our range", "10.1.77.0/26", wild, []uint32{64513}, "own_pod_cidrs"},
		{"our block", ourBlock, wild, []uint32{64513}, "own_pod_cidrs"},
		{"our services", "10.0.0.0/26", wild, []uint32{64513}, "own_service_cidrs"},
		{"the range of another cluster", "40.1.0.0/26", wild, []uint32{64513}, "outside_pod_cidrs"},
		{"the next hop of another node", "60.1.0.0/26", "9.111.255.61", []uint32{64513}, "next_hop_not_peer"},
		{"our node as the next hop", "60.1.1.0/26", ourNode, []uint32{64513}, "own_address"},
		{"a /8", "60.0.0.0/8", wild, []uint32{64513}, "outside_pod_cidrs"},
		{"the whole range", "60.1.0.0/16", wild, []uint32{64513}, "prefix_length"},
		{"a /32 outside", "61.1.0.1/32", wild, []uint32{64513}, "outside_pod_cidrs"},
		{"our AS in the path", "60.1.2.0/26", wild, []uint32{64513, 64512}, "as_loop"},
		{"another AS first", "60.1.3.0/26", wild, []uint32{64514}, "first_as_not_peer"},
		{"a pod on loopback", "127.1.0.0/26", wild, []uint32{64513}, "martian_prefix"},
	} {
		before := o.rejections(t, wild, tc.reason)
		must(t, p.announce(netip.MustParseAddr(tc.nextHop), tc.asPath, netip.MustParsePrefix(tc.prefix)))
		_, err := lab.Within(o.ctx, repairLimit, tc.name+" to be refused", func(ctx context.Context) error {
			peer, err := o.peer(ctx, netip.MustParseAddr(wild))
			if err != nil {
				return err
			}
			if len(peer.LastRejected) == 0 {
				return errors.New("nothing was refused")
			}
			last := peer.LastRejected[len(peer.LastRejected)-1]
			if last.Prefix.String() != tc.prefix || last.Reason != tc.reason || countOf(peer.Rejected, tc.reason) != before+1 {
				return fmt.Errorf("%+v, %v", last, peer.Rejected)
			}
			return nil
		})
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
	o.wantMetric(t, `routed_bgp_prefixes_rejected_total{cluster="wild",reason="outside_pod_cidrs"} 3`)
	o.wantMetric(t, `routed_bgp_prefixes_rejected_total{cluster="wild",reason="as_loop"} 1`)
	good := netip.MustParsePrefix("60.1.4.0/26")
	must(t, p.announce(netip.MustParseAddr(wild), []uint32{64513}, good))
	var many []netip.Prefix
	for i := range 300 {
		many = append(many, netip.PrefixFrom(netip.AddrFrom4([4]byte{60, 1, byte(8 + i>>8), byte(i)}), 32))
	}
	p = o.open(t, "flood")
	must(t, p.announce(netip.MustParseAddr("9.111.255.61"), []uint32{64513}, many...))
	must(t, lab.WaitFor(o.ctx, "the limit of a node", func(context.Context) error {
		if n := o.rejections(t, "9.111.255.61", "limit_prefixes_per_node"); n != 44 {
			return fmt.Errorf("%d refused", n)
		}
		return nil
	}))
	must(t, o.wantRoutes(o.ctx, &foreignPeer{Reflector: o.Network.Node("wild").Foreign(lab.BIRD2, "")}, good))
}

// rejections is how often an announcement of a peer was refused for a reason.
func (o *ours) rejections(t *testing.T, peer, reason string) uint64 {
	t.Helper()
	p, err := o.peer(o.ctx, netip.MustParseAddr(peer))
	must(t, err)
	return countOf(p.Rejected, reason)
}

func countOf(counts []admin.Count, name string) uint64 {
	for _, c := range counts {
		if c.Name == name {
			return c.Count
		}
	}
	return 0
}

func (o *ours) wantMetric(t *testing.T, line string) {
	t.Helper()
	all, err := scrape(o.ctx, o.Namespace)
	must(t, err)
	if !strings.Contains(all, line+"\n") {
		t.Errorf("the metrics do not say %s:\n%s", line, all)
	}
}

// testHostileConnections: whoever may not speak with us does not get as far as a session.
func (o *ours) testHostileConnections(t *testing.T) {
	for _, tc := range []struct {
		name, from string
		ttl        int
		answered   bool
	}{
		{"a listed node, two hops away", "flood", 254, false},
		{"a node with a password, unsigned", "unsigned", 255, false},
		{"nobody we know, two hops away", "stranger", 64, false},
		{"nobody we know, on our subnet", "stranger", 255, true}, // and closed; with the guard not even that
	} {
		conn, err := dialRaw(o.ctx, o.Network.Node(tc.from), o.Node, tc.ttl)
		if (err == nil) != tc.answered {
			t.Errorf("%s: %v, answered: want %v", tc.name, err, tc.answered)
		}
		if err != nil {
			continue
		}
		if _, err := conn.Write(rawMessage(bgpOpen, nil)); err != nil {
			t.Error(err)
		}
		if typ, err := readRaw(conn, repairLimit); err == nil {
			t.Errorf("%s: got a message of type %d", tc.name, typ)
		}
		_ = conn.Close()
	}
	p, err := o.peer(o.ctx, netip.MustParseAddr("9.111.255.70"))
	must(t, err)
	if p.Up || p.DownReason == "" {
		t.Errorf("the peer with a password: %+v", p)
	}
	t.Logf("the peer with a password is %s: %s", p.State, p.DownReason)
}

// TestFlood, on demand (make flood): a peer announces a million prefixes. Each is refused, the session stays, and nobody else
// notices. What it costs a daemon without the race detector is logged.
func TestFlood(t *testing.T) {
	if os.Getenv("ROUTED_FLOOD") == "" {
		t.Skip("a million prefixes: make flood")
	}
	lab.Need(t, lab.BIRD2)
	const flood = 1_000_000
	binary := filepath.Join(t.TempDir(), "routed")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "routed/cmd/routed").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	o := startOursOf(t, binary, hostileTopology(), hostileConfig)
	healthy := foreignBIRD(o.Network)
	must(t, healthy.begin(o.ctx, false))
	t.Cleanup(func() { _ = healthy.Kill(context.WithoutCancel(o.ctx)) })
	must(t, o.wantPeer(o.ctx, healthy, false))
	p, from := o.open(t, "flood"), o.Network.Node("flood")
	t.Logf("before: %s", o.resident(t))
	began := time.Now()
	for sent := 0; sent < flood; sent += 800 {
		must(t, p.announce(from.Spec.Addr, []uint32{64513}, floodPrefixes(sent, 800)...))
	}
	t.Logf("sent after %s: %s", time.Since(began).Round(time.Millisecond), o.resident(t))
	must(t, lab.WaitFor(o.ctx, "each to be refused", func(ctx context.Context) error {
		peer, err := o.peer(ctx, from.Spec.Addr)
		if n := countOf(peer.Rejected, "outside_pod_cidrs"); err == nil && (n != flood || !peer.Up || peer.Flaps != 0) {
			err = fmt.Errorf("%d refused of %d, up %v, %d flaps", n, flood, peer.Up, peer.Flaps)
		}
		return err
	}))
	t.Logf("each refused after %s: %s", time.Since(began).Round(time.Millisecond), o.resident(t))
	o.wantUndisturbed(t, healthy)
}

// floodPrefixes are n prefixes of length 32 in 61.0.0.0/8, from the given one on.
func floodPrefixes(from, n int) []netip.Prefix {
	out := make([]netip.Prefix, 0, n)
	for i := from; i < from+n; i++ {
		out = append(out, netip.PrefixFrom(netip.AddrFrom4([4]byte{61, byte(i >> 16), byte(i >> 8), byte(i)}), 32))
	}
	return out
}

// resident is the resident memory of our routed and the most it ever was.
func (o *ours) resident(t *testing.T) string {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", o.pid))
	must(t, err)
	var out []string
	for line := range strings.Lines(string(status)) {
		if strings.HasPrefix(line, "VmRSS") || strings.HasPrefix(line, "VmHWM") {
			out = append(out, strings.Join(strings.Fields(line), " "))
		}
	}
	return strings.Join(out, ", ")
}

package main

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"routed/config"
	"routed/guard"
	"routed/kernel"
	"routed/peering"
)

// seedHost is the node gyliu-icp-1: one interface on the subnet of all nodes.
func seedHost() host {
	return host{links: kernel.Topology{
		Links: map[int32]kernel.Link{2: {Index: 2, Name: "eth0", Up: true, Running: true}},
		Addresses: []kernel.Address{{
			Device: 2, Local: netip.MustParseAddr("9.111.255.21"), Subnet: netip.MustParsePrefix("9.111.255.0/24"),
		}},
	}}
}

func parse(t *testing.T, bird, nodes string) *config.Config {
	t.Helper()
	cfg, err := config.Parse([]byte(`
cluster: {name: cluster-1, podCIDRs: [10.1.0.0/16]}
node: {address: 9.111.255.21}
bird: `+bird+`
remotes:
  - name: cluster-2
    podCIDRs: [20.1.0.0/16]
    nodes: `+nodes+`
`), filepath.Join(t.TempDir(), "routed.yaml"), config.Env{})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// resolve does what a start does with a configuration on a host.
func resolve(t *testing.T, cfg *config.Config, h host) (peering.Roster, error) {
	t.Helper()
	s, err := readSources(cfg)
	if err = errors.Join(err, h.ownAddressErrors(cfg)); err != nil {
		return peering.Roster{}, err
	}
	return (&loaded{cfg: cfg, sources: s, host: h}).resolve(nil)
}

func TestBIRDSessions(t *testing.T) {
	const own, lo, other = "9.111.255.21", "127.0.0.1", "9.111.255.200"
	for _, tc := range []struct {
		name, bird  string
		addr, local string
		port        uint16
	}{
		{"dial loopback", "{dial: 127.0.0.1:179}", own, lo, 179},
		{"dial another loopback and port", "{dial: 127.0.0.2:1179}", own, "127.0.0.2", 1179},
		{"dial the node's own address", "{dial: 9.111.255.21:179}", own, lo, 179},
		{"dial another address", "{dial: 9.111.255.200:179}", other, own, 179},
		{"accept", "{accept: 127.0.0.1}", own, lo, 179},
	} {
		t.Run(tc.name, func(t *testing.T) {
			peers := birdPeers(parse(t, tc.bird, "{addresses: [9.111.255.77]}"))
			want := []peering.Peer{{
				Addr: netip.MustParseAddr(tc.addr), Role: peering.RoleBIRD, Cluster: "cluster-1", Name: "bird", ASN: 64512,
				Local: netip.MustParseAddr(tc.local), DialPort: tc.port, Families: peering.IPv4, HoldTime: 9 * time.Second,
			}}
			if diff := cmp.Diff(want, peers, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestListeningForBIRDToo(t *testing.T) {
	got := listenAddresses(parse(t, "{accept: 127.0.0.1}", "{addresses: [9.111.255.77]}"))
	want := []netip.Addr{netip.MustParseAddr("9.111.255.21"), netip.MustParseAddr("127.0.0.1")}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Error(diff)
	}
}

func TestResolveMergesNodesAndFindsTheDirectlyConnected(t *testing.T) {
	hosts := filepath.Join(t.TempDir(), "hosts")
	if err := os.WriteFile(hosts, []byte("9.111.255.77 gyliu-ubuntu-1\n8.8.0.9 far\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := resolve(t, parse(t, "{dial: 127.0.0.1:179}", "{addresses: [9.111.255.77, 9.111.255.152], hostsFile: "+hosts+"}"), seedHost())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]uint8{}
	for _, p := range r.Clusters[0].Peers {
		got[strings.TrimSpace(p.Addr.String()+" "+p.Name)] = p.MaxHops
	}
	want := map[string]uint8{"9.111.255.77 gyliu-ubuntu-1": 1, "9.111.255.152": 1, "8.8.0.9 far": farHops}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestResolveRefuses(t *testing.T) {
	for _, tc := range []struct {
		name, nodes, want string
		host              host
	}{
		{"an address that no interface has", "{addresses: [9.111.255.77]}", "no interface of this host has 9.111.255.21", host{}},
		{"our own address among the remote nodes", "{addresses: [9.111.255.21]}", "9.111.255.21", seedHost()},
		{"a hosts file that is not there", "{hostsFile: /nowhere/hosts}", "remotes[0].nodes.hostsFile", seedHost()},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := resolve(t, parse(t, "{dial: 127.0.0.1:179}", tc.nodes), tc.host)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want %q in it", err, tc.want)
			}
		})
	}
}

func TestWhatChangesWithoutARestart(t *testing.T) {
	old := parse(t, "{dial: 127.0.0.1:179}", "{addresses: [9.111.255.77]}")
	if keys := needsRestart(old, parse(t, "{dial: 127.0.0.1:179}", "{addresses: [9.111.255.152]}")); len(keys) != 0 {
		t.Errorf("another remote node needs a restart: %v", keys)
	}
	services := parse(t, "{dial: 127.0.0.1:179}", "{addresses: [9.111.255.77]}")
	services.Cluster.ServiceCIDRs = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")}
	if keys := needsRestart(old, services); len(keys) != 0 {
		t.Errorf("our own services need a restart: %v", keys)
	}
	rekeyed := parse(t, "{dial: 127.0.0.1:179, password: new}", "{addresses: [9.111.255.77]}")
	if keys := needsRestart(old, rekeyed); len(keys) != 0 {
		t.Errorf("BIRD's password changed: %v", keys)
	}
	if keys := needsRestart(old, parse(t, "{accept: 127.0.0.1}", "{addresses: [9.111.255.77]}")); len(keys) != 1 || keys[0] != "bird" {
		t.Errorf("another way to BIRD: %v, want bird", keys)
	}
}

// TestHoldTimes: the default depends on all remote nodes together, not on those of one cluster.
func TestHoldTimes(t *testing.T) {
	clusters := []peering.Cluster{{Peers: make([]peering.Peer, 60)}, {Peers: make([]peering.Peer, 41)}}
	for _, tc := range []struct {
		timers config.Timers
		want   time.Duration
	}{{config.Timers{}, 30 * time.Second}, {config.Timers{HoldTime: 6 * time.Second}, 6 * time.Second}} {
		setHoldTimes(clusters, tc.timers)
		for _, c := range clusters {
			for _, p := range c.Peers {
				if p.HoldTime != tc.want {
					t.Fatalf("hold time %s, want %s", p.HoldTime, tc.want)
				}
			}
		}
	}
}

func TestTheMeshGetsTheBrake(t *testing.T) {
	want := peering.Brake{SharePercent: 50, Hold: 30 * time.Second}
	if got := meshConfig(parse(t, "{dial: 127.0.0.1:179}", "{addresses: [9.111.255.77]}")).Brake; got != want {
		t.Errorf("brake %+v, want the default %+v", got, want)
	}
}

// reflectedConfig has reflectors in the place of the nodes of cluster-2.
func reflectedConfig(t *testing.T) *config.Config {
	t.Helper()
	cfg, err := config.Parse([]byte(`
cluster: {name: cluster-1, podCIDRs: [10.1.0.0/16]}
node: {address: 9.111.255.21}
bird: {dial: 127.0.0.1:179}
remotes:
  - name: cluster-2
    podCIDRs: [20.1.0.0/16]
    reflectors: [9.111.255.251, "8.8.0.9:1179"]
    nodeCIDRs: [9.111.255.0/24]
`), "routed.yaml", config.Env{})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func TestReflectorsStandForTheNodes(t *testing.T) {
	r, err := resolve(t, reflectedConfig(t), seedHost())
	if err != nil {
		t.Fatal(err)
	}
	reflector := func(addr string, port uint16, hops uint8) peering.Peer {
		return peering.Peer{
			Addr: netip.MustParseAddr(addr), Role: peering.RoleReflector, Cluster: "cluster-2", ASN: 64512,
			Local: netip.MustParseAddr("9.111.255.21"), DialPort: port, MaxHops: hops, Families: peering.IPv4, HoldTime: 9 * time.Second,
		}
	}
	want := []peering.Peer{reflector("9.111.255.251", 179, 1), reflector("8.8.0.9", 1179, farHops)}
	if diff := cmp.Diff(want, r.Clusters[0].Peers, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Error(diff)
	}
	if got := r.Clusters[0].NodeCIDRs; len(got) != 1 || got[0] != netip.MustParsePrefix("9.111.255.0/24") {
		t.Errorf("node CIDRs %v", got)
	}
}

// A reflector is a peer like a node: signed, let through by the guard, and as far away after a reload as before.
func TestReflectorsAreTreatedLikeNodes(t *testing.T) {
	cfg := reflectedConfig(t)
	cfg.Remotes[0].Password = peering.NewPassword("secret")
	first, err := resolve(t, cfg, seedHost())
	if err != nil {
		t.Fatal(err)
	}
	h := seedHost()
	h.hops = decidedHops(cfg, first)
	h.links.Links[2] = kernel.Link{Index: 2, Name: "eth0"} // down
	r, err := resolve(t, cfg, h)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range r.Clusters[0].Peers {
		if p.Password != cfg.Remotes[0].Password || p.MaxHops != first.Clusters[0].Peers[i].MaxHops {
			t.Errorf("%s: signed %t, at most %d hops away, want %d", p.Addr, p.Password.IsSet(), p.MaxHops, first.Clusters[0].Peers[i].MaxHops)
		}
	}
	want := []guard.Peer{
		{Addr: netip.MustParseAddr("9.111.255.251"), Port: 179, MaxHops: 1},
		{Addr: netip.MustParseAddr("8.8.0.9"), Port: 1179, MaxHops: farHops},
	}
	if diff := cmp.Diff(want, guardState(cfg, r).Peers, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Error(diff)
	}
}

func TestOwnAddressAmongTheReflectors(t *testing.T) {
	cfg := reflectedConfig(t)
	cfg.Remotes[0].Reflectors[0] = netip.MustParseAddrPort("9.111.255.21:179")
	if _, err := resolve(t, cfg, seedHost()); err == nil || !strings.Contains(err.Error(), "this node's own address") {
		t.Errorf("error %v, want that the reflector is this node", err)
	}
}

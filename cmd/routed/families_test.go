package main

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"routed/admin/text"
	"routed/bgp"
	"routed/config"
	"routed/guard"
	"routed/kernel"
	"routed/peering"
)

// twoFamilies is a host with an address of each family.
func twoFamilies() host {
	h := seedHost()
	h.links.Addresses = append(slices.Clone(h.links.Addresses), kernel.Address{
		Device: 2, Local: netip.MustParseAddr("fd00::21"), Subnet: netip.MustParsePrefix("fd00::/64"),
	})
	return h
}

// family makes a configuration of the given node, and of one remote cluster whose nodes a hosts file lists.
func family(t *testing.T, pods, node, bird, remote, hosts string) *config.Config {
	t.Helper()
	path := filepath.Join(t.TempDir(), "routed.yaml")
	if err := os.WriteFile(filepath.Join(filepath.Dir(path), "hosts"), []byte(hosts), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Parse([]byte(`
cluster: {name: cluster-1, podCIDRs: [`+pods+`]}
node: {`+node+`}
bird: {`+bird+`}
remotes:
  - name: cluster-2
    nodes: {hostsFile: hosts}
    `+remote+`
`), path, config.Env{})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

const (
	pods4, pods6 = "10.1.0.0/16", "'fd00:10::/48'"
	bothPods     = pods4 + ", " + pods6
	bothNode     = "address: 9.111.255.21, address6: 'fd00::21'"
	remoteBoth   = "podCIDRs: [20.1.0.0/16, 'fd00:20::/48']"
)

// An IPv6-only node has its sessions, its next hop, its listener and its guard in IPv6 alone.
func TestIPv6Only(t *testing.T) {
	for bird, wantBIRD := range map[string]peering.Peer{
		"dial: '[::1]:179'":      {Local: netip.IPv6Loopback(), DialPort: 179},
		"dial: '[fd00::21]:179'": {Local: netip.IPv6Loopback(), DialPort: 179},
		"accept: '::1'":          {Local: netip.IPv6Loopback(), DialPort: 179},
	} {
		cfg := family(t, pods6, "address6: 'fd00::21'", bird, "podCIDRs: ['fd00:20::/48']", "fd00::77 gyliu-ubuntu-1\n")
		r, err := resolve(t, cfg, twoFamilies())
		if err != nil {
			t.Fatal(err)
		}
		own, far := netip.MustParseAddr("fd00::21"), netip.MustParseAddr("fd00::77")
		wantBIRD.Addr, wantBIRD.Role, wantBIRD.Cluster, wantBIRD.Name = own, peering.RoleBIRD, "cluster-1", "bird"
		wantBIRD.ASN, wantBIRD.Families, wantBIRD.HoldTime = 64512, peering.IPv6, 9*time.Second
		want := []peering.Peer{wantBIRD, {
			Addr: far, Role: peering.RoleRemote, Cluster: "cluster-2", Name: "gyliu-ubuntu-1", ASN: 64512, Local: own, DialPort: 1790,
			MaxHops: 1, Families: peering.IPv6, HoldTime: 9 * time.Second,
		}}
		if diff := cmp.Diff(want, r.Peers(), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
			t.Errorf("%s: %s", bird, diff)
		}
		if got := meshConfig(cfg).NodeAddrs; !slices.Equal(got, []netip.Addr{own}) {
			t.Errorf("own next hops %v", got)
		}
		if s := speakerConfig(cfg, nil); s.NextHop4.IsValid() || s.NextHop6 != own || !s.RouterID.Is4() {
			t.Errorf("speaker %+v", s)
		} else if _, err := bgp.NewSpeaker(s); err != nil {
			t.Error(err)
		}
		if g := guardState(cfg, r); !slices.Equal(g.BIRD, []netip.Addr{own}) || !slices.Equal(g.Peers, []guard.Peer{{Addr: far, Port: 1790, MaxHops: 1}}) {
			t.Errorf("guard %+v", g)
		}
	}
}

// sessions writes each session with a remote node as ADDRESS/OTHER families.
func sessions(r peering.Roster) []string {
	var out []string
	for _, p := range r.Clusters[0].Peers {
		s := p.Addr.String()
		if p.Other.IsValid() {
			s += "+" + p.Other.String()
		}
		out = append(out, s+" "+p.Families.String())
	}
	return out
}

func TestSessionsOfDualStackNodes(t *testing.T) {
	const hosts = "9.111.255.77 u1\nfd00::77 u1\nfd00::9 six\n9.111.255.9\n"
	for _, tc := range []struct {
		name, remote string
		want         []string
	}{
		{"one a family", remoteBoth, []string{"9.111.255.9 ipv4", "9.111.255.77 ipv4", "fd00::9 ipv6", "fd00::77 ipv6"}},
		{
			"one a node", "sessionFamilies: both\n    " + remoteBoth,
			[]string{"9.111.255.9 ipv4,ipv6", "9.111.255.77+fd00::77 ipv4,ipv6", "fd00::9 ipv4,ipv6"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := family(t, bothPods, bothNode, "dial: ['127.0.0.1:179', '[::1]:179']", tc.remote, hosts)
			r, err := resolve(t, cfg, twoFamilies())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, sessions(r)); diff != "" {
				t.Error(diff)
			}
			for _, p := range r.BIRD {
				if p.Families != peering.IPv4|peering.IPv6 {
					t.Errorf("BIRD at %s is offered %s, want both: it may carry both", p.Addr, p.Families)
				}
			}
		})
	}
}

func TestSessionsWithReflectorsCarryBoth(t *testing.T) {
	cfg, err := config.Parse([]byte(`
cluster: {name: cluster-1, podCIDRs: [`+bothPods+`]}
node: {`+bothNode+`}
bird: {dial: 127.0.0.1:179}
remotes:
  - name: cluster-2
    `+remoteBoth+`
    reflectors: [9.111.255.251]
    nodeCIDRs: [9.111.255.0/24, 'fd00::/64']
    sessionFamilies: both
`), "routed.yaml", config.Env{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := resolve(t, cfg, twoFamilies())
	if diff := cmp.Diff([]string{"9.111.255.251 ipv4,ipv6"}, sessions(r)); diff != "" || err != nil {
		t.Error(err, diff)
	}
}

func TestOneNameWithTwoAddressesOfAFamily(t *testing.T) {
	cfg := family(t, bothPods, bothNode, "dial: '127.0.0.1:179'", "sessionFamilies: both\n    "+remoteBoth, "9.111.255.77 u1\n9.111.255.78 u1\n")
	const want = "remotes[0].nodes: u1 has the addresses 9.111.255.77, 9.111.255.78; one name is one node"
	if _, err := resolve(t, cfg, twoFamilies()); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want %q in it", err, want)
	}
}

func TestCheckOfBothFamilies(t *testing.T) {
	for _, tc := range []struct {
		name, remote, hosts string
		want                []string
	}{
		{
			"two sessions", remoteBoth, "9.111.255.77 u1\nfd00::77 u1\n",
			[]string{
				"9.111.255.21, fd00::21 of cluster cluster-1",
				"cluster-2: 1 nodes, accepted inside 20.1.0.0/16, fd00:20::/48, /20 to /32 and /116 to /128, at most",
				"fd00::77 u1, port 1790, AS 64512, directly connected\n",
				"rule            to fd00:20::/48 lookup 1790 pref 1790",
			},
		},
		{
			"one session", "sessionFamilies: both\n    nodeCIDRs: ['fd00::/64']\n    " + remoteBoth, "9.111.255.77 u1\nfd00::77 u1\n9.111.255.78\n",
			[]string{
				"cluster-2: 2 nodes, nodes inside fd00::/64, accepted",
				"9.111.255.77 u1, port 1790, AS 64512, directly connected, IPv4 and IPv6 with next hop fd00::77\n",
				"9.111.255.78, port 1790, AS 64512, directly connected, IPv4 and IPv6\n",
			},
		},
		{
			"no session with IPv6", remoteBoth, "9.111.255.77 u1\n",
			[]string{"warning         no session with cluster cluster-2 carries ipv6, so nothing inside fd00:20::/48 is learned: list the ipv6 addresses"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := family(t, bothPods, bothNode, "dial: '127.0.0.1:179'", tc.remote, tc.hosts)
			r, err := resolve(t, cfg, twoFamilies())
			var out strings.Builder
			if err = errors.Join(err, text.Pairs(&out, text.Options{}, meaningOf("routed.yaml", cfg, r, nil))); err != nil {
				t.Fatal(err)
			}
			for _, want := range tc.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("want %q in:\n%s", want, out.String())
				}
			}
			if warned := strings.Contains(out.String(), "\nwarning "); warned != strings.HasPrefix(tc.want[0], "warning") {
				t.Errorf("warnings:\n%s", out.String())
			}
		})
	}
}

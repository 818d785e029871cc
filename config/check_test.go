package config

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const three = `cluster:
  name: cluster-1
  podCIDRs: [10.1.0.0/16]
  serviceCIDRs: [10.0.0.0/24]
node:
  address: 9.111.255.21
bird:
  dial: 127.0.0.1:179
listen:
  addresses: [9.111.255.21, 9.112.0.21]
remotes:
  - name: cluster-2
    podCIDRs: [20.1.0.0/16]
    serviceCIDRs: [20.0.0.0/24]
    nodes:
      addresses: [9.111.255.152]
  - name: cluster-3
    podCIDRs: [30.1.0.0/16]
    nodes:
      hostsFile: three.hosts
`

func TestCheck(t *testing.T) {
	const may = "; no two ranges of pods or services may"
	const outside = "; nodes live outside the ranges of pods and services"
	const hosts = "20:18 remotes[1].nodes.hostsFile: "
	tests := []struct {
		name, old, with string
		hosts           string // what three.hosts lists
		want            []string
	}{
		{"nothing", "", "", "9.111.255.33", nil},
		{"a node listed twice for one cluster", "", "", "9.111.255.33 9.111.255.33", nil},
		{
			"pods with the pods of another", "[20.1.0.0/16]", "[10.1.128.0/17]", "9.1.1.1",
			one("13:16 remotes[0].podCIDRs[0]: 10.1.128.0/17 overlaps 10.1.0.0/16 of cluster.podCIDRs[0] (line 3)" + may),
		},
		{
			"the wider one further down", "[20.1.0.0/16]", "[10.0.0.0/8]", "9.1.1.1",
			[]string{
				"3:14 cluster.podCIDRs[0]: 10.1.0.0/16 overlaps 10.0.0.0/8 of remotes[0].podCIDRs[0] (line 13)" + may,
				"4:18 cluster.serviceCIDRs[0]: 10.0.0.0/24 overlaps 10.0.0.0/8 of remotes[0].podCIDRs[0] (line 13)" + may,
			},
		},
		{
			"equal services of two remotes", "[30.1.0.0/16]", "[30.1.0.0/16]\n    serviceCIDRs: [20.0.0.0/24]", "9.1.1.1",
			one("19:20 remotes[1].serviceCIDRs[0]: 20.0.0.0/24 overlaps 20.0.0.0/24 of remotes[0].serviceCIDRs[0] (line 14)" + may),
		},
		{
			"pods with services of the same cluster", "[20.0.0.0/24]", "[20.1.2.0/24]", "9.1.1.1",
			one("14:20 remotes[0].serviceCIDRs[0]: 20.1.2.0/24 overlaps 20.1.0.0/16 of remotes[0].podCIDRs[0] (line 13)" + may),
		},
		{
			"a range twice", "[10.1.0.0/16]", "[10.1.0.0/16, 10.1.0.0/16]", "9.1.1.1",
			one("3:27 cluster.podCIDRs[1]: 10.1.0.0/16 overlaps 10.1.0.0/16 of cluster.podCIDRs[0] (line 3)" + may),
		},
		{
			"nodes inside ranges", "[9.111.255.152]", "[10.1.0.7]", "20.0.0.9",
			[]string{
				"16:19 remotes[0].nodes.addresses[0]: the node 10.1.0.7 lies inside 10.1.0.0/16 of cluster.podCIDRs[0] (line 3)" + outside,
				hosts + "the node 20.0.0.9 lies inside 20.0.0.0/24 of remotes[0].serviceCIDRs[0] (line 14)" + outside,
			},
		},
		{
			"this node inside a range", "[30.1.0.0/16]", "[9.111.255.0/27]", "9.1.1.1",
			one("6:12 node.address: the node 9.111.255.21 lies inside 9.111.255.0/27 of remotes[1].podCIDRs[0] (line 18)" + outside),
		},
		{
			"our own addresses", "[9.111.255.152]", "[9.111.255.152, 9.111.255.21]", "9.1.1.1 9.112.0.21",
			[]string{
				"16:34 remotes[0].nodes.addresses[1]: 9.111.255.21 is this node's own address, node.address (line 6); " +
					"a remote cluster has only other nodes",
				hosts + "9.112.0.21 is this node's own address, listen.addresses[1] (line 10); a remote cluster has only other nodes",
			},
		},
		{
			"a node of two clusters", "", "", "9.111.255.152",
			one(hosts + "9.111.255.152 is also a node of cluster-2, remotes[0].nodes.addresses[0] (line 16); a node or reflector belongs to one cluster"),
		},
		{
			"no nodes", "", "", "",
			one(hosts + `"three.hosts" lists no node; a remote cluster has at least one`),
		},
		{
			"IPv6 without an address for it", "", "", "fd00::9",
			one(hosts + "fd00::9 is IPv6, and this node has no node.address6"),
		},
		{
			"BIRD without an address for it", "dial: 127.0.0.1:179", "dial: [127.0.0.1:179, '[::1]:179']", "9.1.1.1",
			one("8:25 bird.dial[1]: [::1]:179 is IPv6, and this node has no node.address6"),
		},
		{
			"both families without an address for it", "    podCIDRs: [30.1.0.0/16]\n", "    podCIDRs: [30.1.0.0/16]\n    sessionFamilies: both\n", "9.1.1.1",
			one("19:22 remotes[1].sessionFamilies: both needs node.address and node.address6"),
		},
		{
			"reflectors", "      addresses: [9.111.255.152]\n", "      addresses: []\n    reflectors: [9.111.255.251, 9.111.255.252]\n    nodeCIDRs: [9.111.255.0/24]\n", "9.1.1.1",
			nil,
		},
		{
			"reflectors that are somebody", "      addresses: [9.111.255.152]\n",
			"      addresses: []\n    reflectors: [9.111.255.21, 20.1.0.7]\n    nodeCIDRs: [9.111.255.0/24]\n", "9.1.1.1",
			[]string{
				"17:18 remotes[0].reflectors[0]: 9.111.255.21 is this node's own address, node.address (line 6); a remote cluster has only other nodes",
				"17:32 remotes[0].reflectors[1]: the node 20.1.0.7 lies inside 20.1.0.0/16 of remotes[0].podCIDRs[0] (line 13)" + outside,
			},
		},
		{
			"a reflector that is also a node of another", "      addresses: [9.111.255.152]\n",
			"      addresses: []\n    reflectors: [9.1.1.1]\n    nodeCIDRs: [9.111.255.0/24]\n", "9.1.1.1",
			one("22:18 remotes[1].nodes.hostsFile: 9.1.1.1 is also a node of cluster-2, remotes[0].reflectors[0] (line 17); " +
				"a node or reflector belongs to one cluster"),
		},
		{
			"node ranges and others", "      addresses: [9.111.255.152]\n",
			"      addresses: []\n    reflectors: [9.1.1.2]\n    nodeCIDRs: [10.1.2.0/24, 20.0.0.0/8, \"fd00:9::/64\"]\n", "9.1.1.1",
			[]string{
				"18:17 remotes[0].nodeCIDRs[0]: 10.1.2.0/24 lies inside 10.1.0.0/16 of cluster.podCIDRs[0] (line 3)" + outside,
				"18:30 remotes[0].nodeCIDRs[1]: 20.0.0.0/8 contains 20.1.0.0/16 of remotes[0].podCIDRs[0] (line 13)" + outside,
				"18:30 remotes[0].nodeCIDRs[1]: 20.0.0.0/8 contains 20.0.0.0/24 of remotes[0].serviceCIDRs[0] (line 14)" + outside,
				"18:42 remotes[0].nodeCIDRs[2]: fd00:9::/64 is IPv6, and this node has no node.address6",
			},
		},
		{
			"IPv4 without an address for it", three, strings.NewReplacer(
				"10.1.0.0/16", "fd00:10::/64", "20.1.0.0/16", "fd00:20::/64", "30.1.0.0/16", "fd00:30::/64",
				"address: 9.111.255.21", "address6: fd00::21", "addresses: [9.111.255.21, 9.112.0.21]", "addresses: []",
			).Replace(three), "fd00::9",
			[]string{
				"8:9 bird.dial: 127.0.0.1:179 is IPv4, and this node has no node.address",
				"16:19 remotes[0].nodes.addresses[0]: 9.111.255.152 is IPv4, and this node has no node.address",
			},
		},
		{"IPv6 with one", "address: 9.111.255.21", "address: 9.111.255.21\n  address6: fd00::21", "fd00::9", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text := three
			if tt.old != "" {
				text = strings.Replace(three, tt.old, tt.with, 1)
			}
			c, err := Parse([]byte(text), "routed.yaml", Env{})
			if err != nil {
				t.Fatal(err)
			}
			var listed Listed
			for _, a := range strings.Fields(tt.hosts) {
				listed.HostsFile = append(listed.HostsFile, netip.MustParseAddr(a))
			}
			nodes := map[string]Listed{"cluster-3": listed}
			var got []string
			if err := Check(c, nodes); err != nil {
				got = problems(t, err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What an API lists is judged like a hosts file, and said to come from there; it may have listed nothing yet.
func TestCheckKubernetes(t *testing.T) {
	text := strings.Replace(three, "hostsFile: three.hosts", "kubernetes: {kubeconfig: k}", 1)
	c, err := Parse([]byte(text), "routed.yaml", Env{})
	if err != nil {
		t.Fatal(err)
	}
	if err := Check(c, nil); err != nil {
		t.Errorf("with nothing listed yet: %v", err)
	}
	for a, want := range map[string]string{
		"9.111.255.33":  "",
		"9.111.255.21":  "9.111.255.21 is this node's own address, node.address (line 6); a remote cluster has only other nodes",
		"9.111.255.152": "9.111.255.152 is also a node of cluster-2, remotes[0].nodes.addresses[0] (line 16); a node or reflector belongs to one cluster",
		"20.1.7.7":      "the node 20.1.7.7 lies inside 20.1.0.0/16 of remotes[0].podCIDRs[0] (line 13); nodes live outside the ranges of pods and services",
	} {
		err := Check(c, map[string]Listed{"cluster-3": {Kubernetes: []netip.Addr{netip.MustParseAddr(a)}}})
		var got []string
		if err != nil {
			got = problems(t, err)
		}
		var all []string
		if want != "" {
			all = []string{"20:32 remotes[1].nodes.kubernetes.kubeconfig: " + want}
		}
		if diff := cmp.Diff(all, got); diff != "" {
			t.Errorf("%s: %s", a, diff)
		}
	}
}

func TestCheckWithoutAFile(t *testing.T) {
	pods := []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}
	c := &Config{
		Cluster: Cluster{Name: "a", PodCIDRs: pods},
		Node:    Node{Address: netip.MustParseAddr("9.1.1.1")},
		Remotes: []Remote{{Name: "b", PodCIDRs: pods, Nodes: Nodes{Addresses: []netip.Addr{netip.MustParseAddr("9.1.1.1")}}}},
	}
	want := "configuration: remotes[0].podCIDRs[0]: 10.1.0.0/16 overlaps 10.1.0.0/16 of cluster.podCIDRs[0]; " +
		"no two ranges of pods or services may\n" +
		"configuration: remotes[0].nodes.addresses[0]: 9.1.1.1 is this node's own address, node.address; " +
		"a remote cluster has only other nodes"
	if err := Check(c, nil); err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

// TestCheckFindsEveryOverlap: there is an error exactly when two of the ranges overlap, and every range that lies
// in another is named.
func TestCheckFindsEveryOverlap(t *testing.T) {
	prefix := rapid.Custom(func(t *rapid.T) netip.Prefix {
		a := netip.AddrFrom4([4]byte{10, rapid.ByteMax(3).Draw(t, "b"), rapid.Byte().Draw(t, "c"), 0})
		return netip.PrefixFrom(a, rapid.IntRange(14, 24).Draw(t, "bits")).Masked()
	})
	rapid.Check(t, func(t *rapid.T) {
		ranges := rapid.SliceOfN(prefix, 1, 8).Draw(t, "ranges")
		c := &Config{Cluster: Cluster{Name: "a"}, Node: Node{Address: netip.MustParseAddr("9.1.1.1")}}
		for i, p := range ranges {
			c.Remotes = append(c.Remotes, Remote{
				Name: fmt.Sprintf("r%d", i), PodCIDRs: []netip.Prefix{p},
				Nodes: Nodes{Addresses: []netip.Addr{netip.AddrFrom4([4]byte{9, 2, 0, byte(i)})}},
			})
		}
		told := ""
		if err := Check(c, nil); err != nil {
			told = err.Error()
		}
		for i, p := range ranges {
			inAnother := false
			for j, q := range ranges {
				inAnother = inAnother || i != j && q.Overlaps(p) && (q.Bits() < p.Bits() || q == p && j < i)
			}
			named := strings.Contains(told, fmt.Sprintf("remotes[%d].podCIDRs[0]: %s overlaps", i, p))
			if named != inAnother {
				t.Fatalf("%v is in another: %v; named: %v\n%s", p, inAnother, named, told)
			}
		}
	})
}

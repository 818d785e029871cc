package config

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// valueTest is a change of the minimal configuration and what is wrong with it then; nothing: it is accepted.
type valueTest struct {
	name, old, with string
	want            []string
}

func runValueTests(t *testing.T, tests []valueTest) {
	t.Helper()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			if _, err := Parse([]byte(edit(t, tt.old, tt.with)), "routed.yaml", Env{}); err != nil {
				got = problems(t, err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func one(s string) []string { return []string{s} }

func TestCluster(t *testing.T) {
	const name = "is not a name of 1 to 63 letters, digits, '-', '_' and '.' that begins with a letter or digit"
	runValueTests(t, []valueTest{
		{"everything missing", minimal, "# nothing\n", []string{
			"1:1 cluster.name: missing; every cluster has a name",
			"1:1 cluster.podCIDRs: missing; list what this cluster's pods use, or name ICP's own file in cluster.icpConfig",
			"1:1 node.address: missing, and $NODE_IP is not set",
			"1:1 bird: missing; exactly one of bird.dial and bird.accept says how to reach the local BIRD",
		}},
		{"name missing", "  name: cluster-1\n", "", one("1:1 cluster.name: missing; every cluster has a name")},
		{"name empty", "name: cluster-1", `name: ""`, one(`2:9 cluster.name: "" ` + name)},
		{"name with space", "name: cluster-1", `name: a b`, one(`2:9 cluster.name: "a b" ` + name)},
		{"name beginning", "name: cluster-1", `name: .a`, one(`2:9 cluster.name: ".a" ` + name)},
		{"name of 63", "name: cluster-1", `name: ` + strings.Repeat("a", 63), nil},
		{"name of 64", "name: cluster-1", `name: ` + strings.Repeat("a", 64), one(`2:9 cluster.name: "` + strings.Repeat("a", 64) + `" ` + name)},
		{"name a number", "name: cluster-1", `name: 12`, one(`2:9 cluster.name: 12 is not text; put it in quotes if it is meant so`)},
		{"name a boolean", "name: cluster-1", `name: true`, one(`2:9 cluster.name: true is not text; put it in quotes if it is meant so`)},
		{"name as remote's", "name: cluster-2", `name: cluster-1`, one(`9:11 remotes[0].name: "cluster-1" is already cluster.name (line 2); every cluster has its own name`)},
		{
			"remote names repeat", "", "  - {name: cluster-2, podCIDRs: [30.1.0.0/16], nodes: {addresses: [9.1.1.1]}}\n",
			one(`13:12 remotes[1].name: "cluster-2" is already remotes[0].name (line 9); every cluster has its own name`),
		},
		{"asn 0", "node:\n", "  asn: 0\nnode:\n", one(`4:8 cluster.asn: "0" is not a whole number from 1 to 4294967294`)},
		{"asn too large", "node:\n", "  asn: 4294967295\nnode:\n", one(`4:8 cluster.asn: "4294967295" is not a whole number from 1 to 4294967294`)},
		{"asn reserved", "node:\n", "  asn: 23456\nnode:\n", one(`4:8 cluster.asn: 23456 is a reserved AS number`)},
		{"asn as text", "node:\n", "  asn: '64512'\nnode:\n", one(`4:8 cluster.asn: "64512" is not a whole number from 1 to 4294967294`)},
		{"asn in dots", "node:\n", "  asn: 1.10\nnode:\n", one(`4:8 cluster.asn: "1.10" is not a whole number from 1 to 4294967294`)},
		{"asn in hexadecimal", "node:\n", "  asn: 0xFC00\nnode:\n", one(`4:8 cluster.asn: "0xFC00" is not a whole number from 1 to 4294967294`)},
	})
}

func TestRanges(t *testing.T) {
	bad := func(value, problem string) valueTest {
		return valueTest{value, "[20.1.0.0/16]", "[" + value + "]", one("10:16 remotes[0].podCIDRs[0]: " + problem)}
	}
	good := func(value string) valueTest {
		return valueTest{value, "[20.1.0.0/16]", "[" + value + "]", nil}
	}
	many := strings.TrimSuffix(strings.Repeat("20.1.0.0/16, ", 65), ", ")
	runValueTests(t, []valueTest{
		good("20.0.0.0/8"),
		good("20.1.1.1/32"),
		{"fd00::/16", "[20.1.0.0/16]", "[fd00::/16]", one("4:1 node.address6: missing, and $NODE_IP is not set; fd00::/16 needs one")},
		bad("20.1.0.0", `"20.1.0.0" is not a range in CIDR form, such as 10.1.0.0/16`),
		bad("20.1.0.0/33", `"20.1.0.0/33" is not a range in CIDR form, such as 10.1.0.0/16`),
		bad("20.1.1.0/16", `20.1.1.0/16 has host bits set; write 20.1.0.0/16`),
		bad("fd00:1::1/64", `fd00:1::1/64 has host bits set; write fd00:1::/64`),
		bad("0.0.0.0/0", `0.0.0.0/0 is too wide; at least /8`),
		bad("20.0.0.0/7", `20.0.0.0/7 is too wide; at least /8`),
		bad("fd00::/15", `fd00::/15 is too wide; at least /16`),
		bad("::ffff:20.1.0.0/112", `::ffff:20.1.0.0/112 is an IPv4 range in IPv6 form; write it as IPv4`),
		bad("127.0.0.0/8", `127.0.0.0/8 is not a range of unicast addresses that pods or services can have`),
		bad("224.0.0.0/8", `224.0.0.0/8 is not a range of unicast addresses that pods or services can have`),
		bad("fe80::/64", `fe80::/64 is not a range of unicast addresses that pods or services can have`),
		bad("fe80::1%eth0/64", `"fe80::1%eth0/64" is not a range in CIDR form, such as 10.1.0.0/16`),
		bad("1790", `1790 is not text; put it in quotes if it is meant so`),
		{"none", "[20.1.0.0/16]", "[]", one("10:5 remotes[0].podCIDRs: missing; list what the pods of this cluster use: it may announce nothing else")},
		{"too many", "[20.1.0.0/16]", "[" + many + "]", one("10:5 remotes[0].podCIDRs: 65 entries; at most 64")},
		{
			"one problem each", "[20.1.0.0/16]", "[x, y]\n    serviceCIDRs: [z]",
			[]string{
				`10:16 remotes[0].podCIDRs[0]: "x" is not a range in CIDR form, such as 10.1.0.0/16`,
				`10:19 remotes[0].podCIDRs[1]: "y" is not a range in CIDR form, such as 10.1.0.0/16`,
				`11:20 remotes[0].serviceCIDRs[0]: "z" is not a range in CIDR form, such as 10.1.0.0/16`,
			},
		},
	})
}

func TestNode(t *testing.T) {
	address := func(value, problem string) valueTest {
		return valueTest{value, "address: 9.111.255.21", "address: " + value, one("5:12 node.address: " + problem)}
	}
	extra := func(name, line string, want []string) valueTest {
		return valueTest{name, "bird:\n", "  " + line + "\nbird:\n", want}
	}
	runValueTests(t, []valueTest{
		address("gyliu-icp-1", `"gyliu-icp-1" is not an IP address`),
		address("9.111.255.021", `"9.111.255.021" is not an IP address`),
		address("127.0.0.1", "127.0.0.1 is a loopback address, not a node's"),
		address("0.0.0.0", "0.0.0.0 is the unspecified address, not a node's"),
		address("fd00::21", "fd00::21 is not an IPv4 address; an IPv6 address goes into node.address6"),
		extra("address6 IPv4", "address6: 9.1.1.1", one(
			"6:13 node.address6: 9.1.1.1 is not an IPv6 address; an IPv4 address goes into node.address")),
		extra("address6 with a zone", "address6: fe80::1%eth0", one(
			"6:13 node.address6: fe80::1%eth0 has a zone; a node is known by an address that means the same everywhere")),
		extra("router ID of one's own", "routerID: 1.1.1.1", nil),
		extra("router ID = address", "routerID: 9.111.255.21", one(
			"6:13 node.routerID: 9.111.255.21 is node.address, which the local BIRD uses; choose another or leave it out")),
		extra("router ID zero", "routerID: 0.0.0.0", one(
			`6:13 node.routerID: "0.0.0.0" is not an identifier in the form of an IPv4 address other than 0.0.0.0`)),
		extra("router ID IPv6", "routerID: fd00::1", one(
			`6:13 node.routerID: "fd00::1" is not an identifier in the form of an IPv4 address other than 0.0.0.0`)),
		{"an address in 240/4", "address: 9.111.255.21", "address: 249.111.255.21", one(
			"4:1 node.routerID: missing; none can be derived from 249.111.255.21, which is in 240.0.0.0/4")},
		{"an address in 240/4 and an ID", "address: 9.111.255.21", "address: 249.111.255.21\n  routerID: 1.1.1.1", nil},
	})
}

func TestBIRD(t *testing.T) {
	bird := func(name, lines string, want ...string) valueTest {
		return valueTest{name, "  dial: 127.0.0.1:179\n", lines, want}
	}
	const form = "is not ADDRESS:PORT, such as 127.0.0.1:179 or [::1]:179, with a port from 1 to 65535"
	runValueTests(t, []valueTest{
		bird("a list", "  dial: [127.0.0.1:179, '[::1]:179']\n"),
		bird("accept", "  accept: 127.0.0.1\n"),
		bird("accept a list", "  accept: [127.0.0.1, ::1]\n"),
		bird("the node's own address", "  dial: 9.111.255.21:179\n"),
		bird("neither", "  password: ''\n", "6:1 bird: missing; exactly one of bird.dial and bird.accept says how to reach the local BIRD"),
		bird("empty lists", "  dial: []\n  accept: []\n", "6:1 bird: missing; exactly one of bird.dial and bird.accept says how to reach the local BIRD"),
		bird("both", "  dial: 127.0.0.1:179\n  accept: 127.0.0.1\n", "8:11 bird.accept: set beside bird.dial (line 7); exactly one of the two"),
		bird("no port", "  dial: 127.0.0.1\n", `7:9 bird.dial: "127.0.0.1" `+form),
		bird("port 0", "  dial: 127.0.0.1:0\n", `7:9 bird.dial: "127.0.0.1:0" `+form),
		bird("port too large", "  dial: 127.0.0.1:65536\n", `7:9 bird.dial: "127.0.0.1:65536" `+form),
		bird("a name", "  dial: localhost:179\n", `7:9 bird.dial: "localhost:179" `+form),
		bird("IPv6 without brackets", "  dial: ['::1:179']\n", `7:10 bird.dial[0]: "::1:179" `+form),
		bird("4in6", "  dial: '[::ffff:127.0.0.1]:179'\n", "7:9 bird.dial: ::ffff:127.0.0.1 is an IPv4 address in IPv6 form; write 127.0.0.1"),
		bird("a zone", "  dial: '[fe80::1%lo]:179'\n", "7:9 bird.dial: fe80::1%lo has a zone; leave it out"),
		bird("unspecified", "  dial: 0.0.0.0:179\n", "7:9 bird.dial: 0.0.0.0 is every address; name the one that BIRD listens on"),
		bird("ourselves", "  dial: 9.111.255.21:1790\n", "7:9 bird.dial: 9.111.255.21:1790 is where routed itself listens (listen.addresses, listen.port)"),
		bird("twice", "  dial: [127.0.0.1:179, 127.0.0.1:180]\n", "7:25 bird.dial[1]: 127.0.0.1 is already bird.dial[0] (line 7)"),
		bird("three", "  dial: [127.0.0.1:179, 127.0.0.2:179, 127.0.0.3:179]\n", "7:3 bird.dial: 3 entries; at most 2"),
		bird("accept with a port", "  accept: 127.0.0.1:1790\n", `7:11 bird.accept: "127.0.0.1:1790" is not an IP address (the port is listen.port)`),
		bird("accept unspecified", "  accept: '::'\n", "7:11 bird.accept: :: is every address; name the ones to listen on"),
	})
}

func TestListen(t *testing.T) {
	listen := func(name, lines string, want ...string) valueTest {
		return valueTest{name, "", "listen:\n" + lines, want}
	}
	runValueTests(t, []valueTest{
		listen("none", "  guard: none\n"),
		listen("port 0", "  port: 0\n", `14:9 listen.port: "0" is not a whole number from 1 to 65535`),
		listen("port 65536", "  port: 65536\n", `14:9 listen.port: "65536" is not a whole number from 1 to 65535`),
		listen("port negative", "  port: -1\n", `14:9 listen.port: "-1" is not a whole number from 1 to 65535`),
		listen("port empty", "  port: ''\n", `14:9 listen.port: "" is not a whole number from 1 to 65535`),
		listen("every address", "  addresses: [0.0.0.0]\n", "14:15 listen.addresses[0]: 0.0.0.0 is every address; name the ones to listen on"),
		listen("twice", "  addresses:\n  - fd00::1\n  - FD00:0::1\n", "16:5 listen.addresses[1]: fd00::1 is already listen.addresses[0] (line 15)"),
		listen("nftables", "  guard: nftables\n"),
		listen("guard unknown", "  guard: iptables\n", `14:10 listen.guard: "iptables" is not one of auto, nftables, none`),
	})
}

func TestRemote(t *testing.T) {
	remote := func(name, line string, want ...string) valueTest {
		return valueTest{name, "    nodes:\n", "    " + line + "\n    nodes:\n", want}
	}
	nodes := func(name, value string, want ...string) valueTest {
		return valueTest{name, "    nodes:\n      addresses: [9.111.255.152]\n", "    nodes: " + value + "\n", want}
	}
	const missing = "11:5 remotes[0].nodes: missing; list the cluster's nodes in addresses, name a hostsFile or the kubeconfig of an API that does, " +
		"or give reflectors in their place"
	runValueTests(t, []valueTest{
		nodes("no nodes", "", missing),
		nodes("empty nodes", "{addresses: [], hostsFile: ''}", missing),
		nodes("a hosts file", "{hostsFile: x}"),
		nodes("kubernetes", "{kubernetes: {kubeconfig: x, context: y, labelSelector: z}}"),
		nodes("kubernetes without a kubeconfig", "{kubernetes: {}}",
			"11:13 remotes[0].nodes.kubernetes.kubeconfig: missing; name a kubeconfig or the manifest of an Istio remote secret"),
		nodes("a context that is no text", "{kubernetes: {kubeconfig: x, context: 1}}",
			"11:50 remotes[0].nodes.kubernetes.context: 1 is not text; put it in quotes if it is meant so"),
		nodes("repeated", "{addresses: [9.1.1.1, 9.1.1.1]}", "11:34 remotes[0].nodes.addresses[1]: 9.1.1.1 is already remotes[0].nodes.addresses[0] (line 11)"),
		nodes("a name", "{addresses: [node-1]}", `11:25 remotes[0].nodes.addresses[0]: "node-1" is not an IP address`),
		nodes("loopback", "{addresses: [127.0.0.1]}", "11:25 remotes[0].nodes.addresses[0]: 127.0.0.1 is a loopback address, not a node's"),
		nodes("a NUL", `{hostsFile: "a\0b"}`, `11:24 remotes[0].nodes.hostsFile: "a\x00b" is not a path`),
		remote("port", "port: 70000", `11:11 remotes[0].port: "70000" is not a whole number from 1 to 65535`),
		remote("nodes beside reflectors", "reflectors: [9.1.1.1]\n    nodeCIDRs: [9.111.255.0/24]",
			"13:5 remotes[0].nodes: set beside remotes[0].reflectors (line 11); a cluster is reached by its nodes or by reflectors"),
		remote("nodeCIDRs alone", "nodeCIDRs: [9.1.1.0/24]",
			"11:5 remotes[0].nodeCIDRs: set without reflectors or sessionFamilies: both; a node is believed for itself alone, leave it out"),
		remote("nodeCIDRs for the other family", "sessionFamilies: both\n    nodeCIDRs: [9.1.1.0/24]"),
		remote("sessionFamilies", "sessionFamilies: ipv6", `11:22 remotes[0].sessionFamilies: "ipv6" is not one of address, both`),
		remote("hops 0", "maxHops: 0", `11:14 remotes[0].maxHops: "0" is not a whole number from 1 to 255`),
		remote("hops 255", "maxHops: 255"),
		remote("hops 256", "maxHops: 256", `11:14 remotes[0].maxHops: "256" is not a whole number from 1 to 255`),
		remote("limits", "limits: {prefixesPerNode: 0, prefixes: 1000001}",
			`11:31 remotes[0].limits.prefixesPerNode: "0" is not a whole number from 1 to 1000000`,
			`11:44 remotes[0].limits.prefixes: "1000001" is not a whole number from 1 to 1000000`),
		remote("one length", "blockLengths: {ipv4: [26]}", "11:20 remotes[0].blockLengths.ipv4: 1 lengths; want two, [shortest, longest]"),
		remote("lengths backwards", "blockLengths: {ipv4: [26, 24]}", "11:20 remotes[0].blockLengths.ipv4: [26, 24] begins after its end"),
		remote("lengths of IPv6", "blockLengths: {ipv4: [24, 33], ipv6: [0, 129]}",
			`11:31 remotes[0].blockLengths.ipv4[1]: "33" is not a whole number from 1 to 32`,
			`11:43 remotes[0].blockLengths.ipv6[0]: "0" is not a whole number from 1 to 128`,
			`11:46 remotes[0].blockLengths.ipv6[1]: "129" is not a whole number from 1 to 128`),
		remote("lengths outside the ranges", "blockLengths: {ipv4: [8, 15]}", "10:16 remotes[0].podCIDRs[0]: 20.1.0.0/16 can hold no block: blockLengths allows up to /15"),
		{"no remotes", minimal[strings.Index(minimal, "remotes:"):], "", nil},
	})
}

func TestReflectors(t *testing.T) {
	reflectors := func(name, value string, want ...string) valueTest {
		const nodes = "    nodes:\n      addresses: [9.111.255.152]\n"
		return valueTest{name, nodes, "    nodeCIDRs: [9.111.255.0/24]\n    reflectors: " + value + "\n", want}
	}
	const form = "is not ADDRESS or ADDRESS:PORT, such as 9.111.255.251 or [fd00::251]:179"
	runValueTests(t, []valueTest{
		reflectors("two", "[9.111.255.251, 9.111.255.252]"),
		reflectors("with ports", `["9.111.255.251:1179", "[fd00::252]:179", "fd00::253"]`),
		reflectors("a name", "[rr1]", `12:18 remotes[0].reflectors[0]: "rr1" `+form),
		reflectors("port 0", `["9.111.255.251:0"]`, `12:18 remotes[0].reflectors[0]: "9.111.255.251:0" `+form),
		reflectors("loopback", `["127.0.0.1:179"]`, `12:18 remotes[0].reflectors[0]: 127.0.0.1 is a loopback address, not a node's`),
		reflectors("one address twice", `["9.1.1.1:179", "9.1.1.1:180"]`,
			"12:33 remotes[0].reflectors[1]: 9.1.1.1 is already remotes[0].reflectors[0] (line 12)"),
		reflectors("too many", "["+strings.Repeat("9.1.1.1, ", 8)+"9.1.1.1]", append(
			[]string{"12:5 remotes[0].reflectors: 9 entries; at most 8"}, repeats(8)...)...),
		{
			"no node ranges", "    nodes:\n      addresses: [9.111.255.152]\n", "    reflectors: [9.1.1.1]\n",
			one("9:5 remotes[0].nodeCIDRs: missing; with reflectors it says where the nodes of the cluster are, and no other next hop is believed"),
		},
		{
			"a port out of range is told once", "    nodes:\n      addresses: [9.111.255.152]\n",
			"    port: 0\n    reflectors: [9.1.1.1]\n    nodeCIDRs: [9.1.1.0/24]\n",
			one(`11:11 remotes[0].port: "0" is not a whole number from 1 to 65535`),
		},
	})
}

// repeats is what is said of an address that is in the list n times more.
func repeats(n int) []string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf("12:%d remotes[0].reflectors[%d]: 9.1.1.1 is already remotes[0].reflectors[0] (line 12)", 27+9*i, i+1))
	}
	return out
}

func TestReflectorPorts(t *testing.T) {
	for _, tt := range []struct{ port, want string }{
		{"", "[9.111.255.251:179 9.111.255.252:1180]"},
		{"    port: 1179\n", "[9.111.255.251:1179 9.111.255.252:1180]"},
	} {
		text := edit(t, "    nodes:\n      addresses: [9.111.255.152]\n",
			tt.port+"    nodeCIDRs: [9.111.255.0/24]\n    reflectors: [9.111.255.251, \"9.111.255.252:1180\"]\n")
		c, err := Parse([]byte(text), "routed.yaml", Env{})
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(c.Remotes[0].Reflectors); got != tt.want {
			t.Errorf("port %q: got %s, want %s", tt.port, got, tt.want)
		}
	}
}

func TestKernel(t *testing.T) {
	kernel := func(line string, problem string) valueTest {
		key, _, _ := strings.Cut(line, ":")
		want := one(fmt.Sprintf("14:%d kernel.%s: %s", len(key)+5, key, problem))
		if problem == "" {
			want = nil
		}
		return valueTest{line, "", "kernel:\n  " + line + "\n", want}
	}
	const table = "is not main or the number of a table from 256 to 4294967295"
	runValueTests(t, []valueTest{
		kernel("table: main", ""),
		kernel("table: 254", ""),
		kernel("table: 4294967295", ""),
		kernel("table: 4294967296", `"4294967296" `+table),
		kernel("table: 0", `"0" `+table),
		kernel("table: 253", `"253" `+table),
		kernel("table: 255", `"255" `+table),
		kernel("table: 100", `"100" `+table),
		kernel("table: local", `"local" `+table),
		kernel("protocol: 4", `"4" is not a whole number from 5 to 255`),
		kernel("protocol: 256", `"256" is not a whole number from 5 to 255`),
		kernel("protocol: 12", "12 marks the routes of BIRD; choose a number that nobody on this host uses"),
		kernel("protocol: 80", "80 marks the routes of Calico's Felix; choose a number that nobody on this host uses"),
		kernel("rulePriority: 0", `"0" is not a whole number from 1 to 32765`),
		kernel("rulePriority: 32766", `"32766" is not a whole number from 1 to 32765`),
		kernel("encapsulation: none", ""),
		kernel("encapsulation: ipip", "not supported yet; write auto or none, and connect the nodes directly"),
		kernel("encapsulation: vxlan", "not supported yet; write auto or none, and connect the nodes directly"),
		kernel("encapsulation: gre", `"gre" is not one of auto, none`),
		kernel("onExit: delete", `"delete" is not one of keep, flush`),
		kernel("resyncInterval: 60", `"60" is not a duration from 1s to 1h, with its unit, such as 90s or 1h30m`),
		kernel("resyncInterval: 0s", `"0s" is not a duration from 1s to 1h, with its unit, such as 90s or 1h30m`),
		kernel("resyncInterval: -5s", `"-5s" is not a duration from 1s to 1h, with its unit, such as 90s or 1h30m`),
		kernel("convergenceDeadline: 61m", `"61m" is not a duration from 1s to 1h, with its unit, such as 90s or 1h30m`),
	})
}

func TestMeshAndServers(t *testing.T) {
	section := func(text, problem string) valueTest {
		want := one(problem)
		if problem == "" {
			want = nil
		}
		return valueTest{text, "", text + "\n", want}
	}
	const form = "is not ADDRESS:PORT, such as 127.0.0.1:179 or [::1]:179, with a port from 1 to 65535"
	runValueTests(t, []valueTest{
		section("mesh: {retention: 721h}", `13:19 mesh.retention: "721h" is not a duration from 1s to 720h, with its unit, such as 90s or 1h30m`),
		section("mesh: {retention: 1d}", `13:19 mesh.retention: "1d" is not a duration from 1s to 720h, with its unit, such as 90s or 1h30m`),
		section("mesh: {withdrawalBrake: {share: 0}}", `13:33 mesh.withdrawalBrake.share: "0" is not a whole number from 1 to 100`),
		section("mesh: {withdrawalBrake: {share: 101}}", `13:33 mesh.withdrawalBrake.share: "101" is not a whole number from 1 to 100`),
		section("mesh: {withdrawalBrake: {share: 50%}}", `13:33 mesh.withdrawalBrake.share: "50%" is not a whole number from 1 to 100`),
		section("mesh: {withdrawalBrake: {hold: 1ms}}", `13:32 mesh.withdrawalBrake.hold: "1ms" is not a duration from 1s to 1h, with its unit, such as 90s or 1h30m`),
		section("metrics: {listen: '[::]:9790', peerLabel: false}", ""),
		section("metrics: {listen: localhost:9790}", `13:19 metrics.listen: "localhost:9790" `+form),
		section("metrics: {listen: ':0'}", `13:19 metrics.listen: ":0" `+form),
		section("metrics: {listen: 9790}", `13:19 metrics.listen: 9790 is not text; put it in quotes if it is meant so`),
		section("admin: {socket: routed.sock}", `13:17 admin.socket: "routed.sock" is not the absolute path of a socket, at most 107 bytes long`),
		section("admin: {socket: '@routed'}", `13:17 admin.socket: "@routed" is not the absolute path of a socket, at most 107 bytes long`),
		section("admin: {socket: /run/}", `13:17 admin.socket: "/run/" is not the absolute path of a socket, at most 107 bytes long`),
		section("admin: {socket: /"+strings.Repeat("a", 106)+"}", ""),
		section("admin: {socket: /"+strings.Repeat("a", 107)+"}", `13:17 admin.socket: "/`+strings.Repeat("a", 107)+`" is not the absolute path of a socket, at most 107 bytes long`),
	})
}

func TestProbe(t *testing.T) {
	probe := func(text, problem string) valueTest {
		var want []string
		if problem != "" {
			want = one("14:" + problem)
		}
		return valueTest{text, "", "probe:\n  " + text + "\n", want}
	}
	const (
		interval = "is not 0s (no probes) or a duration from 1s to 1h, with its unit, such as 30s"
		timeout  = "with its unit, such as 500ms; it is at most probe.interval"
	)
	runValueTests(t, []valueTest{
		probe("interval: 0s", ""),
		probe("interval: 0", ""),
		probe("interval: 1s", ""),
		probe("interval: 1h", ""),
		probe("interval: 999ms", `13 probe.interval: "999ms" `+interval),
		probe("interval: 61m", `13 probe.interval: "61m" `+interval),
		probe("interval: 30", `13 probe.interval: "30" `+interval),
		probe("interval: false", `13 probe.interval: "false" `+interval),
		probe("timeout: 100ms", ""),
		probe("timeout: 10s", ""),
		probe("timeout: 99ms", `12 probe.timeout: "99ms" is not a duration from 100ms to 10s, `+timeout),
		probe("timeout: 11s", `12 probe.timeout: "11s" is not a duration from 100ms to 10s, `+timeout),
		probe("timeout: 1", `12 probe.timeout: "1" is not a duration from 100ms to 10s, `+timeout),
		{
			"longer than the interval", "", "probe: {interval: 5s, timeout: 6s}\n",
			one(`13:32 probe.timeout: "6s" is not a duration from 100ms to 5s, ` + timeout),
		},
		probe("pathMTU: false", ""),
		probe("pathMTU: 1500", `12 probe.pathMTU: "1500" is not true or false`),
		probe("pathMTU: yes please", `12 probe.pathMTU: "yes please" is not true or false`),
		probe("packetsPerSecond: 1000", ""),
		probe("packetsPerSecond: 0", `21 probe.packetsPerSecond: "0" is not a whole number from 1 to 1000`),
		probe("packetsPerSecond: 1001", `21 probe.packetsPerSecond: "1001" is not a whole number from 1 to 1000`),
		probe("addresses: last", `14 probe.addresses: "last" is not one of none, first`),
	})
	const nodes = "      addresses: [9.111.255.152]\n"
	remote := func(value, problem string) valueTest {
		var want []string
		if problem != "" {
			want = one("13:22 remotes[0].probeAddresses" + problem)
		}
		return valueTest{"addresses " + value, nodes, nodes + "    probeAddresses: " + value + "\n", want}
	}
	runValueTests(t, []valueTest{
		remote("[20.1.47.128, 20.1.198.0]", ""),
		remote("[9.111.255.152]", "[0]: 9.111.255.152 lies in none of this cluster's podCIDRs; its nodes are probed without being listed"),
		remote("[tunl0]", `[0]: "tunl0" is not an IP address`),
	})
}

func TestTimers(t *testing.T) {
	hold := func(value string, ok bool) valueTest {
		var want []string
		if !ok {
			want = one(fmt.Sprintf("14:13 timers.holdTime: %q is not a duration of whole seconds from 3s to 5m, with its unit, such as 9s",
				strings.Trim(value, "'")))
		}
		return valueTest{value, "", "timers:\n  holdTime: " + value + "\n", want}
	}
	runValueTests(t, []valueTest{
		hold("3s", true), hold("9s", true), hold("1m30s", true), hold("5m", true), hold("300s", true),
		hold("2s", false), hold("301s", false), hold("0s", false), hold("9", false), hold("9.5s", false), hold("''", false), hold("-9s", false),
	})
	var byDefault Timers
	for peers, want := range map[int]time.Duration{
		0: 9 * time.Second, 100: 9 * time.Second, 101: 30 * time.Second, 350: 30 * time.Second, 351: 90 * time.Second,
	} {
		if got := byDefault.HoldTimeFor(peers); got != want {
			t.Errorf("%d peers: %s, want %s", peers, got, want)
		}
		if got := (Timers{HoldTime: 5 * time.Second}).HoldTimeFor(peers); got != 5*time.Second {
			t.Errorf("%d peers: %s although 5s is set", peers, got)
		}
	}
}

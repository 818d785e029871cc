package config

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// minimal has the required keys only.
const minimal = `cluster:
  name: cluster-1
  podCIDRs: [10.1.0.0/16]
node:
  address: 9.111.255.21
bird:
  dial: 127.0.0.1:179
remotes:
  - name: cluster-2
    podCIDRs: [20.1.0.0/16]
    nodes:
      addresses: [9.111.255.152]
`

// edit replaces old in minimal, or appends new when old is empty.
func edit(t *testing.T, old, with string) string {
	t.Helper()
	if old == "" {
		return minimal + with
	}
	if strings.Count(minimal, old) != 1 {
		t.Fatalf("%q is not in the minimal configuration once", old)
	}
	return strings.Replace(minimal, old, with, 1)
}

// problems writes each Error in err as "line:column key: problem".
func problems(t *testing.T, err error) []string {
	t.Helper()
	var out []string
	all := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		all = joined.Unwrap()
	}
	for _, one := range all {
		var e *Error
		if !errors.As(one, &e) {
			t.Fatalf("%v (%T) is not an *Error", one, one)
		}
		out = append(out, fmt.Sprintf("%d:%d %s: %s", e.Line, e.Column, e.Key, e.Problem))
	}
	return out
}

// plain compares Configs by what they say, not by where they said it.
func plain() cmp.Options {
	return cmp.Options{
		cmpopts.IgnoreUnexported(Config{}),
		cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}, netip.AddrPort{}),
		cmpopts.EquateEmpty(),
	}
}

func TestParseFillsInDefaults(t *testing.T) {
	got, err := Parse([]byte(minimal), "routed.yaml", Env{})
	if err != nil {
		t.Fatal(err)
	}
	want := &Config{
		Cluster: Cluster{Name: "cluster-1", PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}, ASN: 64512},
		Node: Node{
			Address:  netip.MustParseAddr("9.111.255.21"),
			RouterID: netip.MustParseAddr("249.111.255.21"),
		},
		BIRD: BIRD{Dial: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:179")}},
		Listen: Listen{
			Addresses: []netip.Addr{netip.MustParseAddr("9.111.255.21")}, Port: 1790, Guard: GuardAuto,
		},
		Remotes: []Remote{{
			Name:         "cluster-2",
			PodCIDRs:     []netip.Prefix{netip.MustParsePrefix("20.1.0.0/16")},
			ASN:          64512,
			Port:         1790,
			Nodes:        Nodes{Addresses: []netip.Addr{netip.MustParseAddr("9.111.255.152")}},
			Sessions:     SessionAddress,
			Limits:       Limits{PrefixesPerNode: 256, Prefixes: 100_000},
			BlockLengths: BlockLengths{IPv4: LengthRange{20, 32}, IPv6: LengthRange{116, 128}},
		}},
		Kernel: Kernel{
			Table: 1790, Protocol: 114, RulePriority: 1790, Encapsulation: EncapsulationAuto, OnExit: OnExitKeep,
			ResyncInterval: time.Minute, ConvergenceDeadline: time.Minute,
		},
		Mesh: Mesh{
			Retention:       time.Hour,
			WithdrawalBrake: WithdrawalBrake{SharePercent: 50, Hold: 30 * time.Second},
		},
		Probe:   Probe{Timeout: time.Second, PathMTU: true, PacketsPerSecond: 100, Addresses: ProbeNone},
		Metrics: Metrics{Listen: netip.MustParseAddrPort("127.0.0.1:9790"), PeerLabel: true},
		Admin:   Admin{Socket: "/run/routed/routed.sock"},
		State:   State{Directory: "/var/lib/routed"},
		Log:     Log{Level: "info"},
	}
	if diff := cmp.Diff(want, got, plain()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"routed.yaml"}, got.Files()); diff != "" {
		t.Error(diff)
	}
}

const full = `
cluster: {name: a.b_C-1, podCIDRs: [10.1.0.0/16, "fd00:1::/64"], serviceCIDRs: [10.0.0.0/24], asn: 4200000000}
node: {address: 9.1.1.1, address6: "FD00::0021", routerID: 1.2.3.4}
bird: {accept: [127.0.0.1, "::1"]}
listen:
  addresses:
  - 9.1.1.1
  - fd00::21
  - 127.0.0.1
  port: 1179
  guard: none
remotes:
- name: b
  podCIDRs: [20.1.0.0/16]
  serviceCIDRs: [20.0.0.0/24]
  asn: 65001
  port: 1180
  nodes: {addresses: [9.2.2.2], hostsFile: b.hosts}
  reflectors: []
  nodeCIDRs: ["fd00:9::/64"]
  sessionFamilies: both
  password: ""
  maxHops: 3
  limits: {prefixesPerNode: 1, prefixes: 2}
  blockLengths: {ipv4: [24, 26], ipv6: [120, 122]}
  probeAddresses: [20.1.47.128]
- name: c
  podCIDRs: [30.1.0.0/16]
  nodes:
    hostsFile: b.hosts
    kubernetes: {kubeconfig: c.kubeconfig, context: x, labelSelector: "a=b"}
- name: d
  podCIDRs: [40.1.0.0/16]
  reflectors: [9.4.4.4, "[fd00::44]:1179"]
  nodeCIDRs: [9.4.0.0/16, "fd00::/64"]
kernel:
  table: main
  protocol: 200
  rulePriority: 100
  encapsulation: none
  onExit: flush
  resyncInterval: 1h
  convergenceDeadline: 1s
mesh: {retention: 720h, withdrawalBrake: {share: 75, hold: 1m30s}}
probe: {interval: 30s, timeout: 500ms, pathMTU: false, packetsPerSecond: 1000, addresses: first}
metrics: {listen: ":9100", webConfigFile: /etc/routed/web.yaml, peerLabel: false}
admin: {socket: /tmp/routed.sock}
state: {directory: state}
log: {level: debug}
`

func TestParseReadsEveryKey(t *testing.T) {
	got, err := Parse([]byte(full), "/etc/routed/routed.yaml", Env{})
	if err != nil {
		t.Fatal(err)
	}
	prefixes := func(s ...string) (out []netip.Prefix) {
		for _, one := range s {
			out = append(out, netip.MustParsePrefix(one))
		}
		return out
	}
	addrs := func(s ...string) (out []netip.Addr) {
		for _, one := range s {
			out = append(out, netip.MustParseAddr(one))
		}
		return out
	}
	want := &Config{
		Cluster: Cluster{
			Name: "a.b_C-1", PodCIDRs: prefixes("10.1.0.0/16", "fd00:1::/64"),
			ServiceCIDRs: prefixes("10.0.0.0/24"), ASN: 4200000000,
		},
		Node: Node{Address: addrs("9.1.1.1")[0], Address6: addrs("fd00::21")[0], RouterID: addrs("1.2.3.4")[0]},
		BIRD: BIRD{Accept: addrs("127.0.0.1", "::1")},
		Listen: Listen{
			Addresses: addrs("9.1.1.1", "fd00::21", "127.0.0.1"), Port: 1179, Guard: GuardNone,
		},
		Remotes: []Remote{
			{
				Name: "b", PodCIDRs: prefixes("20.1.0.0/16"), ServiceCIDRs: prefixes("20.0.0.0/24"), ASN: 65001, Port: 1180,
				Nodes:        Nodes{Addresses: addrs("9.2.2.2"), HostsFile: "/etc/routed/b.hosts"},
				NodeCIDRs:    prefixes("fd00:9::/64"),
				Sessions:     SessionBoth,
				MaxHops:      3,
				Limits:       Limits{PrefixesPerNode: 1, Prefixes: 2},
				BlockLengths: BlockLengths{IPv4: LengthRange{24, 26}, IPv6: LengthRange{120, 122}},

				ProbeAddresses: addrs("20.1.47.128"),
			},
			{
				Name: "c", PodCIDRs: prefixes("30.1.0.0/16"), ASN: 64512, Port: 1790,
				Nodes: Nodes{
					HostsFile:  "/etc/routed/b.hosts",
					Kubernetes: Kubernetes{Kubeconfig: "/etc/routed/c.kubeconfig", Context: "x", LabelSelector: "a=b"},
				},
				Sessions:     SessionAddress,
				Limits:       Limits{PrefixesPerNode: 256, Prefixes: 100_000},
				BlockLengths: BlockLengths{IPv4: LengthRange{20, 32}, IPv6: LengthRange{116, 128}},
			},
			{
				Name: "d", PodCIDRs: prefixes("40.1.0.0/16"), ASN: 64512, Port: 179,
				Reflectors:   []netip.AddrPort{netip.MustParseAddrPort("9.4.4.4:179"), netip.MustParseAddrPort("[fd00::44]:1179")},
				NodeCIDRs:    prefixes("9.4.0.0/16", "fd00::/64"),
				Sessions:     SessionAddress,
				Limits:       Limits{PrefixesPerNode: 256, Prefixes: 100_000},
				BlockLengths: BlockLengths{IPv4: LengthRange{20, 32}, IPv6: LengthRange{116, 128}},
			},
		},
		Kernel: Kernel{
			Table: TableMain, Protocol: 200, RulePriority: 100, Encapsulation: EncapsulationNone, OnExit: OnExitFlush,
			ResyncInterval: time.Hour, ConvergenceDeadline: time.Second,
		},
		Mesh: Mesh{
			Retention:       720 * time.Hour,
			WithdrawalBrake: WithdrawalBrake{SharePercent: 75, Hold: 90 * time.Second},
		},
		Probe: Probe{
			Interval: 30 * time.Second, Timeout: 500 * time.Millisecond, PacketsPerSecond: 1000, Addresses: ProbeFirst,
		},
		Metrics: Metrics{Listen: netip.MustParseAddrPort("[::]:9100"), WebConfigFile: "/etc/routed/web.yaml"},
		Admin:   Admin{Socket: "/tmp/routed.sock"},
		State:   State{Directory: "/etc/routed/state"},
		Log:     Log{Level: "debug"},
	}
	if diff := cmp.Diff(want, got, plain()); diff != "" {
		t.Error(diff)
	}
	files := []string{"/etc/routed/routed.yaml", "/etc/routed/b.hosts", "/etc/routed/c.kubeconfig", "/etc/routed/web.yaml"}
	if diff := cmp.Diff(files, got.Files()); diff != "" {
		t.Error(diff)
	}
}

func TestNullIsAbsent(t *testing.T) {
	for _, extra := range []string{"", "kernel:\n", "kernel: {table: }\nmesh: ~\nlisten: {addresses: null}\n", "---\n"} {
		text := extra + minimal
		if extra != "---\n" {
			text = minimal + extra
		}
		c, err := Parse([]byte("\xef\xbb\xbf"+strings.ReplaceAll(text, "\n", "\r\n")), "routed.yaml", Env{})
		if err != nil {
			t.Errorf("with %q: %v", extra, err)
		} else if c.Kernel.Table != 1790 || c.Mesh.Retention != time.Hour || len(c.Listen.Addresses) != 1 {
			t.Errorf("with %q: not the defaults: %+v", extra, c)
		}
	}
}

// TestNodeAddresses: each address is the file's, else that of $NODE_IP, else that of the default route; and pods of a family
// need one of it.
func TestNodeAddresses(t *testing.T) {
	const pods4, pods6, both = "10.1.0.0/16", "fd00:1::/64", "10.1.0.0/16, 'fd00:1::/64'"
	routes := func(v4, v6 string) func(bool) (netip.Addr, error) {
		return func(ipv6 bool) (netip.Addr, error) {
			text := v4
			if ipv6 {
				text = v6
			}
			if text == "" {
				return netip.Addr{}, errors.New("no such process")
			}
			return netip.MustParseAddr(text), nil
		}
	}
	const (
		missing  = "4:1 node.address: missing, "
		missing6 = "4:1 node.address6: missing, "
	)
	tests := []struct {
		name, pods, node, env string
		routes                func(bool) (netip.Addr, error)
		want                  string // the addresses, or the problem
	}{
		{"the file's", pods4, "address: 9.1.1.1", "9.1.1.2", routes("9.1.1.3", ""), "9.1.1.1"},
		{"$NODE_IP", pods4, "", "9.1.1.2", routes("9.1.1.3", ""), "9.1.1.2"},
		{"the default route's", pods4, "", "", routes("9.1.1.3", "fd00::3"), "9.1.1.3"},
		{"none", pods4, "", "", nil, missing + "and $NODE_IP is not set; 10.1.0.0/16 needs one"},
		{
			"no default route", pods4, "", "", routes("", "fd00::3"),
			missing + "$NODE_IP is not set, and the IPv4 default route has no address: no such process; 10.1.0.0/16 needs one",
		},
		{"a bad $NODE_IP", pods4, "", "node-1", nil, `0:0 node.address ($NODE_IP): "node-1" is not an IP address`},
		{"a $NODE_IP of the other family", pods4, "", "fd00::1", nil, missing + "and $NODE_IP has no IPv4 address; 10.1.0.0/16 needs one"},
		{"one of the other family and a route", pods4, "", "fd00::1", routes("9.1.1.3", ""), "9.1.1.3"},
		{
			"an IPv4-mapped route", pods4, "", "", routes("::ffff:9.1.1.3", ""),
			"0:0 node.address (of the default route): ::ffff:9.1.1.3 is an IPv4 address in IPv6 form; write 9.1.1.3",
		},
		{"IPv6 alone, the file's", pods6, "address6: fd00::1", "", routes("9.1.1.3", "fd00::3"), "fd00::1"},
		{"IPv6 alone, $NODE_IP", pods6, "", "fd00::2", routes("9.1.1.3", "fd00::3"), "fd00::2"},
		{"IPv6 alone, the default route's", pods6, "", "9.1.1.2", routes("9.1.1.3", "fd00::3"), "fd00::3"},
		{"IPv6 pods on nodes with both", pods6, "address: 9.1.1.1", "", routes("", "fd00::3"), "9.1.1.1 fd00::3"},
		{"IPv6 alone, none", pods6, "", "", nil, missing6 + "and $NODE_IP is not set; fd00:1::/64 needs one"},
		{
			"a link-local route", pods6, "", "", routes("", "fe80::1"),
			"0:0 node.address6 (of the default route): fe80::1 is a link-local address; a node is known by an address that means the same everywhere",
		},
		{"both, the file's", both, "address: 9.1.1.1\n  address6: fd00::1", "9.1.1.2,fd00::2", nil, "9.1.1.1 fd00::1"},
		{"both, $NODE_IP", both, "", "9.1.1.2,fd00::2", nil, "9.1.1.2 fd00::2"},
		{"both, $NODE_IP the other way round", both, "", "fd00::2, 9.1.1.2", nil, "9.1.1.2 fd00::2"},
		{"both, one from each", both, "", "9.1.1.2", routes("", "fd00::3"), "9.1.1.2 fd00::3"},
		{"both, half", both, "address: 9.1.1.1", "9.1.1.2", nil, missing6 + "and $NODE_IP has no IPv6 address; fd00:1::/64 needs one"},
		{"swapped", both, "address: fd00::1\n  address6: 9.1.1.1", "", nil, "" +
			"5:12 node.address: fd00::1 is not an IPv4 address; an IPv6 address goes into node.address6\n" +
			"6:13 node.address6: 9.1.1.1 is not an IPv6 address; an IPv4 address goes into node.address"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text := "cluster:\n  name: a\n  podCIDRs: [" + tt.pods + "]\nnode:\n  " + tt.node + "\nbird: {dial: '127.0.0.1:179'}\n"
			c, err := Parse([]byte(text), "routed.yaml", Env{DefaultAddress: tt.routes, Getenv: func(key string) string {
				if key == "NODE_IP" {
					return tt.env
				}
				return "9.9.9.9"
			}})
			var got string
			if err != nil {
				got = strings.Join(problems(t, err), "\n")
			} else {
				var words []string
				for _, a := range c.Node.Addresses() {
					words = append(words, a.String())
				}
				got = strings.Join(words, " ")
				if diff := cmp.Diff(c.Node.Addresses(), c.Listen.Addresses, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
					t.Errorf("listens elsewhere: %s", diff)
				}
			}
			if got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "routed.yaml")
	if err := os.WriteFile(path, []byte(minimal), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err := Load(path, Env{}); err != nil || c.Files()[0] != path {
		t.Errorf("got %v, %v", c, err)
	}
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	large := filepath.Join(dir, "large")
	if err := os.WriteFile(large, []byte(strings.Repeat("#", MaxFileSize+1)), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "none"): "configuration: stat " + filepath.Join(dir, "none") + ": no such file or directory",
		dir:                        "configuration: " + dir + " is not a regular file",
		fifo:                       "configuration: " + fifo + " is not a regular file",
		large:                      "configuration: " + large + " is larger than 262144 bytes; is it the right file?",
	} {
		if _, err := Load(path, Env{}); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

func TestParseBoundsTheSize(t *testing.T) {
	text := minimal + strings.Repeat("#", MaxFileSize-len(minimal))
	if _, err := Parse([]byte(text), "routed.yaml", Env{}); err != nil {
		t.Error(err)
	}
	if _, err := Parse([]byte(text+"#"), "routed.yaml", Env{}); err == nil {
		t.Error("accepted one byte more")
	}
}

// The files of a configuration that is refused are known all the same; of one that cannot be read, itself.
func TestNamed(t *testing.T) {
	read := func(text string) Env {
		return Env{ReadFile: func(string) ([]byte, error) {
			if text == "" {
				return nil, errors.New("no such file")
			}
			return []byte(text), nil
		}}
	}
	const broken = `
cluster: {podCIDRs: [nonsense], icpConfig: icp.yaml}
unknown: 1
bird: {passwordFile: bird.password}
metrics: {webConfigFile: /etc/web.yaml}
remotes:
- nodes: {hostsFile: a.hosts, kubernetes: {kubeconfig: a.kubeconfig}}
  passwordFile: a.password
- nodes: {hostsFile: a.hosts, kubernetes: {kubeconfig: 7}}
- nodes: [nonsense]
`
	for _, tc := range []struct {
		text string
		want []string
	}{
		{"", nil},
		{"not: [yaml", nil},
		{broken, []string{"/d/a.kubeconfig", "/d/icp.yaml", "/d/bird.password", "/etc/web.yaml", "/d/a.hosts", "/d/a.password"}},
	} {
		want := append([]string{"/d/routed.yaml"}, tc.want...)
		files, kubeconfigs := Named("/d/routed.yaml", read(tc.text))
		if diff := cmp.Diff(want, files); diff != "" {
			t.Errorf("%q: %s", tc.text, diff)
		}
		if isKube := len(kubeconfigs) == 1 && kubeconfigs[0] == "/d/a.kubeconfig"; isKube != (len(tc.want) > 0) {
			t.Errorf("%q: kubeconfigs %q", tc.text, kubeconfigs)
		}
	}
}

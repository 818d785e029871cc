package snat

import (
	"context"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"routed/lab"
)

func prefixes(list ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// run runs a program of one of the lab's tools, with the libraries and extensions that it needs.
func run(t *testing.T, tool lab.Tool, input, name string, args ...string) {
	t.Helper()
	found, err := tool.Find()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), found.Path(name), args...)
	cmd.Env = append(os.Environ(), found.Env()...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// host is this one, with the programs where the lab has them.
func host(t *testing.T) Host {
	t.Helper()
	found, err := lab.IPTables.Find()
	if err != nil {
		t.Fatal(err)
	}
	for _, env := range found.Env() {
		name, value, _ := strings.Cut(env, "=")
		t.Setenv(name, value)
	}
	dirs := []string{"/usr/sbin", "/sbin"}
	if path := found.Path(lab.IPTables.Program); filepath.IsAbs(path) {
		dirs = []string{filepath.Dir(path)}
		if lib, err := filepath.Glob(filepath.Join(filepath.Dir(path), "../lib/*/xtables")); err == nil && len(lib) > 0 {
			t.Setenv("XTABLES_LIBDIR", lib[0])
		}
	}
	return Host{Proc: os.DirFS("/proc"), Programs: dirs}
}

// What Felix writes, in each of its ways: https://github.com/projectcalico/calico/blob/master/felix/rules/nat.go.
const (
	felixSets = `create cali40masq-ipam-pools hash:net family inet
create cali40all-ipam-pools hash:net family inet
add cali40masq-ipam-pools 10.1.0.0/16
add cali40all-ipam-pools 10.1.0.0/16
`
	felixIPTables = `*nat
:cali-POSTROUTING - [0:0]
:cali-fip-snat - [0:0]
:cali-nat-outgoing - [0:0]
:KUBE-POSTROUTING - [0:0]
-A POSTROUTING -m comment --comment "cali:O3lYWMrLQYEMJtB5" -j cali-POSTROUTING
-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully
-A cali-POSTROUTING -m comment --comment "cali:Z-c7XtVd2Bq7s_hA" -j cali-fip-snat
-A cali-POSTROUTING -m comment --comment "cali:nYKhEzDlr11Jccal" -j cali-nat-outgoing
-A cali-POSTROUTING -o tunl0 -m comment --comment "cali:SXWvdsbh4Mw7wOln" -m addrtype ! --src-type LOCAL --limit-iface-out -m addrtype --src-type LOCAL -j MASQUERADE --random-fully
-A cali-nat-outgoing -m comment --comment "cali:flqWnvo8yq4ULQLa" -m set --match-set cali40masq-ipam-pools src -m set ! --match-set cali40all-ipam-pools dst -j MASQUERADE --random-fully
COMMIT
`
	felixNFT = `table ip calico {
	set cali40masq-ipam-pools { type ipv4_addr; flags interval; elements = { 10.1.0.0/16 } }
	set cali40all-ipam-pools { type ipv4_addr; flags interval; elements = { 10.1.0.0/16 } }
	chain nat-cali-fip-snat { }
	chain nat-cali-nat-outgoing {
		ip saddr @cali40masq-ipam-pools ip daddr != @cali40all-ipam-pools counter masquerade fully-random
	}
	chain nat-cali-POSTROUTING {
		counter jump nat-cali-fip-snat
		counter jump nat-cali-nat-outgoing
		oifname "tunl0" fib saddr . oif type != local fib saddr type local counter masquerade fully-random
	}
	chain nat-POSTROUTING {
		type nat hook postrouting priority srcnat; policy accept;
		counter jump nat-cali-POSTROUTING
	}
}`
)

// backends are the ways in which Felix's rules come into the kernel, and how a pool gets into its sets.
func backends(t *testing.T) map[string]struct {
	setUp      func()
	add, flush func(prefix string)
} {
	t.Helper()
	type way = struct {
		setUp      func()
		add, flush func(prefix string)
	}
	ipset := func(input string) { run(t, lab.IPSet, input, "usr/sbin/ipset", "restore") }
	iptables := func(kind string) way {
		return way{
			setUp: func() {
				ipset(felixSets)
				run(t, lab.IPTables, felixIPTables, "usr/sbin/iptables-"+kind+"-restore")
			},
			add: func(p string) { ipset("add cali40all-ipam-pools " + p + "\n") },
			flush: func(string) {
				run(t, lab.IPTables, "*nat\nCOMMIT\n", "usr/sbin/iptables-"+kind+"-restore")
				ipset("destroy\n")
			},
		}
	}
	nft := func(input string) { run(t, lab.NFT, input, "usr/sbin/nft", "-f", "-") }
	return map[string]way{
		"iptables-legacy": iptables("legacy"),
		"iptables-nft":    iptables("nft"),
		"nftables": {
			setUp: func() { nft(felixNFT) },
			add:   func(p string) { nft("add element ip calico cali40all-ipam-pools { " + p + " }") },
			flush: func(string) { nft("delete table ip calico") },
		},
	}
}

// Pods of this cluster are masqueraded on their way to remote pods until Felix knows the remote ranges as pools.
func TestFelix(t *testing.T) {
	lab.Need(t, lab.NFT, lab.IPTables, lab.IPSet)
	h := host(t)
	q := Query{From: prefixes("10.1.0.0/16", "fd01::/48"), To: prefixes("20.1.0.0/16", "fd02::/48"), Devices: []string{"eth0"}}
	for name, b := range backends(t) {
		t.Run(name, func(t *testing.T) {
			if found := h.Read(t.Context()); len(found.Find(q)) > 0 || len(found.Gaps) > 0 {
				t.Fatalf("no rule, and yet %+v %+v", found.Find(q), found.Gaps)
			}
			b.setUp()
			t.Cleanup(func() { b.flush("") })
			rules := h.Read(t.Context())
			found := rules.Find(q)
			if len(found) != 1 || len(rules.Gaps) > 0 {
				t.Fatalf("%+v %+v", found, rules)
			}
			t.Log(found)
			f := found[0]
			f.Look = ""
			want := Finding{
				From: netip.MustParseAddr("10.1.0.0"), To: netip.MustParseAddr("20.1.0.0"), Range: q.To[0], Table: "ip nat",
				Chain: "cali-nat-outgoing", Certain: true,
				Where: "where the source is in cali40masq-ipam-pools, the destination is not in cali40all-ipam-pools",
			}
			if name == "nftables" {
				want.Table, want.Chain = "ip calico", "nat-cali-nat-outgoing"
			}
			if diff := cmp.Diff(want, f, cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
				cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
				t.Error(diff)
			}
			b.add("20.1.0.0/17")
			if found := h.Read(t.Context()).Find(q); len(found) != 1 || found[0].To != netip.MustParseAddr("20.1.128.0") {
				t.Errorf("half of the range is a pool: %+v", found)
			}
			b.add("20.1.128.0/17")
			if found := h.Read(t.Context()).Find(q); len(found) != 0 {
				t.Errorf("all of the range is a pool: %+v", found)
			}
		})
	}
}

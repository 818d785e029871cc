package roster

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// list writes nodes as "ADDRESS[=NAME] ..." for short tables.
func list(nodes []Node) string {
	var out []string
	for _, n := range nodes {
		s := n.Addr.String()
		if n.Name != "" {
			s += "=" + n.Name
		}
		out = append(out, s)
	}
	return strings.Join(out, " ")
}

func TestParse(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"empty", "", ""},
		{"only comments", "# a\n\n; b\n   # c\n", ""},
		{
			"the hosts file of cluster-1",
			"9.111.255.21 gyliu-icp-1\n9.111.255.129 gyliu-icp-2\n9.111.255.29 gyliu-icp-3\n",
			"9.111.255.21=gyliu-icp-1 9.111.255.29=gyliu-icp-3 9.111.255.129=gyliu-icp-2",
		},
		{"aliases, tabs, comments, CRLF, BOM, no last newline", "\ufeff9.1.1.2\tb b.example # x\r\n 9.1.1.1 a#y", "9.1.1.1=a 9.1.1.2=b"},
		{"bare addresses", "9.1.1.1\nfd00::21\n", "9.1.1.1 fd00::21"},
		{"the same address twice", "9.1.1.1\n9.1.1.1 a\n9.1.1.1 b\n", "9.1.1.1=a"},
		{"IPv6 has one spelling", "fd00:0:0::0021 a\nFD00::21 b\n", "fd00::21=a"},
		{
			"ICP's cluster/hosts",
			"[master]\n9.1.1.1\n\n[worker]\n9.1.1.2 ansible_user=\"root\" ansible_port=22\n9.1.1.3\n" +
				"[proxy]\n9.1.1.1\n#[management]\n#4.4.4.4\n[va]\n9.1.1.4 ansible_ssh_pass='a # b'  # note\n",
			"9.1.1.1 9.1.1.2 9.1.1.3 9.1.1.4",
		},
		{
			"vars and children name no hosts",
			"[worker]\n9.1.1.1\n[worker:vars]\nansible_user=root\n9.9.9.9\n[all:children]\nworker\n[extra:hosts]\n9.1.1.2\n",
			"9.1.1.1 9.1.1.2",
		},
		{"hosts before any section", "9.1.1.9 ansible_user=x\n[a] # note\n9.1.1.8\n", "9.1.1.8 9.1.1.9"},
		{"a range", "[worker]\n9.111.255.[9:11]\n", "9.111.255.9 9.111.255.10 9.111.255.11"},
		{"two ranges, a step", "9.1.[1:2].[1:9:4]", "9.1.1.1 9.1.1.5 9.1.1.9 9.1.2.1 9.1.2.5 9.1.2.9"},
		{"an IPv6 range", "fd00::[1:3]", "fd00::1 fd00::2 fd00::3"},
		{"ports and brackets", "[a]\n9.1.1.1:2222\n[fd00::1]:22\n[fd00::2]\nfd00::3 x=y\n", "9.1.1.1 fd00::1 fd00::2 fd00::3"},
		{"names with ansible_host", "[m]\nm1 ansible_host=9.1.1.1\n[w]\nm1\nw1 ansible_ssh_host=9.1.1.2\n", "9.1.1.1=m1 9.1.1.2=w1"},
		{"ansible_host wins over the address", "[m]\n9.1.1.1 ansible_host=9.2.2.2\n", "9.2.2.2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			nodes, err := Parse("hosts", []byte(tt.in))
			if err != nil {
				t.Fatal(err)
			}
			if got := list(nodes); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestParseErrors(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"a name for an address", "9.1.1.1 a\n\nnode-2 9.1.1.2\n", `hosts:3: "node-2" is not an IP address`},
		{"two broken lines", "x\n9.1.1.1\ny\n", "hosts:1: \"x\" is not an IP address\nhosts:3: \"y\" is not an IP address"},
		{"leading zeros", "9.1.1.01 a\n", `hosts:1: "9.1.1.01" is not an IP address`},
		{"a zone", "fe80::1%eth0 a\n", "hosts:1: fe80::1%eth0 has a zone; a node is known by an address that means the same everywhere"},
		{"4in6", "::ffff:9.1.1.1\n", "hosts:1: ::ffff:9.1.1.1 is an IPv4 address in IPv6 form; write 9.1.1.1"},
		{"loopback", "127.0.0.1 localhost\n", "hosts:1: 127.0.0.1 is a loopback address, not a node's"},
		{"unspecified", "::\n", "hosts:1: :: is the unspecified address, not a node's"},
		{"multicast", "224.0.0.1\n", "hosts:1: 224.0.0.1 is not a unicast address"},
		{"broadcast", "255.255.255.255\n", "hosts:1: 255.255.255.255 is not a unicast address"},
		{"link-local", "fe80::1\n", "hosts:1: fe80::1 is a link-local address; a node is known by an address that means the same everywhere"},
		{"a name that hides", "9.1.1.1 a\x1b[2J\n", `hosts:1: the name "a\x1b[2J" is not one`},
		{"an inventory name without address", "[m]\nm1\n", `hosts:2: "m1" is not an IP address; give it one with ansible_host=ADDRESS`},
		{"no variable", "[m]\n9.1.1.1 name\n", `hosts:2: "name" after the host is not key=value`},
		{"unknown kind of section", "[m:nodes]\n", `hosts:1: a section of the unknown kind "nodes"; known are hosts, vars and children`},
		{"open quote", "[m]\n9.1.1.1 a=\"b\n", "hosts:2: a quote is not closed"},
		{"open bracket", "9.1.1.[1:2\n", `hosts:1: in "9.1.1.[1:2" a bracket is not closed`},
		{"no range", "9.1.1.[12]\n", `hosts:1: in "9.1.1.[12]": [12] is not a range FIRST:LAST or FIRST:LAST:STEP`},
		{"backwards", "9.1.1.[2:1]\n", `hosts:1: in "9.1.1.[2:1]": [2:1] begins after its end`},
		{"mixed ends", "9.1.1.[2:b]\n", `hosts:1: in "9.1.1.[2:b]": [2:b]: 2 and b are not two numbers or two letters`},
		{"mixed case", "n[a:B] ansible_host=9.1.1.1\n", `hosts:1: in "n[a:B]": [a:B]: a and B are not two numbers or two letters`},
		{"step 0", "9.1.1.[1:2:0]\n", `hosts:1: in "9.1.1.[1:2:0]": [1:2:0]: the step is not a number from 1`},
		{"huge step", "9.1.1.[1:2:9223372036854775807]\n", `hosts:1: in "9.1.1.[1:2:9223372036854775807]": [1:2:9223372036854775807]: the step is not a number from 1`},
		{"a large range", "9.1.1.[1:99999]\n", `hosts:1: in "9.1.1.[1:99999]": [1:99999] has more than 4096 values`},
		{"a large product", "9.[1:99].[1:99].1\n", `hosts:1: "9.[1:99].[1:99].1" stands for more than 4096 hosts`},
		{"a long pattern", strings.Repeat("[1:1]", 51) + "\n", "hosts:1: a host of 255 characters; at most 253"},
		{"past the last address", "9.1.1.[255:256]\n", `hosts:1: "9.1.1.256" is not an IP address; give it one with ansible_host=ADDRESS`},
		{"many hosts", strings.Repeat("9.1.[1:16].[0:254]\n", 5), "hosts:5: more than 16384 hosts"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			nodes, err := Parse("hosts", []byte(tt.in))
			if err == nil {
				t.Fatalf("accepted: %v", nodes)
			}
			if got := err.Error(); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			var le *LineError
			if !errors.As(err, &le) || le.File != "hosts" || le.Line == 0 {
				t.Errorf("no LineError in %v", err)
			}
		})
	}
}

func TestParseTellsOfAFewBrokenLinesOnly(t *testing.T) {
	for _, prefix := range []string{"", "[m]\n"} {
		_, err := Parse("hosts", []byte(prefix+strings.Repeat("x\n", 1000)))
		if err == nil || strings.Count(err.Error(), "\n")+1 != maxProblems {
			t.Errorf("with %q: %v", prefix, err)
		}
	}
}

func TestParseBoundsPlainLists(t *testing.T) {
	var b strings.Builder
	for i := range maxNodes + 100 {
		fmt.Fprintf(&b, "9.%d.%d.1\n", i/256, i%256)
	}
	_, err := Parse("hosts", []byte(b.String()))
	if want := "hosts:16385: more than 16384 nodes"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestExpandNumbersKeepTheirWidth(t *testing.T) {
	got, err := expand("n[08:10]-[a:c:2]")
	want := []string{"n08-a", "n08-c", "n09-a", "n09-c", "n10-a", "n10-c"}
	if err != nil || !cmp.Equal(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
}

func mustAddr(t *testing.T, s string) netip.Addr {
	t.Helper()
	a, err := ParseAddr(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func addrs() *rapid.Generator[netip.Addr] {
	return rapid.Custom(func(t *rapid.T) netip.Addr {
		last := rapid.Byte().Draw(t, "last")
		if rapid.Bool().Draw(t, "v6") {
			return netip.AddrFrom16([16]byte{0: 0xfd, 15: last})
		}
		return netip.AddrFrom4([4]byte{9, 1, 1, last})
	})
}

func nodes() *rapid.Generator[[]Node] {
	return rapid.SliceOf(rapid.Custom(func(t *rapid.T) Node {
		return Node{Addr: addrs().Draw(t, "addr"), Name: rapid.StringMatching(`([a-z][a-z0-9-]{0,5})?`).Draw(t, "name")}
	}))
}

// TestMerge: every address of every list once and in order, with a name whenever a list has one; merging again, or
// in parts, changes nothing; the lists stay as they were.
func TestMerge(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := nodes().Draw(t, "a"), nodes().Draw(t, "b")
		wasA, wasB := list(a), list(b)
		got := Merge(a, b)
		want := make(map[netip.Addr]string)
		for _, n := range append(append([]Node(nil), a...), b...) {
			if want[n.Addr] == "" {
				want[n.Addr] = n.Name
			}
		}
		if len(got) != len(want) {
			t.Fatalf("%d nodes, want %d", len(got), len(want))
		}
		for i, n := range got {
			if n.Name != want[n.Addr] {
				t.Fatalf("%v is named %q, want %q", n.Addr, n.Name, want[n.Addr])
			}
			if i > 0 && got[i-1].Addr.Compare(n.Addr) >= 0 {
				t.Fatalf("%v before %v", got[i-1].Addr, n.Addr)
			}
		}
		if again := Merge(Merge(a), Merge(b), got); list(again) != list(got) {
			t.Fatalf("merged again: %s, want %s", list(again), list(got))
		}
		if list(a) != wasA || list(b) != wasB {
			t.Fatal("a list was changed")
		}
	})
}

// TestParseReadsWhatIsWritten: the same nodes written as hosts lines and as an inventory are read back alike.
func TestParseReadsWhatIsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := Merge(nodes().Draw(t, "nodes"))
		var hosts, inventory strings.Builder
		inventory.WriteString("[worker]\n")
		for i := range want {
			want[i].Name = fmt.Sprintf("node-%d", i)
			fmt.Fprintf(&hosts, "%s\t%s alias\n", want[i].Addr, want[i].Name)
			fmt.Fprintf(&inventory, "%s ansible_host=%q ansible_user=root\n", want[i].Name, want[i].Addr.String())
		}
		for _, text := range []string{hosts.String(), inventory.String()} {
			got, err := Parse("hosts", []byte(text))
			if err != nil || list(got) != list(want) {
				t.Fatalf("%s\nread as %v, %v", text, got, err)
			}
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"9.111.255.21 gyliu-icp-1\n", "[master]\n9.1.1.1\n[worker:vars]\na=b\n", "9.1.1.[1:3] a='b c' # d\n",
		"[fd00::1]:22\n", "m1 ansible_host=9.1.1.1\nm1\n[a:children]\n", "n[a:c]-[01:10:3]\\\n", "\"\n", "[]\n", "[:]\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		nodes, err := Parse("hosts", data)
		if err != nil {
			var le *LineError
			if !errors.As(err, &le) || nodes != nil {
				t.Fatalf("%v, %v", nodes, err)
			}
			return
		}
		if len(nodes) > maxNodes {
			t.Fatalf("%d nodes", len(nodes))
		}
		for i, n := range nodes {
			if a, err := ParseAddr(n.Addr.String()); err != nil || a != n.Addr {
				t.Fatalf("%v is no address of a node: %v", n.Addr, err)
			}
			if i > 0 && nodes[i-1].Addr.Compare(n.Addr) >= 0 {
				t.Fatalf("%v before %v", nodes[i-1].Addr, n.Addr)
			}
		}
	})
}

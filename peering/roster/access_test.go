package roster

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseAccess(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		want       []string // ADDRESS "NAME" "USER" PORT
	}{
		{"plain hosts say nothing", "9.111.255.21 gyliu-icp-1\n9.111.255.29 gyliu-icp-3\n", []string{`9.111.255.21 "gyliu-icp-1" "" 0`, `9.111.255.29 "gyliu-icp-3" "" 0`}},
		{
			"ICP's own", "[master]\n9.111.255.21 ansible_user=\"root\" ansible_port=\"22\"\n[worker]\n9.111.255.21\n9.111.255.29 ansible_user=ubuntu\n",
			[]string{`9.111.255.21 "" "root" 22`, `9.111.255.29 "" "ubuntu" 0`},
		},
		{"old names, quotes", "[worker]\n9.111.255.21 ansible_ssh_user='ubuntu' ansible_ssh_port=2222 ansible_ssh_pass=\"no, no\"\n", []string{`9.111.255.21 "" "ubuntu" 2222`}},
		{
			"a port beside the address", "[worker]\n9.111.255.21:2200\n9.111.255.29:2200 ansible_port=22\n[fd00::21]:24 ansible_user=a\n",
			[]string{`9.111.255.21 "" "" 2200`, `9.111.255.29 "" "" 22`, `fd00::21 "" "a" 24`},
		},
		{
			"variables of groups", "[worker]\n9.111.255.21\n9.111.255.29 ansible_user=own\n[proxy]\n9.111.255.77\n[worker:vars]\nansible_user = ubuntu # as told\n" +
				"[all:vars]\nansible_user=root\nansible_port=2022\nansible_ssh_pass=secret\n",
			[]string{`9.111.255.21 "" "ubuntu" 2022`, `9.111.255.29 "" "own" 2022`, `9.111.255.77 "" "root" 2022`},
		},
		{
			"names and ranges", "[worker]\nnode[1:2] ansible_user=u\n[all]\nnode1 ansible_host=9.111.255.1\nnode2 ansible_host=9.111.255.2 ansible_port=3\n",
			[]string{`9.111.255.1 "node1" "u" 0`, `9.111.255.2 "node2" "u" 3`},
		},
		{"the first line wins", "[worker]\n9.111.255.21 ansible_user=a\n[proxy]\n9.111.255.21 ansible_user=b ansible_port=5\n", []string{`9.111.255.21 "" "a" 5`}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			list, err := ParseAccess("hosts", []byte(tc.text))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, a := range list {
				got = append(got, fmt.Sprintf("%s %q %q %d", a.Addr, a.Name, a.User, a.Port))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParseAccessRefuses(t *testing.T) {
	for text, says := range map[string]string{
		"[w]\n9.111.255.21 ansible_user='-oProxyCommand=x'\n": `hosts:2: ansible_user: "-oProxyCommand=x" is not the name of a user`,
		"[w]\n9.111.255.21 ansible_user=\"a b\"\n":            `hosts:2: ansible_user: "a b" is not the name of a user`,
		"[w]\n9.111.255.21 ansible_user='a$(id)b'\n":          "is not the name of a user",
		"[w]\n9.111.255.21 ansible_port=70000\n":              `hosts:2: ansible_port: "70000" is not a port from 1 to 65535`,
		"[w]\n9.111.255.21\n[all:vars]\nansible_port=x\n":     `ansible_port: "x" is not a port`,
		"[w]\nnobody\n": "not an IP address",
		"[w]\n9.111.255.21 ansible_port=0 ansible_ssh_pass=topsecret": `"0" is not a port`,
	} {
		_, err := ParseAccess("hosts", []byte(text))
		if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "topsecret") {
			t.Errorf("%q: %v, want %s", text, err, says)
		}
	}
}

// Whatever a list is, the hosts are those that Parse finds, and nothing of it can be taken for an option by ssh.
func FuzzParseAccess(f *testing.F) {
	f.Add("[w]\n9.111.255.21:22 ansible_user=root\n[w:vars]\nansible_port=2\n")
	f.Add("9.111.255.21 a\n")
	f.Add("[a]\n[fd00::1]:22 ansible_host=fd00::2\n[all:vars]\nansible_user=x\n")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := ParseAccess("hosts", []byte(text))
		nodes, parseErr := Parse("hosts", []byte(text))
		if parseErr != nil && err == nil {
			t.Fatalf("taken although Parse says %v", parseErr)
		}
		if err != nil {
			return
		}
		if len(list) != len(nodes) {
			t.Fatalf("%d hosts, Parse has %d", len(list), len(nodes))
		}
		for i, a := range list {
			if a.Node != nodes[i] || a.User != "" && CheckUser(a.User) != nil {
				t.Errorf("%+v, Parse has %+v", a, nodes[i])
			}
		}
	})
}

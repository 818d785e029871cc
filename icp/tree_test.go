package icp

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"routed/calico"
	"routed/config"
	"routed/peering/roster"
)

func hosts(t rapid.TB, text string) []roster.Access {
	t.Helper()
	list, err := roster.ParseAccess("hosts", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func prefixes(list ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// seed is the two clusters of the founding document, as ICP's installer knows them.
func seed(t rapid.TB) []Cluster {
	t.Helper()
	return []Cluster{
		{
			Name:  "cluster-1",
			Hosts: hosts(t, "[master]\n9.111.255.21 ansible_user=\"root\" ansible_ssh_pass=topsecret\n[worker]\n9.111.255.129 ansible_port=2222\n9.111.255.29\n"),
			ICP:   config.ICP{PodCIDRs: prefixes("10.1.0.0/16"), ServiceCIDRs: prefixes("10.0.0.0/24")},
		},
		{
			Name:  "cluster-2",
			Hosts: hosts(t, "[worker]\nubuntu-3 ansible_host=9.111.255.152\n9.111.255.155\n9.111.255.77 ansible_user=own\n"),
			ICP:   config.ICP{PodCIDRs: prefixes("20.1.0.0/16"), ServiceCIDRs: prefixes("20.0.0.0/24"), User: "ubuntu"},
		},
	}
}

func fileOf(files []File, name string) string {
	for _, f := range files {
		if f.Path == name {
			return string(f.Data)
		}
	}
	return ""
}

func TestTree(t *testing.T) {
	files, err := Tree(seed(t), Options{Calico: &calico.Version{Major: 3, Minor: 5}, More: "mesh: {retention: 2h}"})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 6*2+2+1 {
		t.Errorf("%d files", len(files))
	}
	wantHosts := HostsHead + "\ncluster-1\t9.111.255.21\troot\t22\ncluster-1\t9.111.255.29\troot\t22\ncluster-1\t9.111.255.129\troot\t2222\n" +
		"cluster-2\t9.111.255.77\town\t22\ncluster-2\t9.111.255.152\tubuntu\t22\ncluster-2\t9.111.255.155\tubuntu\t22\n"
	if got := fileOf(files, "hosts"); got != wantHosts {
		t.Errorf("hosts:\n%s", got)
	}
	golden, err := os.ReadFile("testdata/routed.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if got := fileOf(files, "cluster-1/9.111.255.21/routed.yaml"); got != string(golden) {
		t.Errorf("routed.yaml:\n%s", got)
	}
	if got, want := fileOf(files, "cluster-1/9.111.255.21/cluster-2.hosts"), "9.111.255.77\n9.111.255.152 ubuntu-3\n9.111.255.155\n"; got != want {
		t.Errorf("cluster-2.hosts:\n%s", got)
	}
	if got := fileOf(files, "cluster-2/calico.yaml"); !strings.Contains(got, "cidr: 10.1.0.0/16") || !strings.Contains(got, "peerIP: 127.0.0.1\n") {
		t.Errorf("calico.yaml:\n%s", got)
	}
	for _, f := range files {
		if strings.Contains(string(f.Data), "topsecret") {
			t.Errorf("%s has a password of the inventory", f.Path)
		}
	}
}

func TestTreeRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(c []Cluster) []Cluster
		more   string
		says   string
	}{
		"one cluster":     {change: func(c []Cluster) []Cluster { return c[:1] }, says: "a mesh takes two"},
		"one name":        {change: func(c []Cluster) []Cluster { c[1].Name = "cluster-1"; return c }, says: "cluster cluster-1: the name is taken"},
		"the list's name": {change: func(c []Cluster) []Cluster { c[1].Name = "hosts"; return c }, says: "the name is taken"},
		"a way out":       {change: func(c []Cluster) []Cluster { c[1].Name = ".."; return c }, says: "not a name"},
		"a folder":        {change: func(c []Cluster) []Cluster { c[1].Name = "a/b"; return c }, says: "not a name"},
		"not a name":      {change: func(c []Cluster) []Cluster { c[1].Name = "a$b"; return c }, says: "name"},
		"no host":         {change: func(c []Cluster) []Cluster { c[1].Hosts = nil; return c }, says: "no host"},
		"a user that is an option": {
			change: func(c []Cluster) []Cluster { c[0].ICP.User = "-oProxyCommand=x"; return c }, says: "not the name of a user",
		},
		"the installer's default in both": {
			change: func(c []Cluster) []Cluster { c[1].ICP.PodCIDRs = prefixes("10.1.0.0/16"); return c }, says: "overlaps 10.1.0.0/16 of cluster.podCIDRs[0]",
		},
		"a host in both":    {change: func(c []Cluster) []Cluster { c[1].Hosts = c[0].Hosts; return c }, says: "this node's own address"},
		"a key twice":       {more: "cluster: {asn: 1}", says: "cluster"},
		"an unknown key":    {more: "nonsense: 1", says: "nonsense"},
		"a port of its own": {more: "listen: {port: 1179}", says: "listen.port"},
	} {
		t.Run(name, func(t *testing.T) {
			c := seed(t)
			if tc.change != nil {
				c = tc.change(c)
			}
			if _, err := Tree(c, Options{More: tc.more}); err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("got %v, want %s", err, tc.says)
			}
		})
	}
	_, err := Tree(seed(t), Options{Calico: &calico.Version{Major: 3, Minor: 5}, More: "kernel: {table: main}"})
	var wrong *calico.Error
	if !errors.As(err, &wrong) || wrong.Key != "kernel.table" {
		t.Errorf("what does not go with Calico: %v", err)
	}
}

// Every host of every cluster gets a configuration that is its own, lists all hosts of the others, and can be used.
func TestTreeProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfNDistinct(rapid.StringMatching(`[A-Za-z0-9][-A-Za-z0-9_.]{0,8}`).
			Filter(func(s string) bool { return s != HostsFile }), 2, 3, rapid.ID).Draw(t, "names")
		var clusters []Cluster
		for i, name := range names {
			var text strings.Builder
			for j := range rapid.IntRange(1, 3).Draw(t, "hosts") {
				fmt.Fprintf(&text, "9.%d.255.%d\n", i+1, j+1)
			}
			clusters = append(clusters, Cluster{Name: name, Hosts: hosts(t, text.String()), ICP: config.ICP{PodCIDRs: prefixes(fmt.Sprintf("10.%d.0.0/16", i))}})
		}
		files, err := Tree(clusters, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range clusters {
			for _, h := range c.Hosts {
				dir := path.Join(c.Name, h.Addr.String())
				cfg, err := config.Parse([]byte(fileOf(files, path.Join(dir, ConfigFile))), "/etc/routed/routed.yaml", config.Env{})
				if err != nil {
					t.Fatal(err)
				}
				if cfg.Cluster.Name != c.Name || cfg.Node.Address != h.Addr || len(cfg.Remotes) != len(clusters)-1 {
					t.Errorf("%s: not its own: %+v", dir, cfg.Cluster)
				}
				for _, r := range cfg.Remotes {
					listed, err := roster.Parse(r.Name, []byte(fileOf(files, path.Join(dir, path.Base(r.Nodes.HostsFile)))))
					if err != nil || len(listed) == 0 {
						t.Errorf("%s: the hosts of %s: %v, %v", dir, r.Name, listed, err)
					}
				}
			}
		}
	})
}

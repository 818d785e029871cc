package config

import (
	"errors"
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzParse: whatever the file says, there is no panic, every problem is an [Error] about this file, and what is
// accepted keeps the promises of Config.
func FuzzParse(f *testing.F) {
	reference, err := os.ReadFile("reference.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		string(reference), minimal, full, three, withICP, "", "a: *x", "? [a]: b", "- - {", "%YAML 1.2\n---\n", "cluster: &a {name: *a}",
		"<<: {cluster: x}", "cluster:\n  name: |-\n    x\n", "remotes: [~, {nodes: {kubernetes: {context: x}}}]", "bird: {password: 'x",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 8<<10 {
			return // nesting costs the YAML library the square of its depth
		}
		env := Env{
			Getenv:   func(string) string { return "9.111.255.21" },
			ReadFile: func(string) ([]byte, error) { return []byte(text), nil },
		}
		named, _ := Named("fuzz.yaml", env)
		c, err := Parse([]byte(text), "fuzz.yaml", env)
		if err == nil && !slices.Equal(slices.Sorted(slices.Values(named)), slices.Sorted(slices.Values(c.Files()))) {
			t.Fatalf("named %q, but files %q", named, c.Files())
		}
		if err != nil {
			problems(t, err)
			return
		}
		promises(t, c)
		again, err := Parse([]byte(text), "fuzz.yaml", env)
		if err != nil || !cmp.Equal(c, again, plain()) {
			t.Fatalf("parsed again: %v", err)
		}
		if err := Check(c, map[string]Listed{"cluster-2": {HostsFile: c.Listen.Addresses, Kubernetes: c.Listen.Addresses}}); err != nil {
			problems(t, err)
		}
	})
}

// promises holds a Config to its documentation.
func promises(t *testing.T, c *Config) {
	t.Helper()
	var broken []error
	hold := func(ok bool, promise string) {
		if !ok {
			broken = append(broken, errors.New(promise))
		}
	}
	hold(c.Cluster.Name != "" && len(c.Cluster.PodCIDRs) > 0, "the cluster has a name and pod ranges")
	hold(c.Node.RouterID.Is4() && c.Node.RouterID != c.Node.Address, "the router ID is its own")
	for _, p := range slices.Concat(c.Cluster.PodCIDRs, c.RemotePodCIDRs()) {
		hold(p.Addr().Is4() && c.Node.Address.Is4() || p.Addr().Is6() && c.Node.Address6.Is6(), "the node has an address of every family of pods")
	}
	hold((len(c.BIRD.Dial) > 0) != (len(c.BIRD.Accept) > 0), "exactly one of dial and accept")
	hold(len(c.Listen.Addresses) > 0 && c.Listen.Port > 0, "there is somewhere to listen")
	hold(c.Kernel.Table == TableMain || c.Kernel.Table >= minTable, "the table is nobody else's")
	hold(c.Kernel.ResyncInterval > 0 && c.Mesh.Retention > 0 && c.Kernel.ConvergenceDeadline > 0, "durations are positive")
	hold(len(c.Files()) > 0 && c.Files()[0] == "fuzz.yaml", "the file itself comes first")
	names := map[string]bool{c.Cluster.Name: true}
	for _, r := range c.Remotes {
		hold(!names[r.Name], "names are unique")
		names[r.Name] = true
		hold(len(r.PodCIDRs) > 0 && r.Port > 0 && r.ASN > 0, "a remote has pod ranges, a port and an AS")
		nodes := len(r.Nodes.Addresses) > 0 || r.Nodes.HostsFile != "" || r.Nodes.Kubernetes.Used()
		hold(nodes != (len(r.Reflectors) > 0), "a remote has a source of nodes, or reflectors")
		hold(len(r.Reflectors) == 0 || len(r.NodeCIDRs) > 0, "reflectors come with node ranges")
		hold(len(r.NodeCIDRs) == 0 || len(r.Reflectors) > 0 || r.Sessions == SessionBoth, "a node of one family has its own next hop")
		hold(r.BlockLengths.IPv4.Min <= r.BlockLengths.IPv4.Max, "lengths are in order")
		for _, p := range r.PodCIDRs {
			hold(p.IsValid() && p == p.Masked(), "prefixes are masked")
		}
	}
	for _, err := range broken {
		t.Error(err)
	}
}

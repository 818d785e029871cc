package icp

import (
	"bytes"
	"cmp"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"routed/calico"
	"routed/config"
	"routed/peering/roster"
)

// Cluster is one cluster as its own files describe it.
type Cluster struct {
	Name  string
	Hosts []roster.Access // as [roster.ParseAccess] gives them
	ICP   config.ICP
}

// Options are what the clusters' own files do not say.
type Options struct {
	More   string          // YAML at the end of every host's routed.yaml; keys that are there already are an error
	Calico *calico.Version // write the Calico objects of each cluster as well, for this version
}

// File is one file of the tree.
type File struct {
	Path string // relative, with slashes
	Data []byte
}

// The names in the tree.
const (
	HostsFile  = "hosts"       // of every cluster, one a line: cluster, address, user and port of SSH, tabs between them
	ConfigFile = "routed.yaml" // CLUSTER/ADDRESS/routed.yaml, with a CLUSTER.hosts beside it for each remote cluster
	CalicoFile = "calico.yaml" // CLUSTER/calico.yaml
)

// HostsHead is the first line of HostsFile, by which a tree is known.
const HostsHead = "# Written by `routed icp`: cluster, address, user and port of SSH."

// What an inventory need not say.
const (
	defaultUser = "root"
	defaultPort = 22
)

// Tree gives the files of all hosts, CLUSTER/ADDRESS/ each, and the list of the hosts. The order is that of the clusters, and
// by address in each. The error says which host's configuration cannot be used and why; one host is enough.
func Tree(clusters []Cluster, o Options) ([]File, error) {
	if err := checkNames(clusters); err != nil {
		return nil, err
	}
	var files []File
	list := bytes.NewBufferString(HostsHead + "\n")
	for _, c := range clusters {
		t := tree{own: c, clusters: clusters, options: o}
		more, err := t.files()
		if err != nil {
			return nil, err
		}
		files = append(files, more...)
		for _, h := range c.Hosts {
			fmt.Fprintf(list, "%s\t%s\t%s\t%d\n", c.Name, h.Addr, cmp.Or(h.User, c.ICP.User, defaultUser), cmp.Or(h.Port, defaultPort))
		}
	}
	return append(files, File{HostsFile, list.Bytes()}), nil
}

// checkNames refuses what could not be the name of a folder, or would be that of two. What else a name must be, package config says.
func checkNames(clusters []Cluster) error {
	if len(clusters) < 2 {
		return fmt.Errorf("%d cluster; a mesh takes two", len(clusters))
	}
	seen := map[string]bool{HostsFile: true}
	for _, c := range clusters {
		switch {
		case seen[c.Name]:
			return fmt.Errorf("cluster %s: the name is taken", c.Name)
		case c.Name == "" || c.Name[0] == '.' || c.Name[0] == '-' || strings.ContainsAny(c.Name, "/ \t\n"):
			return fmt.Errorf("cluster %q: not a name", c.Name)
		case len(c.Hosts) == 0:
			return fmt.Errorf("cluster %s: its inventory has no host", c.Name)
		}
		if c.ICP.User != "" {
			if err := roster.CheckUser(c.ICP.User); err != nil {
				return fmt.Errorf("cluster %s: ansible_user: %w", c.Name, err)
			}
		}
		seen[c.Name] = true
	}
	return nil
}

// tree makes the files of one cluster.
type tree struct {
	own      Cluster
	clusters []Cluster
	options  Options
}

func (t tree) files() ([]File, error) {
	var files []File
	for i, h := range t.own.Hosts {
		dir := path.Join(t.own.Name, h.Addr.String())
		text, err := t.hostConfig(h)
		if err != nil {
			return nil, err
		}
		cfg, err := t.check(path.Join(dir, ConfigFile), text)
		if err != nil {
			return nil, fmt.Errorf("host %s of %s: %w", h.Addr, t.own.Name, err)
		}
		if i == 0 && t.options.Calico != nil {
			objects, err := calico.Manifest(cfg, *t.options.Calico, calico.Calicoctl)
			if err != nil {
				return nil, fmt.Errorf("cluster %s: %w", t.own.Name, err)
			}
			files = append(files, File{path.Join(t.own.Name, CalicoFile), objects})
		}
		files = append(files, File{path.Join(dir, ConfigFile), text})
		for _, remote := range t.remotes() {
			files = append(files, File{path.Join(dir, rosterFile(remote)), rosterOf(remote)})
		}
	}
	return files, nil
}

// check reads the configuration of a host as its daemon will.
func (t tree) check(name string, text []byte) (*config.Config, error) {
	cfg, err := config.Parse(text, name, config.Env{})
	if err != nil {
		return nil, err
	}
	listed := map[string]config.Listed{}
	for _, remote := range t.remotes() {
		var l config.Listed
		for _, h := range remote.Hosts {
			l.HostsFile = append(l.HostsFile, h.Addr)
		}
		listed[remote.Name] = l
	}
	if cfg.Listen.Port != cfg.Remotes[0].Port {
		return nil, fmt.Errorf("listen.port: every host dials port %d of the others; leave it out", cfg.Remotes[0].Port)
	}
	return cfg, config.Check(cfg, listed)
}

func (t tree) remotes() []Cluster {
	return slices.DeleteFunc(slices.Clone(t.clusters), func(c Cluster) bool { return c.Name == t.own.Name })
}

func rosterFile(remote Cluster) string { return remote.Name + ".hosts" }

// rosterOf lists the hosts of a remote cluster as hosts(5) does.
func rosterOf(remote Cluster) []byte {
	var out bytes.Buffer
	for _, h := range remote.Hosts {
		fmt.Fprintln(&out, strings.TrimSpace(h.Addr.String()+" "+h.Name))
	}
	return out.Bytes()
}

// hostYAML is what of a routed.yaml the clusters' own files say.
type hostYAML struct {
	Cluster clusterYAML       `yaml:"cluster"`
	Node    nodeYAML          `yaml:"node"`
	BIRD    map[string]string `yaml:"bird"`
	Remotes []clusterYAML     `yaml:"remotes"`
}

type clusterYAML struct {
	Name         string     `yaml:"name"`
	PodCIDRs     []string   `yaml:"podCIDRs,flow"`
	ServiceCIDRs []string   `yaml:"serviceCIDRs,flow,omitempty"`
	Nodes        *nodesYAML `yaml:"nodes,omitempty"`
}

type nodeYAML struct {
	Address  string `yaml:"address,omitempty"`
	Address6 string `yaml:"address6,omitempty"`
}

type nodesYAML struct {
	HostsFile string `yaml:"hostsFile"`
}

func (t tree) hostConfig(h roster.Access) ([]byte, error) {
	y := hostYAML{Cluster: describe(t.own), BIRD: map[string]string{"dial": "127.0.0.1:179"}}
	if h.Addr.Is6() {
		y.Node.Address6, y.BIRD["dial"] = h.Addr.String(), "[::1]:179"
	} else {
		y.Node.Address = h.Addr.String()
	}
	for _, remote := range t.remotes() {
		r := describe(remote)
		r.Nodes = &nodesYAML{HostsFile: rosterFile(remote)}
		y.Remotes = append(y.Remotes, r)
	}
	body, err := yaml.MarshalWithOptions(y, yaml.IndentSequence(true))
	if err != nil {
		return nil, err
	}
	head := fmt.Sprintf("# Written by `routed icp` from the files that the clusters were installed from, for %s of %s.\n", h.Addr, t.own.Name)
	text := slices.Concat([]byte(head), body)
	if t.options.More != "" {
		text = slices.Concat(text, []byte("\n"), []byte(strings.TrimSuffix(t.options.More, "\n")), []byte("\n"))
	}
	return text, nil
}

func describe(c Cluster) clusterYAML {
	return clusterYAML{Name: c.Name, PodCIDRs: words(c.ICP.PodCIDRs), ServiceCIDRs: words(c.ICP.ServiceCIDRs)}
}

func words(list []netip.Prefix) []string {
	out := make([]string, len(list))
	for i, p := range list {
		out[i] = p.String()
	}
	return out
}

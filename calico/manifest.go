package calico

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/goccy/go-yaml"

	"routed/config"
)

// Client is what the objects are to be given to.
type Client string

// The clients there are. Their objects differ in the API group.
const (
	Calicoctl Client = "calicoctl" // projectcalico.org/v3, which kubectl takes as well where Calico's API server serves it
	Kubectl   Client = "kubectl"   // crd.projectcalico.org/v1: the custom resources in which Calico keeps its data in Kubernetes
)

// Clients lists them, the default first.
func Clients() []Client { return []Client{Calicoctl, Kubectl} }

func (c Client) apiVersion() string {
	if c == Kubectl {
		return "crd.projectcalico.org/v1"
	}
	return "projectcalico.org/v3"
}

// Manifest writes the objects that the mesh of this configuration needs in the Calico of its own cluster: YAML documents, each
// with a comment that says what it is for. The same comes out of the configuration of every node of a cluster. The error
// is an [Error] when the configuration does not go with the version.
func Manifest(cfg *config.Config, v Version, c Client) ([]byte, error) {
	if !slices.Contains(Clients(), c) {
		return nil, fmt.Errorf("%q is none of %v", c, Clients())
	}
	if err := checkTable(cfg, v); err != nil {
		return nil, err
	}
	sessions, err := peers(cfg, v)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	comment(&out, head(cfg, v, c)...)
	// Pools first: nothing is masqueraded any more by the time routes come. No `---` before the first object: calicoctl
	// would take what is above it for one.
	for i, o := range slices.Concat(pools(cfg, v), sessions) {
		if i > 0 {
			fmt.Fprint(&out, "---")
		}
		fmt.Fprintln(&out)
		o.APIVersion = c.apiVersion()
		comment(&out, o.comment...)
		text, err := yaml.Marshal(o)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", o.Kind, o.Metadata.Name, err)
		}
		out.Write(text)
	}
	return out.Bytes(), nil
}

// head says what the objects are, how to apply them, and what is not among them.
func head(cfg *config.Config, v Version, c Client) []string {
	lines := []string{fmt.Sprintf("What routed needs in the Calico %s of %s, once for the cluster: %s apply -f FILE", v, cfg.Cluster.Name, c)}
	if c == Kubectl {
		lines = append(lines,
			"These are the custom resources that Calico keeps its data in. Where it keeps them in etcd, use calicoctl. Where",
			"`kubectl api-resources --api-group=projectcalico.org` has ippools, use --for calicoctl, whose objects kubectl takes there.")
	}
	if !v.known() {
		lines = append(lines, fmt.Sprintf("Calico %s is newer than what this routed knows (%d.%d): read its release notes on BGPPeer and IPPool first.", v, major, newest))
	}
	if v.since(sincePeerPort) && len(cfg.BIRD.Dial) > 0 {
		lines = append(lines, fmt.Sprintf("From Calico 3.%d on, BIRD can dial routed instead (bird.accept), without the attempts to dial itself.", sincePeerPort))
	}
	if len(cfg.Remotes) > 0 {
		lines = append(lines, "No FelixConfiguration: packets to remote pods leave in no tunnel, so that Felix needs no externalNodesList.")
	}
	return lines
}

func comment(out *bytes.Buffer, lines ...string) {
	for _, l := range lines {
		fmt.Fprintln(out, "# "+l)
	}
}

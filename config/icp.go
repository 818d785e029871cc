package config

import (
	"net/netip"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// icpPodCIDR is the network_cidr of IBM Cloud Private's cluster/config.yaml where it is commented out.
const icpPodCIDR = "10.1.0.0/16"

// icp reads the pod and service ranges of this cluster from IBM Cloud Private's own cluster/config.yaml. That file
// is somebody else's: keys that mean nothing here are passed over, and so are host bits (its
// service_cluster_ip_range is 10.0.0.1/24). at is where cluster.icpConfig names it.
func (v *validator) icp(at place, path string) (pods, services []netip.Prefix) {
	src, values := v.icpValues(at, path)
	if values == nil {
		return nil, nil
	}
	pods = v.icpRange(src, at, values, "network_cidr", icpPodCIDR)
	services = v.icpRange(src, at, values, "service_cluster_ip_range", "")
	pod, service := at, at
	pod.key += " (network_cidr)"
	service.key += " (service_cluster_ip_range)"
	v.places["cluster.podCIDRs[0]"], v.places["cluster.serviceCIDRs[0]"] = pod, service
	return pods, services
}

// icpValues gives the values at the top of ICP's file, or none, and an error, when it cannot be read.
func (v *validator) icpValues(at place, path string) (*source, map[string]ast.Node) {
	data, err := v.env.readFile(path)
	if err != nil {
		v.fail(at, "%v", err)
		return nil, nil
	}
	data = trimBOM(data)
	src := newSource(path, data)
	root, syntax := parseYAML(src, place{key: at.key}, data, parser.AllowDuplicateMapKey())
	if syntax != nil {
		v.errs = append(v.errs, syntax)
		return nil, nil
	}
	return src, topLevel(root)
}

// topLevel gives the single values at the top of a document. Of a repeated key the last counts, as for Ansible.
func topLevel(root ast.Node) map[string]ast.Node {
	values := make(map[string]ast.Node)
	m, ok := root.(ast.MapNode)
	if !ok {
		return values
	}
	for iter := m.MapRange(); iter.Next(); {
		if key, ok := iter.Key().(*ast.StringNode); ok {
			values[key.Value] = iter.Value()
		}
	}
	return values
}

// icpRange gives the masked range that ICP's file has under a key, or byDefault ("" for none) when it has no such key.
func (v *validator) icpRange(src *source, at place, values map[string]ast.Node, key, byDefault string) []netip.Prefix {
	text := byDefault
	p := place{key: at.key + " (" + key + ")"}
	if at.key == "" {
		p.key = key
	}
	switch n := values[key].(type) {
	case nil, *ast.NullNode:
	case *ast.StringNode:
		text, p = n.Value, position(p, n)
	default:
		v.errs = append(v.errs, src.errorAt(position(p, n), "want a range in CIDR form, found %s", describe(n)))
		return nil
	}
	if text == "" {
		return nil
	}
	r, err := parseRange(text)
	if err != nil {
		v.errs = append(v.errs, src.errorAt(p, "%v", err))
		return nil
	}
	return []netip.Prefix{r.Masked()}
}

// ICP is what of IBM Cloud Private's own cluster/config.yaml routed has a use for.
type ICP struct {
	PodCIDRs     []netip.Prefix // network_cidr, or ICP's default
	ServiceCIDRs []netip.Prefix // service_cluster_ip_range; may be none
	User         string         // ansible_user, by which ICP reaches the hosts over SSH; may be empty
}

// ReadICP reads IBM Cloud Private's own cluster/config.yaml as cluster.icpConfig does. A cluster whose network is not
// Calico's is an error.
func ReadICP(path string, env Env) (ICP, error) {
	v := &validator{src: &source{file: path}, env: env, places: make(map[string]place)}
	src, values := v.icpValues(place{}, path)
	if len(v.errs) > 0 {
		return ICP{}, joinErrors(v.errs)
	}
	icp := ICP{
		PodCIDRs:     v.icpRange(src, place{}, values, "network_cidr", icpPodCIDR),
		ServiceCIDRs: v.icpRange(src, place{}, values, "service_cluster_ip_range", ""),
	}
	if n, ok := values["network_type"].(*ast.StringNode); ok && n.Value != "calico" {
		v.errs = append(v.errs, src.errorAt(position(place{key: "network_type"}, n), "is %s; routed is for clusters with Calico", n.Value))
	}
	if n, ok := values["ansible_user"].(*ast.StringNode); ok {
		icp.User = n.Value
	}
	return icp, joinErrors(v.errs)
}

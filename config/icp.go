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
	values := topLevel(root)
	pods = v.icpRange(src, at, values, "network_cidr", icpPodCIDR)
	services = v.icpRange(src, at, values, "service_cluster_ip_range", "")
	pod, service := at, at
	pod.key += " (network_cidr)"
	service.key += " (service_cluster_ip_range)"
	v.places["cluster.podCIDRs[0]"], v.places["cluster.serviceCIDRs[0]"] = pod, service
	return pods, services
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

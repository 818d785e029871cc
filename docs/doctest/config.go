package doctest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

// YAMLKind is what a block of YAML is an example of.
type YAMLKind int

const (
	// OtherYAML is none of the others.
	OtherYAML YAMLKind = iota
	// Configuration is a whole configuration of routed.
	Configuration
	// Fragment is a part of one, some of its sections; [Complete] makes a whole of it.
	Fragment
	// Manifest is one or more objects of Kubernetes.
	Manifest
)

// sections gives each section of a configuration as a whole one might have it that is on node 9.111.255.21 of cluster-1.
func sections() map[string]string {
	return map[string]string{
		"cluster": "cluster: {name: cluster-1, podCIDRs: [10.1.0.0/16]}\n",
		"node":    "node: {address: 9.111.255.21}\n",
		"bird":    "bird: {dial: 127.0.0.1:179}\n",
		"remotes": "remotes:\n  - name: cluster-2\n    podCIDRs: [20.1.0.0/16]\n    nodes: {addresses: [9.111.255.77]}\n",
		"listen":  "", "timers": "", "kernel": "", "mesh": "", "probe": "", "metrics": "", "admin": "", "state": "", "log": "",
	}
}

// YAMLKindOf judges by the keys at the top what a text is. The error says where it is no YAML.
func YAMLKindOf(text string) (YAMLKind, error) {
	keys, err := topKeys(text)
	if err != nil {
		return OtherYAML, err
	}
	known := sections()
	isOurs := func(key string) bool { _, ours := known[key]; return ours }
	switch {
	case slices.Contains(keys, "apiVersion") && slices.Contains(keys, "kind"):
		return Manifest, nil
	case slices.Contains(keys, "cluster") && slices.Contains(keys, "remotes"):
		return Configuration, nil
	case slices.ContainsFunc(keys, isOurs):
		return Fragment, nil
	default:
		return OtherYAML, nil
	}
}

// Complete adds the sections that a part of a configuration lacks.
func Complete(text string) (string, error) {
	keys, err := topKeys(text)
	if err != nil {
		return "", err
	}
	var whole strings.Builder
	whole.WriteString(strings.TrimSuffix(text, "\n") + "\n")
	for _, section := range []string{"cluster", "node", "bird", "remotes"} {
		if !slices.Contains(keys, section) {
			whole.WriteString(sections()[section])
		}
	}
	return whole.String(), nil
}

// topKeys are the keys of the first document.
func topKeys(text string) ([]string, error) {
	var doc yaml.MapSlice
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		return nil, fmt.Errorf("not a mapping: %w", err)
	}
	var keys []string
	for _, item := range doc {
		keys = append(keys, fmt.Sprint(item.Key))
	}
	return keys, nil
}

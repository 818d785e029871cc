package docs_test

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	kubeyaml "sigs.k8s.io/yaml"

	"routed/config"
	"routed/docs/doctest"
)

// TestYAML: a block of YAML is a configuration that is good, a part of one, marked so, that makes a good one, objects of
// Kubernetes, or is marked as something else.
func TestYAML(t *testing.T) {
	seen := map[doctest.YAMLKind]int{}
	for _, page := range read(t).pages {
		for _, b := range page.Blocks {
			if b.Lang != "yaml" && b.Lang != "yml" {
				continue
			}
			kind, err := checkYAML(b)
			if err != nil {
				t.Errorf("%s: %v", b.At(), err)
			}
			seen[kind]++
		}
	}
	if seen[doctest.Configuration] < 4 || seen[doctest.Fragment] < 2 || seen[doctest.Manifest] < 1 {
		t.Errorf("too few blocks found: %v", seen)
	}
}

func checkYAML(b doctest.Block) (doctest.YAMLKind, error) {
	kind, err := doctest.YAMLKindOf(b.Text)
	if err != nil {
		return kind, err
	}
	if marked := b.Marked("fragment"); marked != (kind == doctest.Fragment) {
		return kind, errors.New("what is a part of a configuration is marked so, and nothing else: ```yaml fragment")
	}
	switch kind {
	case doctest.Configuration:
		return kind, checkConfiguration(b.Text)
	case doctest.Fragment:
		whole, err := doctest.Complete(b.Text)
		if err != nil {
			return kind, err
		}
		return kind, checkConfiguration(whole)
	case doctest.Manifest:
		return kind, checkManifests(b.Text)
	case doctest.OtherYAML:
		if !b.Marked("other") {
			return kind, errors.New("neither a configuration of routed nor an object of Kubernetes; if it is to be neither: ```yaml other")
		}
	}
	return kind, nil
}

// checkConfiguration is what `routed check` says of a file on node 9.111.255.21, whose lists of nodes name one node each.
func checkConfiguration(text string) error {
	cfg, err := config.Parse([]byte(text), "routed.yaml", config.Env{
		DefaultAddress: func(ipv6 bool) (netip.Addr, error) {
			if ipv6 {
				return netip.MustParseAddr("fd00::21"), nil
			}
			return netip.MustParseAddr("9.111.255.21"), nil
		},
		ReadFile: func(path string) ([]byte, error) {
			if strings.HasSuffix(path, "config.yaml") {
				return []byte("network_cidr: 10.1.0.0/16\nservice_cluster_ip_range: 10.0.0.0/24\n"), nil
			}
			return []byte("a password\n"), nil
		},
	})
	if err != nil {
		return err
	}
	listed := map[string]config.Listed{}
	for i, r := range cfg.Remotes {
		if r.Nodes.HostsFile != "" {
			listed[r.Name] = config.Listed{HostsFile: []netip.Addr{netip.AddrFrom4([4]byte{9, 111, 254, byte(i + 1)})}}
		}
	}
	return config.Check(cfg, listed)
}

// checkManifests reads objects as kubectl does.
func checkManifests(text string) error {
	for i, doc := range regexp.MustCompile(`(?m)^---\s*$`).Split(text, -1) {
		var object struct {
			APIVersion string `json:"apiVersion"`
			Kind       string `json:"kind"`
			Metadata   struct {
				Name string `json:"name"`
			} `json:"metadata"`
		}
		if strings.TrimSpace(doc) == "" {
			continue
		}
		if _, err := kubeyaml.YAMLToJSONStrict([]byte(doc)); err != nil {
			return fmt.Errorf("object %d: %w", i+1, err)
		}
		if err := kubeyaml.Unmarshal([]byte(doc), &object); err != nil {
			return fmt.Errorf("object %d: %w", i+1, err)
		}
		if object.APIVersion == "" || object.Kind == "" {
			return fmt.Errorf("object %d has no apiVersion or no kind", i+1)
		}
	}
	return nil
}

func TestWrongYAMLIsFound(t *testing.T) {
	for _, tc := range []struct{ info, text, want string }{
		{"yaml", "cluster: {name: a, podCIDRs: [10.1.0.0/16]}\nremotes: []\n", "bird"},
		{"yaml", "probe: {interval: 30s}\n", "marked"},
		{"yaml fragment", "probe: {interval: 30}\n", "duration"},
		{"yaml fragment", "probe: {interval: 30s, more: 1}\n", "more"},
		{"yaml fragment", "remotes: [{name: b, podCIDRs: [10.1.9.0/24], nodes: {addresses: [9.111.255.30]}}]\n", "overlap"},
		{"yaml", "remote: []\n", "neither"},
		{"yaml", "a: [\n", "not a mapping"},
		{"yaml", "apiVersion: v1\nkind: Node\n---\nkind: Pod\n", "no apiVersion"},
		{"yaml fragment", "probe: {interval: 30s}\n", ""},
		{"yaml other", "scrape_configs: []\n", ""},
	} {
		words := strings.Fields(tc.info)
		_, err := checkYAML(doctest.Block{Lang: words[0], Marks: words[1:], Text: tc.text})
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s %q: %v, want %q", tc.info, tc.text, err, tc.want)
		}
	}
}

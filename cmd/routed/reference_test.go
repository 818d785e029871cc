package main

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"routed/config"
	"routed/peering"
)

const (
	referenceYAML = "../../config/reference.yaml"
	referencePage = "../../docs/configuration-reference.md"
)

var update = flag.Bool("update", false, "write the generated page instead of comparing with it")

// key is one key of reference.yaml, with what its comment says of it.
type key struct {
	path    string // as remotes[].nodes.addresses
	value   string // as it stands there
	comment string
	unset   bool // it is behind a #
	parent  bool // of other keys
}

// readReference lists the keys of reference.yaml in its order. That there is no other, and that each is explained, is tested in
// package config.
func readReference(t *testing.T) []key {
	t.Helper()
	data, err := os.ReadFile(referenceYAML)
	if err != nil {
		t.Fatal(err)
	}
	comment := regexp.MustCompile(`^\s*# (.*)$`)
	entry := regexp.MustCompile(`^(\s*)(- )?(#)?(\w+):\s*(.*)$`)
	var keys []key
	var parents []string // by depth, two spaces each
	var said []string
	for line := range strings.Lines(string(data)) {
		line = strings.TrimRight(line, "\n")
		if line == "" {
			said = nil
		} else if m := comment.FindStringSubmatch(line); m != nil {
			said = append(said, m[1])
		} else if m := entry.FindStringSubmatch(line); m != nil {
			depth := (len(m[1]) + len(m[2])) / 2
			parents = parents[:min(depth, len(parents))]
			if len(parents) < depth { // an entry of a list
				parents = append(parents, "[]")
			}
			parents = append(parents, m[4])
			path := strings.ReplaceAll(strings.Join(parents, "."), ".[]", "[]")
			keys = append(keys, key{
				path: path, value: m[5], comment: strings.Join(said, " "), unset: m[3] != "", parent: m[5] == "",
			})
			said = nil
		}
	}
	return keys
}

// otherValues gives each key a value that it does not have in reference.yaml, to see what a reload makes of it. What has to be
// taken away for it to be allowed is null.
func otherValues() map[string]map[string]any {
	one := func(path string, value any) map[string]any { return map[string]any{path: value} }
	noNodes := map[string]any{"remotes[].nodes": nil, "remotes[].nodeCIDRs": []any{"9.111.255.0/24"}, "remotes[].reflectors": []any{"9.111.255.251"}}
	values := map[string]any{
		"cluster.name": "other", "cluster.podCIDRs": []any{"10.2.0.0/16"}, "cluster.serviceCIDRs": []any{"10.0.1.0/24"}, "cluster.asn": 64513,
		"node.address": "9.111.255.22", "node.address6": "fd00::21", "node.routerID": "1.2.3.4",
		"bird.dial": "127.0.0.1:1179", "bird.password": "secret",
		"listen.addresses": []any{"9.111.255.22"}, "listen.port": 1791, "listen.guard": "none",
		"remotes[].name": "other", "remotes[].podCIDRs": []any{"20.2.0.0/16"}, "remotes[].serviceCIDRs": []any{"20.0.1.0/24"},
		"remotes[].asn": 64513, "remotes[].port": 1791, "remotes[].nodes.addresses": []any{"9.111.255.152"},
		"remotes[].nodes.hostsFile": "/h", "remotes[].nodes.kubernetes.kubeconfig": "/k",
		"remotes[].password": "secret", "remotes[].maxHops": 2,
		"remotes[].limits.prefixesPerNode": 9, "remotes[].limits.prefixes": 9,
		"remotes[].blockLengths.ipv4": []any{24, 32}, "remotes[].blockLengths.ipv6": []any{120, 128},
		"remotes[].probeAddresses": []any{"20.1.0.1"},
		"timers.holdTime":          "12s",
		"kernel.table":             1791, "kernel.protocol": 115, "kernel.rulePriority": 1791, "kernel.encapsulation": "none", "kernel.onExit": "flush",
		"kernel.resyncInterval": "61s", "kernel.convergenceDeadline": "61s",
		"mesh.retention": "2h", "mesh.withdrawalBrake.share": 51, "mesh.withdrawalBrake.hold": "31s",
		"probe.interval": "30s", "probe.timeout": "2s", "probe.pathMTU": false, "probe.packetsPerSecond": 9, "probe.addresses": "first",
		"metrics.listen": "127.0.0.1:9791", "metrics.webConfigFile": "/w", "metrics.peerLabel": false,
		"admin.socket": "/a", "state.directory": "/s", "log.level": "debug",
	}
	out := map[string]map[string]any{
		"cluster.icpConfig":         {"cluster.icpConfig": "/icp", "cluster.podCIDRs": nil, "cluster.serviceCIDRs": nil},
		"bird.accept":               {"bird.dial": nil, "bird.accept": "127.0.0.1"},
		"bird.passwordFile":         {"bird.password": nil, "bird.passwordFile": "/p"},
		"remotes[].passwordFile":    {"remotes[].password": nil, "remotes[].passwordFile": "/p"},
		"remotes[].reflectors":      noNodes,
		"remotes[].nodeCIDRs":       {"remotes[].sessionFamilies": "both", "remotes[].nodeCIDRs": []any{"9.111.255.0/24"}},
		"remotes[].sessionFamilies": one("remotes[].sessionFamilies", "both"),
		"remotes[].nodes.kubernetes.context": {
			"remotes[].nodes.kubernetes.kubeconfig": "/k", "remotes[].nodes.kubernetes.context": "c",
		},
		"remotes[].nodes.kubernetes.labelSelector": {
			"remotes[].nodes.kubernetes.kubeconfig": "/k", "remotes[].nodes.kubernetes.labelSelector": "a=b",
		},
	}
	for path, value := range values {
		out[path] = one(path, value)
	}
	return out
}

// withValues is reference.yaml with other values.
func withValues(t *testing.T, values map[string]any) *config.Config {
	t.Helper()
	data, err := os.ReadFile(referenceYAML)
	if err != nil {
		t.Fatal(err)
	}
	root := map[string]any{}
	if err := yaml.Unmarshal(data, &root); err != nil {
		t.Fatal(err)
	}
	for path, value := range values {
		at := root
		names := strings.Split(path, ".")
		for _, name := range names[:len(names)-1] {
			if list, is := strings.CutSuffix(name, "[]"); is {
				at = at[list].([]any)[0].(map[string]any)
				continue
			}
			if at[name] == nil {
				at[name] = map[string]any{}
			}
			at = at[name].(map[string]any)
		}
		at[names[len(names)-1]] = value
	}
	if data, err = yaml.Marshal(root); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Parse(data, "reference.yaml", config.Env{ReadFile: func(path string) ([]byte, error) {
		if path == "/icp" {
			return []byte("network_cidr: 10.2.0.0/16\nservice_cluster_ip_range: 10.0.0.0/24\n"), nil
		}
		return []byte("secret\n"), nil
	}})
	if err != nil {
		t.Fatalf("%v: %v", values, err)
	}
	return cfg
}

// sameConfig compares what two configurations say, not where they say it.
func sameConfig(a, b *config.Config) bool {
	return cmp.Equal(a, b, cmpopts.IgnoreUnexported(config.Config{}), cmpopts.EquateEmpty(),
		cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}, netip.AddrPort{}, peering.Password{}))
}

// change says what it takes to bring another value of a key into force, with old in force.
func change(t *testing.T, old *config.Config, path string) string {
	t.Helper()
	values, known := otherValues()[path]
	if !known {
		t.Errorf("otherValues has none for %s", path)
		return ""
	}
	now := withValues(t, values)
	if sameConfig(old, now) {
		t.Errorf("%s: %v changes nothing", path, values)
	}
	if len(needsRestart(old, now)) > 0 {
		return "restart"
	}
	return "reload"
}

// byDefault cuts what a comment says of the default, or that there is none, out of it.
func (k key) byDefault() (value, rest string) {
	stated := regexp.MustCompile(`\s*Default(?: then)?:? (.*?)(?:\.$|\. )`)
	m := stated.FindStringSubmatchIndex(k.comment)
	switch {
	case m != nil:
		value, rest = k.comment[m[2]:m[3]], k.comment[:m[0]]+" "+k.comment[m[1]:]
	case strings.Contains(k.comment, "Required"):
		value, rest = "required", k.comment
	case k.comment == "" && !k.parent: // that of the key it is part of states it
		value = k.value
	default:
		rest = k.comment
	}
	return value, strings.TrimSpace(rest)
}

// kind is the type of a value as YAML and we have it.
func (k key) kind() string {
	var value any
	if err := yaml.Unmarshal([]byte(k.value), &value); err != nil {
		return ""
	}
	switch v := value.(type) {
	case []any:
		return "list"
	case bool:
		return "boolean"
	case uint64:
		return "number"
	case string:
		if _, err := time.ParseDuration(v); err == nil {
			return "duration"
		}
		return "text"
	default:
		return ""
	}
}

// TestReferenceStatesDefaults: the default that a comment states is the value that stands there, and what the program takes when
// the key is left out.
func TestReferenceStatesDefaults(t *testing.T) {
	n, whole := 0, withValues(t, nil)
	for _, k := range readReference(t) {
		value, _ := k.byDefault()
		if k.parent || k.unset || value == "" || value == "required" || value == "none" && k.value != "none" || strings.HasPrefix(value, "node.address") ||
			strings.HasPrefix(value, "that of $NODE_IP") {
			continue // it shows a value because there is no default, or one that depends on others
		}
		n++
		stated, shown := strings.TrimRight(strings.Fields(value)[0], ":,"), k.value
		if stated != shown && value != shown {
			t.Errorf("%s: the comment says %q is the default, and %q stands there", k.path, stated, shown)
		}
		if !sameConfig(whole, withValues(t, map[string]any{k.path: nil})) {
			t.Errorf("%s: without it, another value than %q is taken", k.path, shown)
		}
	}
	if n < 30 {
		t.Errorf("only %d defaults found", n)
	}
}

// TestReferencePage keeps docs/configuration-reference.md what reference.yaml and the program say.
func TestReferencePage(t *testing.T) {
	var page strings.Builder
	page.WriteString("<!-- Generated: go test ./cmd/routed -run TestReferencePage -update -->\n\n# Configuration reference\n\n" +
		"Every key, as [config/reference.yaml](../config/reference.yaml) has it; what belongs together is explained in " +
		"[configuration.md](configuration.md).\n*Change* says what brings another value into force: a *reload*, " +
		"which happens when the file changes, or a *restart*.\n")
	n, old := 0, withValues(t, nil)
	for _, k := range readReference(t) {
		value, text := k.byDefault()
		if !strings.Contains(k.path, ".") {
			fmt.Fprintf(&page, "\n## %s\n\n%s\n\n| key | type | default | change | |\n|---|---|---|---|---|\n", k.path, cell(k.comment))
			continue
		}
		n++
		if k.parent {
			fmt.Fprintf(&page, "| `%s` | section | | | %s |\n", k.path, cell(k.comment))
			continue
		}
		value = strings.TrimPrefix(value, `"": `)
		fmt.Fprintf(&page, "| `%s` | %s | %s | %s | %s |\n", k.path, k.kind(), cell(value), change(t, old, k.path), cell(text))
	}
	if n < 50 {
		t.Errorf("only %d keys", n)
	}
	if *update {
		if err := os.WriteFile(referencePage, []byte(page.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(referencePage)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(page.String(), string(want)); diff != "" {
		t.Errorf("%s is not what the code says; run: go test ./cmd/routed -run TestReferencePage -update\n%s", referencePage, diff)
	}
}

// cell is a text that stands in a table. Code in it stays as it is.
func cell(text string) string {
	parts := strings.Split(text, "`")
	for i := 0; i < len(parts); i += 2 {
		parts[i] = strings.NewReplacer("<", "&lt;", "*", `\*`).Replace(parts[i])
	}
	return strings.ReplaceAll(strings.Join(parts, "`"), "|", `\|`)
}

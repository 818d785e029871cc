package config

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const withICP = `cluster:
  name: cluster-1
  icpConfig: icp/config.yaml
node:
  address: 9.111.255.21
  address6: fd00::21
bird:
  dial: 127.0.0.1:179
`

// files is an Env whose only file is ICP's.
func files(text string) Env {
	return Env{ReadFile: func(path string) ([]byte, error) {
		if path != "/etc/routed/icp/config.yaml" {
			return nil, fmt.Errorf("open %s: %w", path, fs.ErrNotExist)
		}
		return []byte(text), nil
	}}
}

func TestICPConfig(t *testing.T) {
	tests := []struct{ name, text, pods, services string }{
		{
			"as shipped",
			"# Licensed Materials\n---\nnetwork_type: calico\n## Network in IPv4 CIDR format\nnetwork_cidr: 10.1.0.0/16\n" +
				"## Kubernetes Settings\nservice_cluster_ip_range: 10.0.0.1/24\ncalico_ipip_enabled: true\n" +
				"kubelet_extra_args: [\"--fail-swap-on=false\"]\nlogging: {a: &x 1, b: *x}\n",
			"[10.1.0.0/16]", "[10.0.0.0/24]",
		},
		{"commented out", "# network_cidr: 10.9.0.0/16\nservice_cluster_ip_range: '10.0.0.1/24'\n", "[10.1.0.0/16]", "[10.0.0.0/24]"},
		{"empty", "", "[10.1.0.0/16]", "[]"},
		{"null", "network_cidr:\n", "[10.1.0.0/16]", "[]"},
		{"host bits", "network_cidr: 172.20.3.4/16\n", "[172.20.0.0/16]", "[]"},
		{"the last of a repeated key", "network_cidr: 10.2.0.0/16\nnetwork_cidr: 10.3.0.0/16\n", "[10.3.0.0/16]", "[]"},
		{"IPv6", "network_cidr: fd00:1::/64\n", "[fd00:1::/64]", "[]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := Parse([]byte(withICP), "/etc/routed/routed.yaml", files(tt.text))
			if err != nil {
				t.Fatal(err)
			}
			if fmt.Sprint(c.Cluster.PodCIDRs) != tt.pods || fmt.Sprint(c.Cluster.ServiceCIDRs) != tt.services {
				t.Errorf("got %v and %v, want %s and %s", c.Cluster.PodCIDRs, c.Cluster.ServiceCIDRs, tt.pods, tt.services)
			}
			if diff := cmp.Diff([]string{"/etc/routed/routed.yaml", "/etc/routed/icp/config.yaml"}, c.Files()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestICPConfigErrors(t *testing.T) {
	const icp = "cluster.icpConfig"
	tests := []struct {
		name, text string
		env        Env
		want       []string
	}{
		{
			"missing", withICP,
			Env{ReadFile: func(string) ([]byte, error) { return nil, fs.ErrNotExist }},
			one("3:14 " + icp + ": file does not exist"),
		},
		{
			"too large", withICP, files(strings.Repeat("#", MaxFileSize+1)),
			one("3:14 " + icp + ": /etc/routed/icp/config.yaml is larger than 262144 bytes; is it the right file?"),
		},
		{
			"both", strings.Replace(withICP, "node:", "  podCIDRs: [10.1.0.0/16]\nnode:", 1), files(""),
			one("4:3 cluster.podCIDRs: set beside cluster.icpConfig (line 3), which gives it; leave one of them out"),
		},
		{
			"not a range", withICP, files("a: b\nnetwork_cidr: 10.1.0.0\nservice_cluster_ip_range: [10.0.0.0/24]\n"),
			[]string{
				`2:15 ` + icp + ` (network_cidr): "10.1.0.0" is not a range in CIDR form, such as 10.1.0.0/16`,
				`3:27 ` + icp + ` (service_cluster_ip_range): want a range in CIDR form, found a list`,
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse([]byte(tt.text), "/etc/routed/routed.yaml", tt.env)
			if err == nil {
				t.Fatal("accepted")
			}
			if diff := cmp.Diff(tt.want, problems(t, err)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestICPConfigNotYAML(t *testing.T) {
	_, err := Parse([]byte(withICP), "/etc/routed/routed.yaml", files("a: [1\n"))
	var e *Error
	if !errors.As(err, &e) || e.File != "/etc/routed/icp/config.yaml" || e.Key != "cluster.icpConfig" || e.Line != 1 {
		t.Errorf("got %v", err)
	}
}

func TestCheckNamesICPConfig(t *testing.T) {
	text := withICP + "remotes:\n  - {name: b, podCIDRs: [10.1.0.0/24, 10.0.0.0/28], nodes: {addresses: [9.1.1.1]}}\n"
	c, err := Parse([]byte(text), "/etc/routed/routed.yaml", files("service_cluster_ip_range: 10.0.0.1/24\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"10:26 remotes[0].podCIDRs[0]: 10.1.0.0/24 overlaps 10.1.0.0/16 of cluster.icpConfig (network_cidr) (line 3); " +
			"no two ranges of pods or services may",
		"10:39 remotes[0].podCIDRs[1]: 10.0.0.0/28 overlaps 10.0.0.0/24 of cluster.icpConfig (service_cluster_ip_range) " +
			"(line 3); no two ranges of pods or services may",
	}
	if diff := cmp.Diff(want, problems(t, Check(c, nil))); diff != "" {
		t.Error(diff)
	}
}

func TestReadICP(t *testing.T) {
	read := func(text string) (ICP, error) { return ReadICP("/etc/routed/icp/config.yaml", files(text)) }
	got, err := read("network_type: calico\nnetwork_cidr: 20.1.0.0/16\nservice_cluster_ip_range: 20.0.0.1/24\nansible_user: ubuntu\ndefault_admin_password: topsecret\n")
	if err != nil {
		t.Fatal(err)
	}
	if s := fmt.Sprintf("%v %v %s", got.PodCIDRs, got.ServiceCIDRs, got.User); s != "[20.1.0.0/16] [20.0.0.0/24] ubuntu" {
		t.Errorf("got %s", s)
	}
	if got, err = read(""); err != nil || fmt.Sprint(got) != "{[10.1.0.0/16] [] }" {
		t.Errorf("the defaults: %v, %v", got, err)
	}
	for text, says := range map[string]string{
		"network_type: nsx-t\n":     "config.yaml:1:15: network_type: is nsx-t; routed is for clusters with Calico",
		"network_cidr: 20.1.0.0\n":  `config.yaml:1:15: network_cidr: "20.1.0.0" is not a range`,
		"network_cidr: [20.1/16]\n": "config.yaml:1:15: network_cidr: want a range in CIDR form",
		"a: [\n":                    "config.yaml:1",
	} {
		if _, err := read(text); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %s", text, err, says)
		}
	}
	if _, err := ReadICP("/nowhere/config.yaml", files("")); err == nil || !strings.Contains(err.Error(), "/nowhere/config.yaml") {
		t.Errorf("a file that is not there: %v", err)
	}
}

// Package daemonset has no code: the tests hold the manifests to what they promise. That they run is for lab (TestDaemonSet),
// that an API server takes them for lab/kube.
package daemonset

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"

	"routed/config"
	"routed/lab/manifest"
)

func render(t *testing.T, dir string) *manifest.Set {
	t.Helper()
	set, err := manifest.Render(dir)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// clusters are the overlays.
func clusters(t *testing.T, of string) []string {
	t.Helper()
	dirs, err := filepath.Glob(of + "/*")
	if err != nil || len(dirs) != 2 {
		t.Fatalf("%v, %v; want one overlay a cluster of the seed", dirs, err)
	}
	return dirs
}

func TestPod(t *testing.T) {
	for _, dir := range append(clusters(t, "overlays"), clusters(t, "uninstall")...) {
		t.Run(dir, func(t *testing.T) {
			set := render(t, dir)
			if len(set.DaemonSets) != 1 || len(set.Namespaces) != 1 || len(set.ConfigMaps) != 1 {
				t.Fatalf("%+v", set)
			}
			ds := set.DaemonSets[0]
			if !selects(ds.Spec.Selector.MatchLabels, ds.Spec.Template.Labels) || ds.Namespace != set.Namespaces[0].Name {
				t.Errorf("it selects %v in %s, its pods have %v", ds.Spec.Selector.MatchLabels, ds.Namespace, ds.Spec.Template.Labels)
			}
			checkPod(t, ds.Spec.Template.Spec)
			for _, c := range append(ds.Spec.Template.Spec.InitContainers, ds.Spec.Template.Spec.Containers...) {
				checkContainer(t, c)
			}
		})
	}
}

func selects(selector, labels map[string]string) bool {
	for k, v := range selector {
		if labels[k] != v {
			return false
		}
	}
	return len(selector) > 0
}

func checkPod(t *testing.T, pod corev1.PodSpec) {
	t.Helper()
	for promise, kept := range map[string]bool{
		"is in the node's network":            pod.HostNetwork,
		"asks the node's resolver":            pod.DNSPolicy == corev1.DNSDefault,
		"is there whatever the node's taints": slices.Contains(pod.Tolerations, corev1.Toleration{Operator: corev1.TolerationOpExists}),
		"is evicted last":                     pod.PriorityClassName == "system-node-critical",
		"has no token of its cluster":         pod.AutomountServiceAccountToken != nil && !*pod.AutomountServiceAccountToken,
		"has time to flush":                   pod.TerminationGracePeriodSeconds != nil && *pod.TerminationGracePeriodSeconds > 60,
		"sees no process of the node":         !pod.HostPID && !pod.HostIPC,
		"may not make any system call":        pod.SecurityContext.SeccompProfile.Type == corev1.SeccompProfileTypeRuntimeDefault,
	} {
		if !kept {
			t.Errorf("it is not so that the pod %s", promise)
		}
	}
}

func checkContainer(t *testing.T, c corev1.Container) {
	t.Helper()
	sc := c.SecurityContext
	for promise, kept := range map[string]bool{
		"has an image with a tag":     strings.Contains(c.Image, "/routed:"),
		"cannot write to its root":    *sc.ReadOnlyRootFilesystem,
		"gains no privileges":         !*sc.AllowPrivilegeEscalation && !*sc.Privileged,
		"drops all capabilities":      slices.Equal(sc.Capabilities.Drop, []corev1.Capability{"ALL"}),
		"has NET_ADMIN and no others": slices.Equal(sc.Capabilities.Add, []corev1.Capability{"NET_ADMIN"}),
		"has no preStop":              c.Lifecycle == nil,
	} {
		if !kept {
			t.Errorf("it is not so that %s %s", c.Name, promise)
		}
	}
}

// load reads the configuration of an overlay as the daemon does.
func load(t *testing.T, set *manifest.Set) *config.Config {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "routed.yaml")
	if err := os.WriteFile(path, []byte(set.ConfigMaps[0].Data["routed.yaml"]), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"cluster-1.password", "cluster-2.password"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("secret\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := config.Load(path, config.Env{Getenv: func(string) string { return "9.111.255.21" }})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// What the manifests take for granted is what the configuration says: paths and ports, and that the routes stay.
func TestManifestsAndConfigurationAgree(t *testing.T) {
	for _, dir := range clusters(t, "overlays") {
		t.Run(dir, func(t *testing.T) {
			set := render(t, dir)
			cfg := load(t, set)
			if cfg.Cluster.Name != filepath.Base(dir) || cfg.Kernel.OnExit != config.OnExitKeep {
				t.Errorf("cluster %s, routes %s on exit", cfg.Cluster.Name, cfg.Kernel.OnExit)
			}
			pod := set.DaemonSets[0].Spec.Template.Spec
			c := pod.Containers[0]
			for _, p := range []*corev1.Probe{c.StartupProbe, c.LivenessProbe, c.ReadinessProbe} {
				if got := p.HTTPGet.Host + ":" + p.HTTPGet.Port.String(); got != cfg.Metrics.Listen.String() {
					t.Errorf("a probe asks %s, the daemon answers at %s", got, cfg.Metrics.Listen)
				}
			}
			mounted := map[string]bool{}
			for _, m := range c.VolumeMounts {
				mounted[m.MountPath] = !m.ReadOnly
			}
			if !mounted[filepath.Dir(cfg.Admin.Socket)] || !mounted[cfg.State.Directory] || mounted["/etc/routed"] || len(mounted) != 3 {
				t.Errorf("mounted are %v, the socket is %s, the state %s", mounted, cfg.Admin.Socket, cfg.State.Directory)
			}
			// A running daemon reloads a ConfigMap of the same name; another name would start every one of them anew.
			if from := pod.Volumes[0].Projected.Sources[0].ConfigMap.Name; from != "routed" || set.ConfigMaps[0].Name != from {
				t.Errorf("the pods mount %s, there is %s", from, set.ConfigMaps[0].Name)
			}
		})
	}
}

// Each cluster has what the other says of it.
func TestOverlaysMirror(t *testing.T) {
	one, two := load(t, render(t, "overlays/cluster-1")), load(t, render(t, "overlays/cluster-2"))
	for _, c := range [][2]*config.Config{{one, two}, {two, one}} {
		here, there := c[0].Cluster, c[1].Remotes[0]
		if here.Name != there.Name || !slices.Equal(here.PodCIDRs, there.PodCIDRs) ||
			!slices.Equal(here.ServiceCIDRs, there.ServiceCIDRs) || here.ASN != there.ASN || c[0].Listen.Port != there.Port {
			t.Errorf("%s is %+v, the other cluster says %+v", here.Name, here, there)
		}
	}
}

// What another cluster's daemons may do here is to list and watch nodes.
func TestRosterAccess(t *testing.T) {
	set := render(t, "roster-access")
	if len(set.ClusterRoles) != 1 || len(set.ClusterRoleBindings) != 1 || len(set.ServiceAccounts) != 1 || len(set.Secrets) != 1 {
		t.Fatalf("%+v", set)
	}
	role, binding, account, token := set.ClusterRoles[0], set.ClusterRoleBindings[0], set.ServiceAccounts[0], set.Secrets[0]
	want := rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"nodes"}, Verbs: []string{"list", "watch"}}
	if len(role.Rules) != 1 || role.Rules[0].String() != want.String() {
		t.Errorf("the role is for %v, want %v", role.Rules, want)
	}
	subject := rbacv1.Subject{Kind: "ServiceAccount", Name: account.Name, Namespace: account.Namespace}
	if binding.RoleRef.Name != role.Name || len(binding.Subjects) != 1 || binding.Subjects[0] != subject ||
		token.Annotations[corev1.ServiceAccountNameKey] != account.Name || token.Type != corev1.SecretTypeServiceAccountToken {
		t.Errorf("%v gives %s to %v, whose token is %v", binding.Name, binding.RoleRef.Name, binding.Subjects, token.Annotations)
	}
}

// The components do to the pods what they say.
func TestComponents(t *testing.T) {
	for component, want := range map[string]func(corev1.PodSpec) bool{
		"dual-stack": func(pod corev1.PodSpec) bool {
			env := pod.Containers[0].Env
			return len(env) == 2 && env[0].Name == "NODE_IP" && env[0].ValueFrom.FieldRef.FieldPath == "status.hostIPs"
		},
		"icmp": func(pod corev1.PodSpec) bool {
			return slices.Equal(pod.Containers[0].SecurityContext.Capabilities.Add, []corev1.Capability{"NET_ADMIN", "NET_RAW"})
		},
		"selinux": func(pod corev1.PodSpec) bool {
			return pod.SecurityContext.SELinuxOptions.Type == "spc_t" && pod.SecurityContext.SeccompProfile != nil
		},
		"uninstall": func(pod corev1.PodSpec) bool {
			c := pod.Containers[0]
			return pod.InitContainers[0].Args[0] == "flush" && c.Args[0] == "flush" && c.LivenessProbe == nil && c.ReadinessProbe == nil
		},
	} {
		set, err := manifest.RenderWith("overlays/cluster-1", "components/"+component)
		if err != nil {
			t.Fatal(err)
		}
		if pod := set.DaemonSets[0].Spec.Template.Spec; !want(pod) {
			t.Errorf("with %s the pod is %+v", component, pod)
		}
	}
	if all, err := filepath.Glob("components/*"); err != nil || len(all) != 4 {
		t.Errorf("a component is not tested: %v, %v", all, err)
	}
}

// The PodMonitor for these pods is the one of deploy/prometheus.
func TestPodMonitor(t *testing.T) {
	text, err := os.ReadFile("../prometheus/operator/podmonitor.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var monitor struct {
		Spec struct {
			Selector struct {
				MatchLabels map[string]string `yaml:"matchLabels"`
			}
			Endpoints []struct{ Port string } `yaml:"podMetricsEndpoints"`
		}
	}
	if err := yaml.Unmarshal(text, &monitor); err != nil {
		t.Fatal(err)
	}
	pods := render(t, "overlays/cluster-1").DaemonSets[0].Spec.Template
	port := pods.Spec.Containers[0].Ports[0]
	if !selects(monitor.Spec.Selector.MatchLabels, pods.Labels) || len(monitor.Spec.Endpoints) != 1 ||
		monitor.Spec.Endpoints[0].Port != port.Name || port.ContainerPort != 9790 {
		t.Errorf("the PodMonitor scrapes %+v, the pods have %v and %v", monitor.Spec, pods.Labels, port)
	}
}

package kube

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"routed/lab/manifest"
)

const (
	namespace = "routed"
	daemonset = "../../deploy/daemonset"
)

// apply has the API server validate what a folder of deploy/daemonset gives, and then take it.
func (c *cluster) apply(t *testing.T, folder string) {
	t.Helper()
	dir := filepath.Join(daemonset, folder)
	base := []string{"apply", "--server-side", "--validate=strict", "-k", dir}
	c.mustKubectl(t, append(base, "--dry-run=server")...)
	c.mustKubectl(t, base...)
}

// The API server takes every overlay as the guide has it applied, a second time without a change; `uninstall` takes the place
// of the daemon, and nothing is left when it is deleted.
func TestManifests(t *testing.T) {
	c := startCluster(t)
	c.mustKubectl(t, "apply", "--server-side", "-f", filepath.Join(daemonset, "base/namespace.yaml"))
	for _, name := range []string{"cluster-1", "cluster-2"} {
		t.Run(name, func(t *testing.T) {
			c.apply(t, "overlays/"+name)
			before := c.generation(t)
			c.apply(t, "overlays/"+name)
			if after := c.generation(t); after != before {
				t.Errorf("applied again, generation %d became %d", before, after)
			}
			c.apply(t, "uninstall/"+name)
			ds := c.daemonSet(t)
			if ds.Generation == before || ds.Spec.Template.Spec.InitContainers[0].Args[0] != "flush" || ds.Spec.Template.Spec.Containers[0].LivenessProbe != nil {
				t.Errorf("uninstall did not take its place: %+v", ds.Spec.Template.Spec)
			}
			c.checkAdmitted(t, ds.Spec.Template)
		})
	}
	t.Run("Delete", c.testDelete)
}

func (c *cluster) generation(t *testing.T) int64 {
	t.Helper()
	return c.daemonSet(t).Generation
}

// testDelete: the namespace itself goes by a controller, which is not here.
func (c *cluster) testDelete(t *testing.T) {
	c.mustKubectl(t, "delete", "--wait=false", "-k", filepath.Join(daemonset, "uninstall/cluster-1"))
	out := c.mustKubectl(t, "get", "daemonsets,configmaps,clusterroles,clusterrolebindings,serviceaccounts,secrets",
		"--all-namespaces", "-o", "name")
	if strings.Contains(out, "routed") {
		t.Errorf("left are:\n%s", out)
	}
}

// That a mistake in a manifest is refused shows that the API server looks.
func TestMistakeIsRefused(t *testing.T) {
	c := startCluster(t)
	c.mustKubectl(t, "apply", "--server-side", "-f", filepath.Join(daemonset, "base/namespace.yaml"))
	good := c.mustKubectl(t, "kustomize", filepath.Join(daemonset, "overlays/cluster-1"))
	for from, to := range map[string]string{
		"hostNetwork: true":              "hostNetworks: true",
		"priorityClassName: system-node": "priorityClassName: System Node",
		"fieldPath: status.hostIP":       "fieldPath: status.hostAddress",
		"maxUnavailable: 10%":            "maxUnavailable: 0",
	} {
		bad := strings.Replace(good, from, to, 1)
		if bad == good {
			t.Fatalf("the manifests have no %q", from)
		}
		if out, err := c.kubectlWith(t, bad, "apply", "--server-side", "--validate=strict", "--dry-run=server", "-f", "-"); err == nil {
			t.Errorf("with %q the API server says %s", to, out)
		}
	}
}

// The pods that the DaemonSet controller would make are admitted: by pod security in their namespace and not in another's,
// with their priority, and with the account's token nowhere.
func TestPods(t *testing.T) {
	c := startCluster(t)
	c.mustKubectl(t, "apply", "--server-side", "-k", filepath.Join(daemonset, "overlays/cluster-1"))
	for _, component := range []string{"dual-stack", "icmp", "selinux"} {
		set, err := manifest.RenderWith(filepath.Join(daemonset, "overlays/cluster-1"), filepath.Join(daemonset, "components", component))
		must(t, err)
		c.checkAdmitted(t, set.DaemonSets[0].Spec.Template)
	}
	ds := c.daemonSet(t)
	c.checkAdmitted(t, ds.Spec.Template)

	restricted := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: "other", Labels: map[string]string{"pod-security.kubernetes.io/enforce": "baseline"},
	}}
	_, err := c.client.CoreV1().Namespaces().Create(t.Context(), restricted, metav1.CreateOptions{})
	must(t, err)
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "routed"}}
	_, err = c.client.CoreV1().ServiceAccounts("other").Create(t.Context(), account, metav1.CreateOptions{})
	must(t, err)
	if _, err := c.createPod(t, "other", ds.Spec.Template); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "violates PodSecurity") {
		t.Errorf("in a namespace of level baseline: %v", err)
	}
}

func (c *cluster) daemonSet(t *testing.T) *appsv1.DaemonSet {
	t.Helper()
	ds, err := c.client.AppsV1().DaemonSets(namespace).Get(t.Context(), "routed", metav1.GetOptions{})
	must(t, err)
	return ds
}

// createPod has the API server admit a pod of the template, as the DaemonSet controller asks it to, and not keep it.
func (c *cluster) createPod(t *testing.T, in string, template corev1.PodTemplateSpec) (*corev1.Pod, error) {
	t.Helper()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{GenerateName: "routed-", Labels: template.Labels}, Spec: template.Spec}
	options := metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}, FieldValidation: metav1.FieldValidationStrict}
	return c.client.CoreV1().Pods(in).Create(t.Context(), pod, options)
}

func (c *cluster) checkAdmitted(t *testing.T, template corev1.PodTemplateSpec) {
	t.Helper()
	pod, err := c.createPod(t, namespace, template)
	must(t, err)
	const systemNodeCritical = 2000001000
	if pod.Spec.Priority == nil || *pod.Spec.Priority != systemNodeCritical {
		t.Errorf("the pod's priority is %v", pod.Spec.Priority)
	}
	for _, v := range pod.Spec.Volumes { // the token would be a projected volume of a made-up name
		if !slices.Contains([]string{"config", "run", "state"}, v.Name) {
			t.Errorf("the pod got the volume %+v", v)
		}
	}
}

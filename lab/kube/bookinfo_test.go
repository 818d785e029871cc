package kube

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	istio "istio.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const bookinfo = "../../examples/bookinfo/istio"

// TestBookinfo: the API server takes what the Bookinfo guide has applied, the rule by the definitions that Istio installs, and
// refuses mistakes in it. The pods of reviews-v3 are admitted. What Istio makes of it all is not for the API server.
func TestBookinfo(t *testing.T) {
	c := startCluster(t)
	strictly := []string{"apply", "--server-side", "--validate=strict", "-f"}

	c.mustKubectl(t, append(strictly, filepath.Join(bookinfo, "reviews-v3.yaml"))...)
	v3, err := c.client.AppsV1().Deployments("default").Get(t.Context(), "reviews-v3", metav1.GetOptions{})
	must(t, err)
	_, err = c.createPod(t, "default", v3.Spec.Template)
	must(t, err)

	c.mustKubectl(t, append(strictly, definitions(t))...)
	c.mustKubectl(t, "wait", "--for=condition=Established", "--timeout=60s", "crd/destinationrules.networking.istio.io")
	path := filepath.Join(bookinfo, "reviews-evenly.yaml")
	c.mustKubectl(t, append(strictly, path)...)
	var rule istio.DestinationRule
	kept := c.mustKubectl(t, "get", "destinationrules.networking.istio.io", "reviews", "-o", "jsonpath={.spec}")
	must(t, protojson.Unmarshal([]byte(kept), &rule))
	if rule.Host != "reviews" || rule.TrafficPolicy.LoadBalancer.GetSimple() != istio.LoadBalancerSettings_ROUND_ROBIN {
		t.Errorf("the API server keeps %s", kept)
	}

	good, err := os.ReadFile(path)
	must(t, err)
	for from, to := range map[string]string{"ROUND_ROBIN": "EVENLY", "loadBalancer:": "loadBalancing:", "networking.istio.io/v1\n": "networking.istio.io/v9\n"} {
		bad := strings.Replace(string(good), from, to, 1)
		if out, err := c.kubectlWith(t, bad, append(strictly, "-", "--dry-run=server")...); err == nil || bad == string(good) {
			t.Errorf("with %q the API server says %s", to, out)
		}
	}
}

// definitions is the file of Istio's CustomResourceDefinitions, from the module of its API.
func definitions(t *testing.T) string {
	t.Helper()
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "istio.io/api").Output()
	must(t, err)
	return filepath.Join(strings.TrimSpace(string(dir)), "kubernetes", "customresourcedefinitions.gen.yaml")
}

// Package bookinfo has no code: the tests hold the manifests to the types of those who read them, and to each other. That an
// API server takes them is for lab/kube.
package bookinfo

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	istio "istio.io/api/networking/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	extensions "k8s.io/api/extensions/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// operator is what the two files for istioctl have of its IstioOperator. The types are in the module of Istio itself, which is
// too much to have for four keys: these are the keys of its guide for two primaries on one network.
type operator struct {
	metav1.TypeMeta
	Spec struct {
		Values struct {
			Global struct {
				MeshID       string `json:"meshID"`
				MultiCluster struct {
					ClusterName string `json:"clusterName"`
				} `json:"multiCluster"`
				Network string `json:"network"`
			} `json:"global"`
		} `json:"values"`
	} `json:"spec"`
}

// destinationRule is Istio's with the envelope of Kubernetes.
type destinationRule struct {
	metav1.TypeMeta
	metav1.ObjectMeta `json:"metadata"`

	Spec rule `json:"spec"`
}

// rule is read as Istio reads it: a field that it does not know is an error.
type rule struct{ istio.DestinationRule }

func (r *rule) UnmarshalJSON(text []byte) error { return protojson.Unmarshal(text, &r.DestinationRule) }

// newObject has the types of all that may be in the manifests, by version and kind.
func newObject(kind metav1.TypeMeta) any {
	switch kind.APIVersion + " " + kind.Kind {
	case "v1 Service":
		return &corev1.Service{}
	case "v1 ServiceAccount":
		return &corev1.ServiceAccount{}
	case "apps/v1 Deployment":
		return &appsv1.Deployment{}
	case "extensions/v1beta1 Deployment":
		return &extensions.Deployment{}
	case "networking.istio.io/v1 DestinationRule":
		return &destinationRule{}
	case "install.istio.io/v1alpha1 IstioOperator":
		return &operator{}
	default:
		return nil
	}
}

// read decodes every document of a file; what the type of its kind does not have is an error.
func read(t *testing.T, path string) []any {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	var out []any
	for document := range strings.SplitSeq(string(text), "\n---\n") {
		var kind metav1.TypeMeta
		must(t, yaml.Unmarshal([]byte(document), &kind))
		object := newObject(kind)
		if object == nil {
			t.Fatalf("%s: %s of %s is not expected here", path, kind.Kind, kind.APIVersion)
		}
		if err := yaml.UnmarshalStrict([]byte(document), object); err != nil {
			t.Fatalf("%s: %s: %v", path, kind.Kind, err)
		}
		out = append(out, object)
	}
	return out
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// only is the one object of its type in a file.
func only[T any](t *testing.T, path string) *T {
	t.Helper()
	var found []*T
	for _, object := range read(t, path) {
		if o, ok := object.(*T); ok {
			found = append(found, o)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%s has %d of %T", path, len(found), *new(T))
	}
	return found[0]
}

// Every manifest is read strictly, whatever else is tested of it.
func TestManifests(t *testing.T) {
	files, err := filepath.Glob("i*/*.yaml")
	must(t, err)
	if len(files) != 5 {
		t.Fatalf("%v", files)
	}
	for _, path := range files {
		read(t, path)
	}
}

// Both primaries are of one mesh and one network, under the names that the guide's remote secrets have.
func TestPrimaries(t *testing.T) {
	guide, err := os.ReadFile("README.md")
	must(t, err)
	one, two := only[operator](t, "istio/cluster-1.yaml").Spec.Values.Global, only[operator](t, "istio/cluster-2.yaml").Spec.Values.Global
	if one.MeshID == "" || one.MeshID != two.MeshID || one.Network == "" || one.Network != two.Network {
		t.Errorf("not one mesh and one network: %+v and %+v", one, two)
	}
	for i, global := range []string{one.MultiCluster.ClusterName, two.MultiCluster.ClusterName} {
		secret := `create-remote-secret --context "$CTX` + string("12"[i]) + `" --name ` + global + " "
		if global == "" || !strings.Contains(string(guide), secret) {
			t.Errorf("the guide makes no secret of the name %q", global)
		}
	}
}

// What runs in cluster-2 is found by the names that pages and reviews ask for, on their port.
func TestReviewsV3(t *testing.T) {
	const port = 9080
	modern, old := only[appsv1.Deployment](t, "istio/reviews-v3.yaml"), only[extensions.Deployment](t, "icp/reviews-v3.yaml")
	for path, template := range map[string]corev1.PodTemplateSpec{
		"istio/reviews-v3.yaml": modern.Spec.Template, "icp/reviews-v3.yaml": old.Spec.Template,
	} {
		var names []string
		for _, object := range read(t, path) {
			service, ok := object.(*corev1.Service)
			if !ok {
				continue
			}
			names = append(names, service.Name)
			if p := service.Spec.Ports; len(p) != 1 || p[0].Port != port || p[0].Name != "http" {
				t.Errorf("%s: Service %s has the ports %+v", path, service.Name, p)
			}
			if s := service.Spec.Selector; service.Name == "reviews" && (len(s) == 0 || !selects(s, template.Labels)) {
				t.Errorf("%s: reviews selects %v, the pods have %v", path, s, template.Labels)
			}
		}
		slices.Sort(names)
		if !slices.Equal(names, []string{"ratings", "reviews"}) || template.Labels["version"] != "v3" ||
			template.Spec.Containers[0].Ports[0].ContainerPort != port {
			t.Errorf("%s: Services %v, pods %+v", path, names, template)
		}
	}
	if s := modern.Spec.Selector.MatchLabels; !selects(s, modern.Spec.Template.Labels) {
		t.Errorf("the Deployment selects %v, its pods have %v", s, modern.Spec.Template.Labels)
	}
	account := only[corev1.ServiceAccount](t, "istio/reviews-v3.yaml")
	if name := modern.Spec.Template.Spec.ServiceAccountName; name != account.Name {
		t.Errorf("the account is %s, the pods' %s", account.Name, name)
	}
	rule := only[destinationRule](t, "istio/reviews-evenly.yaml")
	if rule.Spec.Host != "reviews" || rule.Spec.TrafficPolicy.LoadBalancer.GetSimple() != istio.LoadBalancerSettings_ROUND_ROBIN {
		t.Errorf("the rule is %v", &rule.Spec.DestinationRule)
	}
}

func selects(selector, labels map[string]string) bool {
	for k, v := range selector {
		if labels[k] != v {
			return false
		}
	}
	return true
}

// That mistakes are found shows that the reading is strict.
func TestMistakesAreFound(t *testing.T) {
	for _, c := range []struct {
		object     any
		path       string
		good, evil string
	}{
		{&destinationRule{}, "istio/reviews-evenly.yaml", "loadBalancer:", "loadBalancing:"},
		{&destinationRule{}, "istio/reviews-evenly.yaml", "ROUND_ROBIN", "EVENLY"},
		{&operator{}, "istio/cluster-1.yaml", "clusterName:", "cluster:"},
	} {
		text, err := os.ReadFile(c.path)
		must(t, err)
		if err := yaml.UnmarshalStrict(text, c.object); err != nil {
			t.Error(err)
		}
		bad := strings.Replace(string(text), c.good, c.evil, 1)
		if err := yaml.UnmarshalStrict([]byte(bad), c.object); err == nil || bad == string(text) {
			t.Errorf("%s with %q is taken", c.path, c.evil)
		}
	}
}

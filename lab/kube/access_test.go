package kube

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"routed/peering/roster/kube"
)

// token asks for a token of an account, as `kubectl create token` does.
func (c *cluster) token(t *testing.T, account string) string {
	t.Helper()
	out, err := c.client.CoreV1().ServiceAccounts(namespace).CreateToken(t.Context(), account, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	must(t, err)
	return out.Status.Token
}

func (c *cluster) as(t *testing.T, account string) *kubernetes.Clientset {
	t.Helper()
	client, err := kubernetes.NewForConfig(c.restConfig(c.token(t, account)))
	must(t, err)
	return client
}

// rules lists all that an account may do in its namespace and in the cluster, one line a rule.
func (c *cluster) rules(t *testing.T, account string) []string {
	t.Helper()
	review := &authorizationv1.SelfSubjectRulesReview{Spec: authorizationv1.SelfSubjectRulesReviewSpec{Namespace: namespace}}
	out, err := c.as(t, account).AuthorizationV1().SelfSubjectRulesReviews().Create(t.Context(), review, metav1.CreateOptions{})
	must(t, err)
	if out.Status.Incomplete {
		t.Fatalf("the API server does not tell all that %s may do: %s", account, out.Status.EvaluationError)
	}
	var lines []string
	for _, r := range out.Status.ResourceRules {
		lines = append(lines, fmt.Sprintf("%v of %v %v %v", r.Verbs, r.APIGroups, r.Resources, r.ResourceNames))
	}
	for _, r := range out.Status.NonResourceRules {
		lines = append(lines, fmt.Sprintf("%v of %v", r.Verbs, r.NonResourceURLs))
	}
	slices.Sort(lines)
	return slices.Compact(lines)
}

// The account for other clusters may list and watch nodes, and do nothing else that an account without any role may not; the
// daemon's own account may do nothing at all.
func TestRights(t *testing.T) {
	c := startCluster(t)
	c.mustKubectl(t, "apply", "--server-side", "-k", filepath.Join(daemonset, "overlays/cluster-1"))
	_, err := c.client.CoreV1().ServiceAccounts(namespace).Create(t.Context(),
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "nobody"}}, metav1.CreateOptions{})
	must(t, err)
	bare := c.rules(t, "nobody")
	if own := c.rules(t, "routed"); !slices.Equal(own, bare) {
		t.Errorf("the daemon's account may\n%s\none without a role\n%s", strings.Join(own, "\n"), strings.Join(bare, "\n"))
	}
	roster := slices.DeleteFunc(c.rules(t, "routed-roster"), func(rule string) bool { return slices.Contains(bare, rule) })
	if want := []string{"[list watch] of [] [nodes] []"}; !slices.Equal(roster, want) {
		t.Errorf("the account for other clusters may\n%s\nbeyond what any account may; want %v", strings.Join(roster, "\n"), want)
	}
	c.checkRequests(t)
	c.checkScript(t)
}

// checkScript: what roster-kubeconfig prints is what a daemon of another cluster reads the nodes with. The token in the Secret
// would be put there by a controller.
func (c *cluster) checkScript(t *testing.T) {
	t.Helper()
	ctx, secrets := t.Context(), c.client.CoreV1().Secrets(namespace)
	secret, err := secrets.Get(ctx, "routed-roster", metav1.GetOptions{})
	must(t, err)
	script := func() ([]byte, error) {
		cmd := exec.CommandContext(ctx, filepath.Join(daemonset, "roster-kubeconfig"))
		cmd.Env = append(os.Environ(), "KUBECONFIG="+c.kubeconfig(t, adminToken), "PATH="+os.Getenv(envBinaries)+":"+os.Getenv("PATH"))
		return cmd.Output()
	}
	if out, err := script(); err == nil {
		t.Errorf("without a token it prints %s", out)
	}
	secret.Data = map[string][]byte{"token": []byte(c.token(t, "routed-roster")), "ca.crt": c.ca}
	_, err = secrets.Update(ctx, secret, metav1.UpdateOptions{})
	must(t, err)
	out, err := script()
	must(t, err)
	path := filepath.Join(t.TempDir(), "kubeconfig")
	must(t, os.WriteFile(path, out, 0o600))
	target, err := kube.Load(kube.Settings{Kubeconfig: path})
	must(t, err)
	c.putNode(t, "gyliu-icp-1", nil, internal("9.111.255.21"))
	nodes, err := kube.List(ctx, target)
	if err != nil || len(nodes) != 1 || nodes[0].Name != "gyliu-icp-1" || target.Server() != c.url {
		t.Errorf("at %s there are %v, %v", target.Server(), nodes, err)
	}
}

// checkRequests makes the requests themselves, with a token of the account.
func (c *cluster) checkRequests(t *testing.T) {
	t.Helper()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "one"}}
	_, err := c.client.CoreV1().Nodes().Create(t.Context(), node, metav1.CreateOptions{})
	must(t, err)
	ctx, api := t.Context(), c.as(t, "routed-roster").CoreV1()
	list, err := api.Nodes().List(ctx, metav1.ListOptions{})
	must(t, err)
	if len(list.Items) != 1 {
		t.Errorf("it sees %d nodes", len(list.Items))
	}
	w, err := api.Nodes().Watch(ctx, metav1.ListOptions{ResourceVersion: list.ResourceVersion})
	must(t, err)
	w.Stop()
	for request, do := range map[string]func(context.Context) error{
		"get a node": func(ctx context.Context) error {
			_, err := api.Nodes().Get(ctx, "one", metav1.GetOptions{})
			return err
		},
		"create a node": func(ctx context.Context) error {
			_, err := api.Nodes().Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "two"}}, metav1.CreateOptions{})
			return err
		},
		"change a node": func(ctx context.Context) error {
			_, err := api.Nodes().Update(ctx, &list.Items[0], metav1.UpdateOptions{})
			return err
		},
		"change a node's status": func(ctx context.Context) error {
			_, err := api.Nodes().UpdateStatus(ctx, &list.Items[0], metav1.UpdateOptions{})
			return err
		},
		"delete a node": func(ctx context.Context) error { return api.Nodes().Delete(ctx, "one", metav1.DeleteOptions{}) },
		"list secrets": func(ctx context.Context) error {
			_, err := api.Secrets(namespace).List(ctx, metav1.ListOptions{})
			return err
		},
		"read its own token": func(ctx context.Context) error {
			_, err := api.Secrets(namespace).Get(ctx, "routed-roster", metav1.GetOptions{})
			return err
		},
		"make itself a token": func(ctx context.Context) error {
			_, err := api.ServiceAccounts(namespace).CreateToken(ctx, "routed-roster", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
			return err
		},
		"read the configuration": func(ctx context.Context) error {
			_, err := api.ConfigMaps(namespace).Get(ctx, "routed", metav1.GetOptions{})
			return err
		},
		"list pods": func(ctx context.Context) error {
			_, err := api.Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
			return err
		},
		"list namespaces": func(ctx context.Context) error {
			_, err := api.Namespaces().List(ctx, metav1.ListOptions{})
			return err
		},
	} {
		if err := do(ctx); !apierrors.IsForbidden(err) {
			t.Errorf("it may %s: %v", request, err)
		}
	}
}

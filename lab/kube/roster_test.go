package kube

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"routed/peering/roster"
	"routed/peering/roster/kube"
)

const issuer = "https://kubernetes.default.svc"

// leeway is how long after its end the API server still takes a token, for clocks that differ.
const leeway = time.Minute

// follower is a source on its way, and the latest list it gave.
type follower struct {
	source *kube.Source
	mu     sync.Mutex
	list   []string
}

// follow follows the nodes with a token, as the daemon does, until the test ends.
func (c *cluster) follow(t *testing.T, token, selector string) *follower {
	t.Helper()
	target, err := kube.Load(kube.Settings{Kubeconfig: c.kubeconfig(t, token), LabelSelector: selector})
	must(t, err)
	f := &follower{source: kube.NewSource(target, slog.New(slog.NewTextHandler(io.Discard, nil)))}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.source.Run(ctx, f.take)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return f
}

func (f *follower) take(nodes []roster.Node) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = nil
	for _, n := range nodes {
		f.list = append(f.list, n.Name+"="+n.Addr.String())
	}
	slices.Sort(f.list)
}

func (f *follower) want(t *testing.T, list ...string) {
	t.Helper()
	eventually(t, func() error {
		f.mu.Lock()
		defer f.mu.Unlock()
		if !slices.Equal(f.list, list) {
			return fmt.Errorf("the list is %v, want %v; %+v", f.list, list, f.source.Status(time.Now()))
		}
		return nil
	})
}

// wantTrouble waits until the source fails with this; "": until it does not fail.
func (f *follower) wantTrouble(t *testing.T, trouble string) {
	t.Helper()
	eventually(t, func() error {
		if s := f.source.Status(time.Now()); (s.Err == "") != (trouble == "") || !strings.Contains(s.Err, trouble) {
			return fmt.Errorf("status %+v, want %q", s, trouble)
		}
		return nil
	})
}

// putNode makes a Node, or gives one other addresses, as a kubelet does.
func (c *cluster) putNode(t *testing.T, name string, labels map[string]string, addrs ...corev1.NodeAddress) {
	t.Helper()
	ctx, nodes := t.Context(), c.client.CoreV1().Nodes()
	node, err := nodes.Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		node, err = nodes.Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}, metav1.CreateOptions{})
		must(t, err)
	}
	node.Status.Addresses = addrs
	_, err = nodes.UpdateStatus(ctx, node, metav1.UpdateOptions{})
	must(t, err)
}

func internal(addr string) corev1.NodeAddress {
	return corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: addr}
}

// The roster follows Node objects through everything that happens to them and to their API server.
func TestRoster(t *testing.T) {
	c := startCluster(t)
	c.mustKubectl(t, "apply", "--server-side", "-k", filepath.Join(daemonset, "overlays/cluster-2"))
	c.putNode(t, "gyliu-ubuntu-1", nil, internal("9.111.255.77"),
		corev1.NodeAddress{Type: corev1.NodeExternalIP, Address: "192.0.2.1"}, corev1.NodeAddress{Type: corev1.NodeHostName, Address: "gyliu-ubuntu-1"})
	c.putNode(t, "gyliu-ubuntu-2", map[string]string{"edge": "yes"}, internal("9.111.255.155"))
	token := c.token(t, "routed-roster")
	f, edge := c.follow(t, token, ""), c.follow(t, token, "edge=yes")
	f.want(t, "gyliu-ubuntu-1=9.111.255.77", "gyliu-ubuntu-2=9.111.255.155")
	edge.want(t, "gyliu-ubuntu-2=9.111.255.155")
	f.wantTrouble(t, "")

	t.Run("NodeAdded", func(t *testing.T) {
		c.putNode(t, "gyliu-ubuntu-3", nil, internal("9.111.255.152"), internal("fd00::152"))
		f.want(t, "gyliu-ubuntu-1=9.111.255.77", "gyliu-ubuntu-2=9.111.255.155", "gyliu-ubuntu-3=9.111.255.152", "gyliu-ubuntu-3=fd00::152")
	})
	t.Run("AddressChanged", func(t *testing.T) {
		c.putNode(t, "gyliu-ubuntu-3", nil, internal("9.111.255.153"))
		f.want(t, "gyliu-ubuntu-1=9.111.255.77", "gyliu-ubuntu-2=9.111.255.155", "gyliu-ubuntu-3=9.111.255.153")
	})
	t.Run("NodeWithoutAddress", func(t *testing.T) {
		c.putNode(t, "gyliu-ubuntu-3", nil)
		f.want(t, "gyliu-ubuntu-1=9.111.255.77", "gyliu-ubuntu-2=9.111.255.155")
	})
	t.Run("NodeDeleted", func(t *testing.T) {
		must(t, c.client.CoreV1().Nodes().Delete(t.Context(), "gyliu-ubuntu-2", metav1.DeleteOptions{}))
		f.want(t, "gyliu-ubuntu-1=9.111.255.77")
		edge.want(t) // what to make of an empty list is the daemon's
	})
	t.Run("APIServerAway", func(t *testing.T) {
		c.api.stop(t)
		f.wantTrouble(t, "connection refused")
		f.want(t, "gyliu-ubuntu-1=9.111.255.77")
		c.startAPI(t)
		c.putNode(t, "gyliu-ubuntu-2", nil, internal("9.111.255.155"))
		f.want(t, "gyliu-ubuntu-1=9.111.255.77", "gyliu-ubuntu-2=9.111.255.155")
		f.wantTrouble(t, "")
	})
	t.Run("TokenExpired", func(t *testing.T) { c.testExpired(t) })
	t.Run("AccountDeleted", func(t *testing.T) {
		c.mustKubectl(t, "delete", "-n", namespace, "serviceaccount", "routed-roster")
		c.restartAPI(t) // a watch that stands is not asked again who it is
		f.wantTrouble(t, "Unauthorized")
		f.want(t, "gyliu-ubuntu-1=9.111.255.77", "gyliu-ubuntu-2=9.111.255.155")
	})
}

// testExpired: a token that has run out ends nothing that stands; the next list is refused, and what is known stays.
func (c *cluster) testExpired(t *testing.T) {
	ends := time.Now().Add(10 * time.Second)
	f := c.follow(t, c.tokenUntil(t, ends), "")
	f.want(t, "gyliu-ubuntu-1=9.111.255.77", "gyliu-ubuntu-2=9.111.255.155")
	f.wantTrouble(t, "")
	c.api.stop(t)
	f.wantTrouble(t, "connection refused")
	eventually(t, func() error {
		if time.Now().Before(ends) {
			return errors.New("the token is still good")
		}
		return nil
	})
	c.startAPI(t)
	f.wantTrouble(t, "Unauthorized")
	f.want(t, "gyliu-ubuntu-1=9.111.255.77", "gyliu-ubuntu-2=9.111.255.155")
}

// tokenUntil makes a token of the account as the API server makes them, for less than the ten minutes that it insists on.
func (c *cluster) tokenUntil(t *testing.T, ends time.Time) string {
	t.Helper()
	account, err := c.client.CoreV1().ServiceAccounts(namespace).Get(t.Context(), "routed-roster", metav1.GetOptions{})
	must(t, err)
	began := ends.Add(-time.Hour)
	claims := jwt.MapClaims{
		"iss": issuer, "aud": []string{issuer}, "sub": "system:serviceaccount:" + namespace + ":routed-roster",
		"iat": began.Unix(), "nbf": began.Unix(), "exp": ends.Add(-leeway).Unix(),
		"kubernetes.io": map[string]any{
			"namespace": namespace, "serviceaccount": map[string]any{"name": account.Name, "uid": string(account.UID)},
		},
	}
	text, err := jwt.NewWithClaims(jwt.SigningMethodRS256, claims).SignedString(c.key)
	must(t, err)
	return text
}

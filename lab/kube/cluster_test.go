package kube

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"routed/lab"
)

// envBinaries says where kube-apiserver and kubectl are.
const envBinaries = "ROUTED_KUBE"

// adminToken is the cluster administrator's.
const adminToken = "admin"

func etcd() lab.Tool {
	return lab.Tool{Package: "etcd-server", Program: "usr/bin/etcd", OnHost: true}
}

func TestMain(m *testing.M) { os.Exit(lab.Main(m, etcd())) }

// cluster is a control plane without controllers: etcd and the API server, on loopback.
type cluster struct {
	owner  *testing.T // whose end is the cluster's
	dir    string
	etcd   *program
	api    *program
	args   []string // of the API server
	url    string
	ca     []byte
	client *kubernetes.Clientset // the administrator's
	key    *rsa.PrivateKey       // signs the tokens of accounts
}

// startCluster starts a cluster that lasts as long as the test.
func startCluster(t *testing.T) *cluster {
	t.Helper()
	lab.Need(t, etcd())
	if os.Getenv(envBinaries) == "" {
		t.Skipf("no API server: run make test-kube, which builds one and sets %s", envBinaries)
	}
	c := &cluster{owner: t, dir: t.TempDir()}
	c.startEtcd(t)
	c.makeKeys(t)
	port := freePort(t)
	c.url = "https://127.0.0.1:" + port
	c.args = []string{
		"--etcd-servers", c.etcd.url, "--bind-address", "127.0.0.1", "--secure-port", port, "--cert-dir", c.dir,
		"--advertise-address", "192.0.2.1", "--endpoint-reconciler-type", "none", // there is no default route to find one by
		"--authorization-mode", "RBAC", "--token-auth-file", c.file("tokens.csv"), "--service-cluster-ip-range", "10.0.0.0/24",
		"--service-account-issuer", issuer, "--service-account-signing-key-file", c.file("sa.key"), "--service-account-key-file", c.file("sa.key"),
	}
	must(t, os.WriteFile(c.file("tokens.csv"), []byte(adminToken+",admin,admin,system:masters\n"), 0o600))
	c.startAPI(t)
	var err error
	c.client, err = kubernetes.NewForConfig(c.restConfig(adminToken))
	must(t, err)
	return c
}

func (c *cluster) file(name string) string { return filepath.Join(c.dir, name) }

func (c *cluster) startEtcd(t *testing.T) {
	t.Helper()
	found, err := etcd().Find()
	must(t, err)
	client, peer := "http://127.0.0.1:"+freePort(t), "http://127.0.0.1:"+freePort(t)
	cmd := exec.Command(found.Path(etcd().Program), "--data-dir", c.file("etcd"), "--name", "one", "--logger", "zap",
		"--listen-client-urls", client, "--advertise-client-urls", client, "--listen-peer-urls", peer,
		"--initial-advertise-peer-urls", peer, "--initial-cluster", "one="+peer)
	cmd.Env = append(os.Environ(), found.Env()...)
	c.etcd = c.start(t, cmd)
	c.etcd.url = client
}

func (c *cluster) makeKeys(t *testing.T) {
	t.Helper()
	var err error
	c.key, err = rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	block := pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(c.key)}
	must(t, os.WriteFile(c.file("sa.key"), pem.EncodeToMemory(&block), 0o600))
}

// startAPI starts the API server and waits until it is ready; it makes its certificate the first time.
func (c *cluster) startAPI(t *testing.T) {
	t.Helper()
	c.api = c.start(t, exec.Command(filepath.Join(os.Getenv(envBinaries), "kube-apiserver"), c.args...))
	eventually(t, func() error {
		if err := c.api.alive(); err != nil {
			t.Fatal(err)
		}
		var err error
		if c.ca, err = os.ReadFile(c.file("apiserver.crt")); err != nil {
			return err
		}
		client, err := kubernetes.NewForConfig(c.restConfig(adminToken))
		if err != nil {
			return err
		}
		return client.RESTClient().Get().AbsPath("/readyz").Do(t.Context()).Error()
	})
}

// restartAPI ends the API server and starts it again; what etcd has stays.
func (c *cluster) restartAPI(t *testing.T) {
	t.Helper()
	c.api.stop(t)
	c.startAPI(t)
}

func (c *cluster) restConfig(token string) *rest.Config {
	return &rest.Config{Host: c.url, BearerToken: token, TLSClientConfig: rest.TLSClientConfig{CAData: c.ca}, QPS: -1}
}

// kubeconfig writes one for a token, and gives its path.
func (c *cluster) kubeconfig(t *testing.T, token string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kubeconfig")
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: %q, certificate-authority-data: %s}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
users: [{name: u, user: {token: %s}}]
current-context: x
`, c.url, base64.StdEncoding.EncodeToString(c.ca), token)
	must(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// kubectl runs kubectl as the administrator and returns what it prints, on both outputs.
func (c *cluster) kubectl(t *testing.T, args ...string) (string, error) {
	t.Helper()
	return c.kubectlWith(t, "", args...)
}

func (c *cluster) kubectlWith(t *testing.T, stdin string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(os.Getenv(envBinaries), "kubectl"), args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.kubeconfig(t, adminToken), "HOME="+c.dir)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (c *cluster) mustKubectl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := c.kubectl(t, args...)
	if err != nil {
		t.Fatalf("kubectl %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return out
}

// program is a server that ends with the test.
type program struct {
	cmd  *exec.Cmd
	url  string
	out  *bytes.Buffer // to be read when it has ended
	done chan struct{}
}

// start starts a program of the cluster; a test that is part of the owner's may do it.
func (c *cluster) start(t *testing.T, cmd *exec.Cmd) *program {
	t.Helper()
	p := &program{cmd: cmd, out: &bytes.Buffer{}, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.out, p.out
	must(t, cmd.Start())
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // how it ended is of no interest: it ends by a signal
	}()
	c.owner.Cleanup(func() {
		p.stop(c.owner)
		if c.owner.Failed() {
			c.owner.Logf("%s:\n%s", cmd.Path, p.out.Bytes()[max(0, p.out.Len()-4000):])
		}
	})
	return p
}

func (p *program) alive() error {
	select {
	case <-p.done:
		return fmt.Errorf("%s has ended: %s", p.cmd.Path, p.out.Bytes()[max(0, p.out.Len()-4000):])
	default:
		return nil
	}
}

// stop ends it, by force when it takes too long.
func (p *program) stop(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Error(err)
	}
	select {
	case <-p.done:
	case <-time.After(20 * time.Second):
		_ = p.cmd.Process.Kill() // gone already is as good
		<-p.done
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	must(t, err)
	return port
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually looks until check is satisfied, for a minute.
func eventually(t *testing.T, check func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	must(t, lab.WaitFor(ctx, "what the test waits for", func(context.Context) error { return check() }))
}

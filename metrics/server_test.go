package metrics

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func fine() error { return nil }

// config is a server's with everything in order.
func config(t *testing.T) ServerConfig {
	t.Helper()
	build := Build{Version: "0.1.0", Revision: "<abc>", GoVersion: "go1.26"}
	r, err := NewRegistry(build, collect(sample(), Options{}), NewTimings())
	if err != nil {
		t.Fatal(err)
	}
	return ServerConfig{
		Listen: "127.0.0.1:0", Registry: r, Page: http.NotFoundHandler(), Healthy: fine, Ready: fine,
		Log: slog.New(slog.DiscardHandler),
	}
}

// serve runs a server until the test ends and returns its address.
func serve(t *testing.T, cfg ServerConfig) string {
	t.Helper()
	l, err := Listen(t.Context(), cfg.Listen)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- NewServer(cfg).Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return l.Addr().String()
}

type answer struct {
	status int
	header http.Header
	body   string
}

// get asks once, on a connection of its own.
func get(t *testing.T, req *http.Request, trust *x509.CertPool) (answer, error) {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trust}, DisableKeepAlives: true}
	resp, err := (&http.Client{Transport: transport, Timeout: time.Minute}).Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(body)}, err
}

func request(t *testing.T, method, url string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

func fetch(t *testing.T, url string) answer {
	t.Helper()
	a, err := get(t, request(t, http.MethodGet, url), nil)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestScrape(t *testing.T) {
	addr := serve(t, config(t))
	a := fetch(t, "http://"+addr+"/metrics")
	if a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(a.body))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names() {
		if len(families[name].GetMetric()) == 0 {
			t.Errorf("%s is not in the scrape", name)
		}
	}
}

// Prometheus asks for OpenMetrics.
func TestScrapeOpenMetrics(t *testing.T) {
	req := request(t, http.MethodGet, "http://"+serve(t, config(t))+"/metrics")
	req.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
	a, err := get(t, req, nil)
	if err != nil || !strings.HasPrefix(a.header.Get("Content-Type"), "application/openmetrics-text") ||
		!strings.HasSuffix(a.body, "# EOF\n") {
		t.Errorf("%v, %s, ends %q", err, a.header, a.body[max(0, len(a.body)-20):])
	}
}

func TestOneBadSeriesDoesNotBlind(t *testing.T) {
	cfg := config(t)
	s := sample()
	s.Mesh.Clusters[1].Name = "\xff"
	r, err := NewRegistry(Build{Version: "0.1.0"}, collect(s, Options{}))
	if err != nil {
		t.Fatal(err)
	}
	cfg.Registry = r
	var log bytes.Buffer
	cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
	t.Run("scrape", func(t *testing.T) {
		a := fetch(t, "http://"+serve(t, cfg)+"/metrics")
		if a.status != http.StatusOK || !strings.Contains(a.body, `routed_bgp_session_up{cluster="cluster-1"`) {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
	if !strings.Contains(log.String(), "metrics-scrape") {
		t.Errorf("nothing logged: %s", log.String())
	}
}

func TestHealth(t *testing.T) {
	cfg := config(t)
	cfg.Ready = func() error { return errors.New("2 of 3 sessions have not sent their routes") }
	addr := serve(t, cfg)
	for path, want := range map[string]answer{
		"/healthz": {status: 200, body: "healthy\n"},
		"/readyz":  {status: 503, body: "not ready: 2 of 3 sessions have not sent their routes\n"},
	} {
		a := fetch(t, "http://"+addr+path)
		if a.status != want.status || a.body != want.body || a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %q %s", path, a.status, a.body, a.header)
		}
	}
}

func TestPages(t *testing.T) {
	cfg := config(t)
	cfg.Page = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Method, " ", r.URL) })
	addr := serve(t, cfg)
	if a := fetch(t, "http://"+addr+"/?refresh=10"); a.status != http.StatusOK || a.body != "GET /?refresh=10" {
		t.Errorf("/: %d %s", a.status, a.body)
	}
	if a, err := get(t, request(t, http.MethodHead, "http://"+addr+"/"), nil); err != nil || a.status != http.StatusOK || a.body != "" {
		t.Errorf("HEAD /: %d %q, %v", a.status, a.body, err)
	}
	if a := fetch(t, "http://"+addr+"/nothing"); a.status != http.StatusNotFound {
		t.Errorf("/nothing: %d", a.status)
	}
	if a := fetch(t, "http://"+addr+"/debug/pprof/"); a.status != http.StatusNotFound {
		t.Errorf("/debug/pprof/: %d", a.status)
	}
	for _, path := range []string{"/", "/metrics"} {
		a, err := get(t, request(t, http.MethodPost, "http://"+addr+path), nil)
		if err != nil || a.status != http.StatusMethodNotAllowed {
			t.Errorf("POST %s: %d, %v", path, a.status, err)
		}
	}
}

// certificate writes a key and a certificate for 127.0.0.1 into dir.
func certificate(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})
	write(t, filepath.Join(dir, "cert.pem"), certPEM)
	write(t, filepath.Join(dir, "key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(certPEM)
	return pool
}

func write(t *testing.T, file string, data []byte) {
	t.Helper()
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

const webConfig = `
tls_server_config:
  cert_file: cert.pem
  key_file: key.pem
basic_auth_users:
  prometheus: $2a$04$z/qutYNFXr8fB7l18E2XNeiFNKxudvpC/3ywwzrVKf.Oh/DhbVUTS # open sesame
`

func TestTLSAndBasicAuth(t *testing.T) {
	dir := t.TempDir()
	trust := certificate(t, dir)
	cfg := config(t)
	cfg.WebConfigFile = filepath.Join(dir, "web.yml")
	write(t, cfg.WebConfigFile, []byte(webConfig))
	url := "https://" + serve(t, cfg) + "/metrics"

	for _, tc := range []struct {
		name, user, password string
		want                 int
	}{
		{"no password", "", "", 401},
		{"wrong password", "prometheus", "open barley", 401},
		{"right", "prometheus", "open sesame", 200},
	} {
		req := request(t, http.MethodGet, url)
		if tc.user != "" {
			req.SetBasicAuth(tc.user, tc.password)
		}
		a, err := get(t, req, trust)
		if err != nil || a.status != tc.want || (a.status == 200) != strings.Contains(a.body, "routed_build_info") {
			t.Errorf("%s: %d, %v", tc.name, a.status, err)
		}
	}
	if _, err := get(t, request(t, http.MethodGet, url), nil); err == nil {
		t.Error("a certificate nobody vouches for was trusted: this test tests nothing")
	}
	plain, err := get(t, request(t, http.MethodGet, "http"+strings.TrimPrefix(url, "https")), nil)
	if err == nil && plain.status != http.StatusBadRequest {
		t.Errorf("without TLS: %d", plain.status)
	}
}

func TestBadWebConfig(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"unknown key":    "tls: true\n",
		"no certificate": "tls_server_config: {cert_file: none.pem, key_file: none.pem}\n",
		"plain password": "basic_auth_users: {prometheus: secret}\n",
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config(t)
			cfg.WebConfigFile = filepath.Join(dir, "web.yml")
			write(t, cfg.WebConfigFile, []byte(text))
			err := NewServer(cfg).Run(t.Context())
			if err == nil || !strings.Contains(err.Error(), "metrics.webConfigFile") ||
				strings.Contains(err.Error(), "secret") {
				t.Errorf("Run: %v", err)
			}
		})
	}
}

func TestPortIsTaken(t *testing.T) {
	cfg := config(t)
	cfg.Listen = serve(t, config(t))
	err := NewServer(cfg).Run(t.Context())
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "metrics.listen "+cfg.Listen) {
		t.Errorf("Run: %v", err)
	}
}

func TestAddressIsNotOurs(t *testing.T) {
	cfg := config(t)
	cfg.Listen = "192.0.2.1:0" // TEST-NET-1 (RFC 5737)
	err := NewServer(cfg).Run(t.Context())
	if !errors.Is(err, syscall.EADDRNOTAVAIL) || !strings.Contains(err.Error(), "metrics.listen") {
		t.Errorf("Run: %v", err)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := NewServer(config(t)).Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("Run: %v", err)
	}
}

// A client that holds a connection open does not keep the daemon from ending.
func TestEndsDespiteAnIdleClient(t *testing.T) {
	cfg := config(t)
	l, err := Listen(t.Context(), cfg.Listen)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- NewServer(cfg).Serve(ctx, l) }()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 12)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if c, err := net.Dial("tcp", l.Addr().String()); err == nil {
		_ = c.Close()
		t.Error("the port is still open")
	}
}

package lab_test

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	client "github.com/prometheus/client_golang/prometheus"

	"routed/admin"
	"routed/lab"
	"routed/lab/browser"
	"routed/metrics"
	"routed/page"
	"routed/page/pagetest"
)

// shown is what a reader of the status page finds.
type shown struct {
	Title    string   `json:"title"`
	Verdict  string   `json:"verdict"`
	First    string   `json:"first"`    // heading of the first section
	Problems []string `json:"problems"` // their codes, in order
	Rows     []string `json:"rows"`     // the remote nodes that have a row in the picture: their condition and name
	Cells    int      `json:"cells"`    // signs in the picture
	BIRD     string   `json:"bird"`     // condition of the session with it
	This     string   `json:"this"`     // text of this node in the picture
	Styled   bool     `json:"styled"`   // the style sheet is in force
}

const readPage = `(() => {
	const text = (e) => e ? e.textContent.trim() : "";
	const rows = [...document.querySelectorAll(".cluster > g > use")].filter((e) => !e.getAttribute("href").startsWith("#s-"));
	const bird = [...document.querySelectorAll("svg > g > use")][0];
	return {
		title: document.title,
		verdict: text(document.querySelector(".verdict")),
		first: text(document.querySelector("main h2")),
		problems: [...document.querySelectorAll(".problems h3")].map((e) => text(e).split(" ").pop()),
		rows: rows.map((e) => e.getAttribute("class") + " " + text(e.parentElement.querySelector(".name"))),
		cells: document.querySelectorAll(".cluster > use").length,
		bird: bird ? bird.getAttribute("class") : "",
		this: text(document.querySelector(".this")).replace(/\s+/g, " "),
		styled: getComputedStyle(document.querySelector(".verdict")).borderTopStyle == "solid",
	};
})()`

func read(b *browser.Browser, url string) (shown, error) {
	if err := b.Open(url); err != nil {
		return shown{}, err
	}
	return browser.Evaluate[shown](b, readPage)
}

// waitShown waits until the page is as it should be.
func waitShown(t *testing.T, b *browser.Browser, url, what string, check func(shown) error) {
	t.Helper()
	must(t, lab.WaitFor(b.Context(), what, func(context.Context) error {
		s, err := read(b, url)
		if err == nil {
			err = check(s)
		}
		if err != nil {
			err = fmt.Errorf("%w: %+v", err, s)
		}
		return err
	}))
}

// testStatusPage opens the page of one node while the mesh is healthy, and while a remote daemon and the node's BIRD are away.
func (m *mesh) testStatusPage(t *testing.T) {
	const url = "http://127.0.0.1:9790/"
	node := m.Node("gyliu-icp-1")
	remotes := m.RemoteOf(node)
	b := browser.Start(t, node.Namespace)

	waitShown(t, b, url, "a healthy page", func(s shown) error {
		var want []string
		for _, r := range remotes {
			want = append(want, "up "+r.Spec.Name)
		}
		if s.Verdict != "healthy" || s.First != "Mesh" || len(s.Problems) > 0 || s.BIRD != "up" || !s.Styled || !sameSet(s.Rows, want) ||
			!strings.Contains(s.This, node.Spec.Addr.String()) {
			return errors.New("not what a healthy mesh looks like")
		}
		return nil
	})
	b.CheckFits(t, 400, 1000)
	b.Keep(t, "status-page-healthy.png", "main")

	must(t, remotes[0].StopRouted(m.ctx))
	must(t, node.StopBIRD(m.ctx))
	waitShown(t, b, url, "a page with problems", func(s shown) error {
		if s.First != "Problems" || len(s.Problems) == 0 || s.Problems[0] != "bird-down" || !strings.HasPrefix(s.Title, s.Verdict) {
			return errors.New("the problem is not the first thing")
		}
		if s.BIRD != "kept" || len(s.Rows) != len(remotes) || s.Rows[0] != "kept "+remotes[0].Spec.Name || !strings.HasPrefix(s.Rows[1], "up ") {
			return errors.New("the picture does not show what is down")
		}
		return nil
	})
	b.CheckFits(t, 400, 1000)
	b.Keep(t, "status-page-broken.png", "main")
	b.CheckQuiet(t, url)

	must(t, node.StartBIRD(m.ctx, m.bird))
	must(t, remotes[0].StartRouted(m.ctx, m.binary, m.bird.Peering))
	m.waitHealthy(t)
}

func sameSet(a, b []string) bool {
	count := map[string]int{}
	for _, s := range a {
		count[s]++
	}
	for _, s := range b {
		count[s]--
	}
	for _, n := range count {
		if n != 0 {
			return false
		}
	}
	return true
}

// TestStatusPageOfALargeMesh opens the page of a node with 600 remote nodes, by the daemon's own listener, with TLS and a
// password.
func TestStatusPageOfALargeMesh(t *testing.T) {
	lab.Need(t, lab.Chromium)
	address := serveLargeMesh(t)
	b := browser.Start(t, "", chromedp.IgnoreCertErrors)
	if s, err := read(b, "https://"+address+"/"); err == nil && s.Verdict != "" {
		t.Fatalf("without a password: %+v", s)
	}
	b = browser.Start(t, "", chromedp.IgnoreCertErrors)
	url := "https://prometheus:open%20sesame@" + address + "/"
	s, err := read(b, url)
	must(t, err)
	if s.First != "Problems" || s.Cells < 550 || len(s.Rows) < 15 || s.Rows[0] != "down worker-2-0017" || !s.Styled {
		t.Errorf("%+v", s)
	}
	b.CheckFits(t, 400, 1000, 1920)
	b.Keep(t, "status-page-large.png", ".legend")
	b.CheckQuiet(t, url)
}

// serveLargeMesh serves until the test ends.
func serveLargeMesh(t *testing.T) (address string) {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	handler, err := page.NewHandler(page.Config{Within: testTimeout, Log: log, Read: func(context.Context) (admin.Status, admin.Peers, error) {
		s, p := pagetest.Mesh(390, 200, 8, 400)
		return s, p, nil
	}})
	must(t, err)
	fine := func() error { return nil }
	l, err := metrics.Listen(t.Context(), "127.0.0.1:0")
	must(t, err)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- metrics.NewServer(metrics.ServerConfig{
			Listen: l.Addr().String(), WebConfigFile: webConfig(t), Registry: client.NewRegistry(), Page: handler,
			Healthy: fine, Ready: fine, Log: log,
		}).Serve(ctx, l)
	}()
	t.Cleanup(func() {
		stop()
		must(t, <-done)
	})
	return l.Addr().String()
}

// webConfig writes a web configuration with TLS and a password, "open sesame".
func webConfig(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	server := httptest.NewTLSServer(http.NotFoundHandler()) // for its certificate
	defer server.Close()
	cert := server.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	must(t, err)
	for name, text := range map[string][]byte{
		"cert.pem": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]}),
		"key.pem":  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}),
		"web.yml": []byte("tls_server_config: {cert_file: cert.pem, key_file: key.pem}\n" +
			"basic_auth_users: {prometheus: $2a$04$z/qutYNFXr8fB7l18E2XNeiFNKxudvpC/3ywwzrVKf.Oh/DhbVUTS}\n"),
	} {
		must(t, os.WriteFile(filepath.Join(dir, name), text, 0o600))
	}
	return filepath.Join(dir, "web.yml")
}

package page

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"routed/admin"
	"routed/page/pagetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func handler(t *testing.T, within time.Duration, read func(context.Context) (admin.Status, admin.Peers, error)) *Handler {
	t.Helper()
	h, err := NewHandler(Config{Read: read, Within: within, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func get(h http.Handler, url string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, url, http.NoBody))
	return w
}

func fine(context.Context) (admin.Status, admin.Peers, error) {
	s, p := pagetest.Mesh(3)
	return s, p, nil
}

func TestServe(t *testing.T) {
	w := get(handler(t, time.Minute, fine), "/")
	body := w.Body.String()
	if w.Code != http.StatusOK || !strings.Contains(body, ">healthy</p>") || strings.Contains(body, "http-equiv") {
		t.Errorf("%d %s", w.Code, body)
	}
	_, style, _ := strings.Cut(body, "<style>")
	style, _, _ = strings.Cut(style, "</style>")
	sum := sha256.Sum256([]byte(style))
	for key, want := range map[string]string{
		"Content-Type":  "text/html; charset=utf-8",
		"Cache-Control": "no-store",
		"Content-Security-Policy": "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
			"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
		"X-Content-Type-Options": "nosniff",
		"Referrer-Policy":        "no-referrer",
	} {
		if got := w.Header().Get(key); got != want {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
	}
}

func TestHead(t *testing.T) {
	server := httptest.NewServer(handler(t, time.Minute, fine))
	defer server.Close()
	resp, err := server.Client().Head(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.ContentLength < 1000 {
		t.Errorf("%d, %d bytes", resp.StatusCode, resp.ContentLength)
	}
}

func TestRefresh(t *testing.T) {
	h := handler(t, time.Minute, fine)
	for query, want := range map[string]string{
		"?refresh=30": `content="30"`, "?refresh=1": `content="2"`, "?refresh=99999": `content="3600"`,
		"?refresh=0": "", "?refresh=-5": "", "?refresh=1;url=http://evil": "", "?refresh=%22%3E": "",
	} {
		body := get(h, "/"+query).Body.String()
		_, rest, found := strings.Cut(body, `<meta http-equiv="refresh" `)
		if found != (want != "") || !strings.HasPrefix(rest, want) {
			t.Errorf("%s: %t %.20s", query, found, rest)
		}
	}
}

// A loop that does not answer is said within the deadline, with what came with the error escaped.
func TestNoAnswer(t *testing.T) {
	h := handler(t, 10*time.Millisecond, func(ctx context.Context) (admin.Status, admin.Peers, error) {
		<-ctx.Done()
		return admin.Status{}, admin.Peers{}, errors.New("<stuck>")
	})
	w := get(h, "/?refresh=10")
	if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "&lt;stuck&gt;") ||
		!strings.Contains(w.Body.String(), `http-equiv="refresh" content="10"`) || w.Header().Get("Content-Security-Policy") == "" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestBoundedReaders(t *testing.T) {
	reading, release := make(chan struct{}), make(chan struct{})
	h := handler(t, time.Minute, func(ctx context.Context) (admin.Status, admin.Peers, error) {
		reading <- struct{}{}
		<-release
		return fine(ctx)
	})
	var wg sync.WaitGroup
	for range maxReaders {
		wg.Go(func() {
			if w := get(h, "/"); w.Code != http.StatusOK {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
	for range maxReaders {
		<-reading
	}
	if w := get(h, "/"); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "1" {
		t.Errorf("one too many: %d %s", w.Code, w.Header())
	}
	close(release)
	wg.Wait()
	go func() { <-reading }()
	if w := get(h, "/"); w.Code != http.StatusOK {
		t.Errorf("afterwards: %d", w.Code)
	}
}

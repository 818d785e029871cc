package services

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal[T any](t *testing.T, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{})); diff != "" {
		t.Error(diff)
	}
}

// says fails the test unless the text has all the words.
func says(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("%q is not in\n%s", w, text)
		}
	}
}

func saysNot(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if strings.Contains(text, w) {
			t.Errorf("%q is in\n%s", w, text)
		}
	}
}

// refused fails the test unless there is an error with these words.
func refused(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", words)
	}
	says(t, err.Error(), words...)
}

// serve starts a service on loopback and returns its ADDRESS:PORT.
func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func endpoints(t *testing.T, service string, pods ...string) *Endpoints {
	t.Helper()
	e, err := NewEndpoints(service, strings.Join(pods, ","), PageTimeout)
	must(t, err)
	return e
}

func reviews(t *testing.T, version string, ratings *Endpoints) string {
	t.Helper()
	h, err := NewReviews(Identity{Pod: "reviews-" + version, Cluster: "cluster-1"}, version, ratings, quiet())
	must(t, err)
	return serve(t, h)
}

// fetch is the body of a page that must be there.
func fetch(t *testing.T, address, path string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+path, http.NoBody)
	must(t, err)
	resp, err := http.DefaultClient.Do(req)
	must(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	must(t, err)
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", resp.Status, body)
	}
	return string(body)
}

// closedPort is an address where nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	must(t, l.Close())
	return l.Addr().String()
}

func TestReviews(t *testing.T) {
	ratings := serve(t, NewRatings(Identity{Pod: "ratings-v1", Cluster: "cluster-2"}))
	loopback := netip.MustParseAddr("127.0.0.1")
	for version, color := range map[string]string{"v1": "", "v2": "black", "v3": "red"} {
		var r Reviews
		body := fetch(t, reviews(t, version, endpoints(t, "ratings", ratings)), "/reviews/0")
		must(t, json.Unmarshal([]byte(body), &r))
		equal(t, r.Version, version)
		equal(t, r.From, Origin{Pod: "reviews-" + version, Cluster: "cluster-1", Address: loopback, Caller: loopback})
		if len(r.Reviews) != 2 {
			t.Fatalf("%d reviews", len(r.Reviews))
		}
		if color == "" {
			equal(t, r.Ratings, nil)
			equal(t, r.Reviews[0].Rating, nil)
			continue
		}
		equal(t, r.Ratings, &Origin{Pod: "ratings-v1", Cluster: "cluster-2", Address: loopback, Caller: loopback})
		equal(t, r.Reviews[0].Rating, &Rating{Stars: 5, Color: color})
		equal(t, r.Reviews[1].Rating, &Rating{Stars: 4, Color: color})
	}
}

func TestReviewsWithoutRatings(t *testing.T) {
	body := fetch(t, reviews(t, "v3", endpoints(t, "ratings", closedPort(t))), "/reviews/0")
	var r Reviews
	must(t, json.Unmarshal([]byte(body), &r))
	if len(r.Reviews) != 2 {
		t.Fatalf("%d reviews", len(r.Reviews))
	}
	equal(t, r.Reviews[0].Rating, &Rating{Error: NoRatings})
	if r.Reviews[0].Text == "" {
		t.Error("the review itself is lost")
	}
}

func TestReviewsRefused(t *testing.T) {
	_, err := NewReviews(Identity{}, "v4", nil, quiet())
	refused(t, err, `"v4"`)
	_, err = NewReviews(Identity{}, "v3", nil, quiet())
	refused(t, err, "endpoints of ratings")
}

func TestEndpointsInTurn(t *testing.T) {
	e := endpoints(t, "reviews", "10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1")
	seen := map[netip.AddrPort]int{}
	for range 300 {
		seen[e.next()]++
	}
	equal(t, seen, map[netip.AddrPort]int{
		netip.MustParseAddrPort("10.0.0.1:1"): 100,
		netip.MustParseAddrPort("10.0.0.2:1"): 100,
		netip.MustParseAddrPort("10.0.0.3:1"): 100,
	})
}

func TestEndpointsRefused(t *testing.T) {
	for _, list := range []string{"", "10.0.0.1", "pod:9080", "10.0.0.1:9080,"} {
		_, err := NewEndpoints("reviews", list, PageTimeout)
		refused(t, err, "endpoints of reviews")
	}
}

func TestEndpointsBadAnswers(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"status": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusTeapot) },
		"character": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "<html>")
		},
		"longer": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, strings.Repeat(" ", maxAnswer+1))
		},
	} {
		pod := serve(t, h)
		err := endpoints(t, "details", pod).get(t.Context(), "/details/0", new(Details))
		refused(t, err, "details at "+pod)
		refused(t, err, name)
	}
}

func productPageOf(t *testing.T, details, reviews string) string {
	t.Helper()
	h, err := NewProductPage(endpoints(t, "details", details), endpoints(t, "reviews", reviews), quiet())
	must(t, err)
	return serve(t, h)
}

func TestProductPage(t *testing.T) {
	details := serve(t, NewDetails(Identity{Pod: "details-v1", Cluster: "cluster-1"}))
	ratings := endpoints(t, "ratings", serve(t, NewRatings(Identity{})))
	red := fetch(t, productPageOf(t, details, reviews(t, "v3", ratings)), "/productpage")
	says(t, red, `class="stars red" role="img" aria-label="5 red stars">★★★★★<`)
	says(t, red, `aria-label="4 red stars">★★★★<`)
	says(t, red, "paperback")
	plain := fetch(t, productPageOf(t, details, reviews(t, "v1", nil)), "/productpage")
	saysNot(t, plain, "★")
	says(t, plain, "Reviews v1 served by reviews-v1 at 127.0.0.1 in cluster-1")
}

func TestProductPageApologises(t *testing.T) {
	details := serve(t, NewDetails(Identity{}))
	noReviews := fetch(t, productPageOf(t, details, closedPort(t)), "/productpage")
	says(t, noReviews, NoReviews)
	says(t, noReviews, "paperback")
	noDetails := fetch(t, productPageOf(t, closedPort(t), reviews(t, "v1", nil)), "/productpage")
	says(t, noDetails, NoDetails)
	says(t, noDetails, reviewer1)
}

// What a reviews service sends is shown, and is no part of the page.
func TestProductPageEscapes(t *testing.T) {
	hostile := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, Reviews{
			Version: "<script>", Reviews: []Review{{Text: "<img src=x>", Rating: &Rating{Stars: 1, Color: `red" onclick="x`}}},
		})
	}))
	page := fetch(t, productPageOf(t, serve(t, NewDetails(Identity{})), hostile), "/productpage")
	saysNot(t, page, "<script>")
	saysNot(t, page, "<img")
	saysNot(t, page, `onclick="x`)
}

func TestGateway(t *testing.T) {
	details := serve(t, NewDetails(Identity{}))
	page := productPageOf(t, details, reviews(t, "v1", nil))
	gateway := serve(t, NewGateway(endpoints(t, "productpage", page), quiet()))
	says(t, fetch(t, gateway, "/"), "The Comedy of Errors") // the redirect leads through the gateway too
	rec := httptest.NewRecorder()
	NewGateway(endpoints(t, "productpage", closedPort(t)), quiet()).
		ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/productpage", http.NoBody))
	equal(t, rec.Code, http.StatusBadGateway)
}

func TestServeEndsWithItsContext(t *testing.T) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "unix", filepath.Join(t.TempDir(), "s"))
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	must(t, Serve(ctx, l, http.NotFoundHandler()))
}

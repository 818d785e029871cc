package main

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"routed/examples/bookinfo/services"
	"routed/lab"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestMain(m *testing.M) {
	os.Exit(lab.Main(m, lab.BIRD2, lab.Ping, lab.Chromium))
}

func TestOptionsRefused(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for words, args := range map[string][]string{
		`"cluster-3"`:    {"--ratings", "cluster-3"},
		"--requests 29":  {"--requests", "29"},
		`unexpected`:     {"now"},
		"no nowhere":     {"--bookinfo", "/nowhere"},
		`--bird "quick"`: {"--bird", "quick"},
	} {
		_, err := parseOptions(append([]string{"--routed", self, "--bookinfo", self}, args...))
		if err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%q: %v, want %q", args, err, words)
		}
	}
}

// page is what the product page looks like with these reviews.
func page(t *testing.T, reviews http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(reviews)
	t.Cleanup(s.Close)
	e, err := services.NewEndpoints("reviews", s.Listener.Addr().String(), services.PageTimeout)
	if err != nil {
		t.Fatal(err)
	}
	h, err := services.NewProductPage(e, e, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/productpage", http.NoBody))
	return rec.Body.String()
}

// What the reader reads on a page is what the services wrote on it.
func TestLook(t *testing.T) {
	pods := bookinfo(cluster1, "")
	v3, ratings := find(pods, "reviews-v3"), find(pods, "ratings-v1")
	html := page(t, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"version": "v3", "reviews": [{"rating": {"stars": 5, "color": "red"}}],
			"from": {"podname": "reviews-v3", "clustername": "cluster-2", "address": %q, "caller": "10.1.198.141"},
			"ratingsFrom": {"podname": "ratings-v1", "clustername": "cluster-1", "address": %q, "caller": %q}}`,
			v3.addr, ratings.addr, v3.addr)
	})
	got, err := look(html)
	if err != nil {
		t.Fatal(err)
	}
	want := sight{
		version: "v3", stars: "red", asker: v3.addr,
		reviews: end{v3.name, v3.cluster, v3.addr}, ratings: end{ratings.name, ratings.cluster, ratings.addr},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(sight{}, end{}), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Error(diff)
	}
	if err := got.check(pods); err != nil {
		t.Error(err)
	}
	if _, err := look("<html>It works!</html>"); err == nil {
		t.Error("another page is taken for the product page")
	}
}

func TestCheckRefuses(t *testing.T) {
	pods := bookinfo(cluster1, "")
	v3, ratings := find(pods, "reviews-v3"), find(pods, "ratings-v1")
	good := sight{
		version: "v3", stars: "red", asker: v3.addr,
		reviews: end{v3.name, v3.cluster, v3.addr}, ratings: end{ratings.name, ratings.cluster, ratings.addr},
	}
	masquerade := netip.MustParseAddr("9.111.255.77")
	for words, spoil := range map[string]func(*sight){
		"answered by reviews-v3 of cluster-1": func(s *sight) { s.reviews.cluster = cluster1 },
		"the address of reviews-v3":           func(s *sight) { s.reviews.addr = masquerade },
		`with "black" stars`:                  func(s *sight) { s.stars = "black" },
		"answered by ratings-v1 of cluster-2": func(s *sight) { s.ratings.cluster = cluster2 },
		"who asked for the stars":             func(s *sight) { s.asker = masquerade },
	} {
		bad := good
		spoil(&bad)
		if err := bad.check(pods); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%v, want %q", err, words)
		}
	}
}

func TestSpread(t *testing.T) {
	of := func(v1, v2, v3, unavailable, starless int) spread {
		return spread{
			pages: v1 + v2 + v3 + unavailable, unavailable: unavailable, starless: starless,
			versions: map[string]int{"v1": v1, "v2": v2, "v3": v3},
		}
	}
	for _, c := range []struct {
		spread
		even, cut bool
	}{
		{of(100, 100, 100, 0, 0), true, false},
		{of(75, 100, 125, 0, 0), true, false},
		{of(74, 101, 125, 0, 0), false, false},
		{of(90, 83, 127, 0, 0), false, false},
		{of(100, 100, 99, 1, 0), false, false},
		{of(100, 100, 100, 0, 1), false, false},
		{of(4, 4, 0, 4, 0), false, true},
		{of(4, 4, 0, 4, 4), false, true},
		{of(4, 3, 1, 4, 0), false, false},
		{of(6, 2, 0, 4, 0), false, false},
	} {
		if got := c.spread.even() == nil; got != c.even {
			t.Errorf("%s: even: %v", c.line(), c.spread.even())
		}
		if got := c.spread.cut() == nil; got != c.cut {
			t.Errorf("%s: cut: %v", c.line(), c.spread.cut())
		}
	}
}

func TestTopology(t *testing.T) {
	for _, ratings := range []string{cluster1, cluster2} {
		pods := bookinfo(ratings, "/gateway")
		top := topology(pods)
		if err := top.Validate(); err != nil {
			t.Error(err)
		}
		for _, p := range pods {
			placed := false
			for _, c := range top.Clusters {
				for _, n := range c.Nodes {
					for _, a := range n.Pods {
						placed = placed || c.Name == p.cluster && n.Name == p.node && a == p.addr
					}
				}
			}
			if !placed {
				t.Errorf("%s is not on %s of %s", p.name, p.node, p.cluster)
			}
		}
	}
}

// The relay answers before the gateway is there, and passes on afterwards.
func TestRelay(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	get := func() (int, string) {
		rec := httptest.NewRecorder()
		newRelay(socket).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/productpage", http.NoBody))
		return rec.Code, rec.Body.String()
	}
	if code, body := get(); code != http.StatusServiceUnavailable || !strings.Contains(body, "not up yet") {
		t.Errorf("%d %s", code, body)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.URL.Path)
	}))
	l, err := new(net.ListenConfig).Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s.Listener.Close()
	s.Listener = l
	s.Start()
	defer s.Close()
	if code, body := get(); code != http.StatusOK || body != "/productpage" {
		t.Errorf("%d %s", code, body)
	}
}

func TestRelayOnLoopbackOnly(t *testing.T) {
	for _, address := range []string{"0.0.0.0:9080", "192.0.2.1:9080", ":9080", "127.0.0.1"} {
		if _, err := relay(t.Context(), address, ""); err == nil {
			t.Errorf("listens on %s", address)
		}
	}
}

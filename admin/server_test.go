package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"routed/kernel"
	"routed/peering"
)

// fakeSource answers with what it holds.
type fakeSource struct {
	status Status
	peers  Peers
	routes iter.Seq[Route]
	why    Why
	err    error
}

func (f fakeSource) Status(context.Context) (Status, error) { return f.status, f.err }
func (f fakeSource) Peers(context.Context) (Peers, error)   { return f.peers, f.err }

func (f fakeSource) Why(_ context.Context, a netip.Addr) (Why, error) {
	f.why.Address = a
	return f.why, f.err
}

func (f fakeSource) Routes(_ context.Context, cluster string) (iter.Seq[Route], error) {
	if cluster != "" && cluster != "cluster-2" {
		return nil, fmt.Errorf("%w %q; there is cluster-2", ErrUnknownCluster, cluster)
	}
	return func(yield func(Route) bool) {
		for r := range f.routes {
			if (cluster == "" || r.Cluster == cluster) && !yield(r) {
				return
			}
		}
	}, f.err
}

func sampleSource() fakeSource {
	return fakeSource{status: degradedStatus(), peers: samplePeers(), routes: slices.Values(sampleRoutes()), why: sampleWhy()}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// serve runs a server on a socket in a directory of its own until the test ends.
func serve(t *testing.T, source Source) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "run", "routed.sock")
	l, err := Listen(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- NewServer(socket, source, quiet()).Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
		if _, err := os.Lstat(socket); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the socket is still there after the server has ended: %v", err)
		}
	})
	return socket
}

func TestAnswersAreTheDocumentedSchema(t *testing.T) {
	s := NewServer("", sampleSource(), quiet())
	healthy := sampleSource()
	healthy.status, healthy.why = healthyStatus(), goodWhy()
	for _, tc := range []struct {
		file, path string
		server     *Server
	}{
		{"status_degraded.json", "/v1/status", s},
		{"status_healthy.json", "/v1/status", NewServer("", healthy, quiet())},
		{"peers.json", "/v1/peers", s},
		{"why_broken.json", "/v1/why?address=20.1.47.150", s},
		{"why_good.json", "/v1/why?address=::ffff:20.1.47.150", NewServer("", healthy, quiet())},
	} {
		t.Run(tc.file, func(t *testing.T) {
			rec := httptest.NewRecorder()
			tc.server.handler().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, tc.path, nil))
			if rec.Code != http.StatusOK || rec.Header().Get("Content-Type") != "application/json" {
				t.Fatalf("answer %d, %s", rec.Code, rec.Header())
			}
			golden(t, tc.file, indented(t, rec.Body.Bytes()))
		})
	}
}

func TestRoutesAnswer(t *testing.T) {
	rec := httptest.NewRecorder()
	if err := writeRoutes(rec, noon(), slices.Values(sampleRoutes())); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(rec.Body.String(), "\n"); lines != len(sampleRoutes())+2 {
		t.Errorf("%d lines for %d routes; a route should have a line", lines, len(sampleRoutes()))
	}
	golden(t, "routes.json", indented(t, rec.Body.Bytes()))
}

func TestEmptyRoutesAnswerIsAList(t *testing.T) {
	rec := httptest.NewRecorder()
	if err := writeRoutes(rec, noon(), slices.Values([]Route{})); err != nil {
		t.Fatal(err)
	}
	var r Routes
	if err := json.Unmarshal(rec.Body.Bytes(), &r); err != nil || r.Routes == nil || r.Version != SchemaVersion {
		t.Errorf("got %+v, %v from %s", r, err, rec.Body)
	}
}

// A list that is null breaks `jq '.x[]'`.
func TestNoListIsNull(t *testing.T) {
	bare := fakeSource{
		status: Status{
			BIRD:     []Peer{PeerFrom(peering.PeerStatus{}, "idle", 0, "")},
			Clusters: []Cluster{ClusterFrom(peering.ClusterStatus{}, nil)},
		},
		routes: slices.Values([]Route{RouteFrom(peering.RouteStatus{}, kernel.RouteStatus{})}),
	}
	for _, source := range []fakeSource{bare, {routes: bare.routes}} {
		for _, path := range []string{"/v1/status", "/v1/peers", "/v1/routes", "/v1/why?address=::1"} {
			rec := httptest.NewRecorder()
			NewServer("", source, quiet()).handler().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
			if rec.Code != http.StatusOK || strings.Contains(rec.Body.String(), "null") {
				t.Errorf("%s answers %d %s", path, rec.Code, rec.Body)
			}
		}
	}
}

func TestServerSetsWhatIsItsOwn(t *testing.T) {
	source := sampleSource()
	source.status.Version, source.status.Healthy = 99, true
	source.status.Problems = []Problem{{Code: "made-up"}}
	got, err := NewClient(serve(t, source)).Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got.Version != SchemaVersion || got.Healthy || got.Problems[0].Code != CodeBIRDDown {
		t.Errorf("got version %d, healthy %v, problems %v", got.Version, got.Healthy, got.Problems)
	}
}

func TestErrorsAreJSON(t *testing.T) {
	broken := sampleSource()
	broken.err = errors.New("the mesh does not answer")
	for _, tc := range []struct {
		name, method, url string
		source            fakeSource
		status            int
		code, says        string
	}{
		{"other page", "GET", "/v1/nothing", sampleSource(), 404, "not_found", "/v1/nothing"},
		{"root", "GET", "/", sampleSource(), 404, "not_found", "/v1/status"},
		{"post", "POST", "/v1/status", sampleSource(), 405, "method_not_allowed", "POST"},
		{"delete", "DELETE", "/v1/routes", sampleSource(), 405, "method_not_allowed", "DELETE"},
		{"unknown cluster", "GET", "/v1/routes?cluster=mars", sampleSource(), 404, "unknown_cluster", `"mars"`},
		{"broken status", "GET", "/v1/status", broken, 500, "internal", "does not answer"},
		{"broken peers", "GET", "/v1/peers", broken, 500, "internal", "does not answer"},
		{"no address", "GET", "/v1/why", sampleSource(), 400, "bad_address", `"" is no IP address`},
		{"a prefix", "GET", "/v1/why?address=20.1.47.128/26", sampleSource(), 400, "bad_address", "no IP address"},
		{"a zone", "GET", "/v1/why?address=fe80::1%25eth0", sampleSource(), 400, "bad_address", "zone"},
		{"broken why", "GET", "/v1/why?address=20.1.47.150", broken, 500, "internal", "does not answer"},
		{"broken routes", "GET", "/v1/routes", broken, 500, "internal", "does not answer"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rec := httptest.NewRecorder()
			NewServer("", tc.source, quiet()).handler().ServeHTTP(rec, httptest.NewRequest(tc.method, tc.url, nil))
			var got ErrorReply
			if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil {
				t.Fatalf("%v: %s", err, rec.Body)
			}
			if rec.Code != tc.status || got.Error.Code != tc.code || !strings.Contains(got.Error.Message, tc.says) ||
				got.Version != SchemaVersion {
				t.Errorf("answer %d %+v, want %d %s with %q", rec.Code, got, tc.status, tc.code, tc.says)
			}
		})
	}
}

// many yields n routes to single addresses from 20.0.0.0 on.
func many(n int) iter.Seq[Route] {
	return func(yield func(Route) bool) {
		a := addr("20.0.0.0")
		for range n {
			if !yield(Route{
				Prefix: netip.PrefixFrom(a, 32), Cluster: "cluster-2", NextHop: addr("9.111.255.77"), Device: "eth0",
				State: RouteInstalled, Since: noon(), OwnerSince: noon(), Rivals: []netip.Addr{},
			}) {
				return
			}
			a = a.Next()
		}
	}
}

func TestClientReadsManyRoutes(t *testing.T) {
	const n = 5000
	got, err := NewClient(serve(t, fakeSource{routes: many(n)})).Routes(t.Context(), "cluster-2")
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Routes) != n || got.Routes[n-1].Prefix != prefix("20.0.19.135/32") {
		t.Errorf("%d routes, the last %v", len(got.Routes), got.Routes[len(got.Routes)-1])
	}
}

// A table of 100,000 leaves in pieces: nobody holds the answer whole.
func TestManyRoutesStream(t *testing.T) {
	const n = 100_000
	sink := &countingWriter{header: http.Header{}}
	if err := writeRoutes(sink, noon(), many(n)); err != nil {
		t.Fatal(err)
	}
	if sink.lines != n+2 || sink.largest > 64<<10 || sink.bytes < n*100 {
		t.Errorf("%d lines, %d bytes, the largest piece %d bytes", sink.lines, sink.bytes, sink.largest)
	}
}

// countingWriter is a client that keeps nothing.
type countingWriter struct {
	header                http.Header
	lines, bytes, largest int
}

func (c *countingWriter) Header() http.Header { return c.header }
func (c *countingWriter) WriteHeader(int)     {}

func (c *countingWriter) Write(p []byte) (int, error) {
	c.lines += bytes.Count(p, []byte("\n"))
	c.bytes += len(p)
	c.largest = max(c.largest, len(p))
	return len(p), nil
}

// A client that asks for everything and reads nothing must not keep the server from answering others, nor from ending.
func TestStuckClient(t *testing.T) {
	endless := func(yield func(Route) bool) {
		for yield(sampleRoutes()[0]) {
		}
	}
	socket := serve(t, fakeSource{status: healthyStatus(), routes: endless})
	stuck, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer stuck.Close()
	if _, err := io.WriteString(stuck, "GET /v1/routes HTTP/1.1\r\nHost: routed\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(stuck, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	if s, err := NewClient(socket).Status(t.Context()); err != nil || !s.Healthy {
		t.Errorf("another client got %+v, %v", s.Problems, err)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "routed.sock")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- NewServer(socket, sampleSource(), quiet()).Run(ctx) }()
	deadline := time.After(10 * time.Second)
	for tick := time.Tick(time.Millisecond); ; {
		if _, err := NewClient(socket).Status(t.Context()); err == nil {
			break
		}
		select {
		case <-tick:
		case <-deadline:
			t.Fatal("the server does not answer")
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestRunReportsASocketThatIsTaken(t *testing.T) {
	socket := serve(t, sampleSource())
	if err := NewServer(socket, sampleSource(), quiet()).Run(t.Context()); !errors.Is(err, ErrInUse) {
		t.Errorf("Run on a socket that another serves: %v", err)
	}
}

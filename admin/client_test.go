package admin

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestClientReadsWhatTheServerWrites(t *testing.T) {
	c := NewClient(serve(t, sampleSource()))
	compare := addresses()

	status, err := c.Status(t.Context())
	want := degradedStatus()
	want.Version, want.Problems = SchemaVersion, Problems(want)
	if diff := cmp.Diff(want, status, compare); err != nil || diff != "" {
		t.Errorf("Status: %v\n%s", err, diff)
	}
	peers, err := c.Peers(t.Context())
	wantPeers := samplePeers()
	wantPeers.Version = SchemaVersion
	if diff := cmp.Diff(wantPeers, peers, compare); err != nil || diff != "" {
		t.Errorf("Peers: %v\n%s", err, diff)
	}
	routes, err := c.Routes(t.Context(), "")
	if diff := cmp.Diff(sampleRoutes(), routes.Routes, compare); err != nil || diff != "" {
		t.Errorf("Routes: %v\n%s", err, diff)
	}
	routes, err = c.Routes(t.Context(), "cluster-2")
	if diff := cmp.Diff(sampleRoutes()[:2], routes.Routes, compare); err != nil || diff != "" {
		t.Errorf("Routes of one cluster: %v\n%s", err, diff)
	}
	why, err := c.Why(t.Context(), addr("20.1.47.150"))
	wantWhy := sampleWhy()
	wantWhy.Version = SchemaVersion
	if diff := cmp.Diff(wantWhy, why, compare); err != nil || diff != "" {
		t.Errorf("Why: %v\n%s", err, diff)
	}
	if _, err = c.Routes(t.Context(), "mars & venus"); !errors.Is(err, ErrUnknownCluster) ||
		!strings.Contains(err.Error(), `"mars & venus"`) {
		t.Errorf("Routes of an unknown cluster: %v", err)
	}
}

func TestClientSaysWhyNobodyAnswers(t *testing.T) {
	dir := t.TempDir()
	dead := filepath.Join(dir, "dead.sock")
	deadSocket(t, dead)
	mute := filepath.Join(dir, "mute.sock")
	l, err := net.Listen("unix", mute)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, tc := range []struct {
		name, socket, says string
		patience           time.Duration
	}{
		{"no socket", filepath.Join(dir, "none.sock"), "is the daemon running", time.Minute},
		{"dead socket", dead, "the daemon has died", time.Minute},
		{"does not answer", mute, "does not answer in time", 50 * time.Millisecond},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), tc.patience)
			defer cancel()
			_, err := NewClient(tc.socket).Status(ctx)
			if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), tc.says) ||
				!strings.Contains(err.Error(), tc.socket) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// Root may open everything, so the hint is tested with the error that another user gets.
func TestClientSaysWhoseSocketItIs(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "routed.sock")
	l, err := Listen(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if os.Geteuid() == 0 {
		if err := os.Chown(socket, 0, 54321); err != nil {
			t.Fatal(err)
		}
		if got := hint(socket, &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EACCES)}); !strings.Contains(got, "group 54321") {
			t.Errorf("hint %q does not name the group", got)
		}
	}
	if got := hint(socket, fs.ErrPermission); !strings.Contains(got, "belongs to group") {
		t.Errorf("hint %q does not speak of the group", got)
	}
	if got := hint(socket+"/x", fs.ErrPermission); !strings.Contains(got, "closed to you") {
		t.Errorf("hint %q does not speak of the directory", got)
	}
}

func TestClientMeetsSomethingElse(t *testing.T) {
	for _, tc := range []struct {
		name   string
		handle http.HandlerFunc
		is     error
		says   string
	}{
		{"a later version", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(schemaHeader, "2")
			w.WriteHeader(http.StatusNotFound)
		}, ErrSchema, "version 2 of the schema, this command reads version 1"},
		{"another program", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte("hello"))
		}, ErrSchema, "no routed"},
		{"cut off", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(schemaHeader, "1")
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte(`{"version":1,`))
		}, ErrUnreachable, "the connection broke"},
		{"no JSON error", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(schemaHeader, "1")
			w.WriteHeader(http.StatusInternalServerError)
		}, nil, "500 Internal Server Error"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			socket := filepath.Join(t.TempDir(), "other.sock")
			l, err := net.Listen("unix", socket)
			if err != nil {
				t.Fatal(err)
			}
			srv := &http.Server{Handler: tc.handle}
			done := make(chan error, 1)
			go func() { done <- srv.Serve(l) }()
			t.Cleanup(func() {
				_ = srv.Close()
				if err := <-done; !errors.Is(err, http.ErrServerClosed) {
					t.Errorf("Serve: %v", err)
				}
			})
			_, err = NewClient(socket).Status(t.Context())
			if err == nil || (tc.is != nil && !errors.Is(err, tc.is)) || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("got %v", err)
			}
		})
	}
}

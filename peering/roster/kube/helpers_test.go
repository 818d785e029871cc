package kube

import (
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"routed/peering/roster"
	"routed/peering/roster/kube/kubetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// target is an API as a kubeconfig in a file leads to it.
func target(t *testing.T, a *kubetest.API, selector string) *Target {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kubeconfig")
	write(t, path, a.Kubeconfig("sesame"))
	target, err := Load(Settings{Kubeconfig: path, LabelSelector: selector})
	if err != nil {
		t.Fatal(err)
	}
	return target
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// listener runs a source and keeps the lists it gives.
type listener struct {
	source *Source
	mu     sync.Mutex
	lists  []string
	log    *strings.Builder
	came   chan struct{}
}

// listen runs a source until the test ends, in a hurry.
func listen(t *testing.T, target *Target, tune ...func(*Source)) *listener {
	t.Helper()
	l := &listener{came: make(chan struct{}, 1), log: &strings.Builder{}}
	l.source = NewSource(target, slog.New(slog.NewTextHandler(&locked{l}, nil)))
	l.source.pace.Duration, l.source.pace.Cap = time.Millisecond, 20*time.Millisecond
	for _, f := range tune {
		f(l.source)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.source.Run(ctx, l.take)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return l
}

func (l *listener) take(nodes []roster.Node) {
	l.mu.Lock()
	l.lists = append(l.lists, text(nodes))
	l.mu.Unlock()
	select {
	case l.came <- struct{}{}:
	default:
	}
}

// locked writes to the log under the listener's lock.
type locked struct{ l *listener }

func (w *locked) Write(p []byte) (int, error) {
	w.l.mu.Lock()
	defer w.l.mu.Unlock()
	return w.l.log.Write(p)
}

func (l *listener) logged() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.log.String()
}

func (l *listener) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.lists...)
}

// want waits until the latest list is the given one.
func (l *listener) want(t *testing.T, list string) {
	t.Helper()
	eventually(t, func() error {
		all := l.all()
		if len(all) == 0 || all[len(all)-1] != list {
			return fmt.Errorf("lists %q, want the last to be %q; %+v", all, list, l.source.Status(time.Now()))
		}
		return nil
	})
}

// wantStatus waits until the status says it fails with this in the error; "": it does not fail.
func (l *listener) wantStatus(t *testing.T, trouble string) Status {
	t.Helper()
	var s Status
	eventually(t, func() error {
		s = l.source.Status(time.Now())
		if (trouble == "") != (s.Err == "") || !strings.Contains(s.Err, trouble) {
			return fmt.Errorf("status %+v, want the error %q", s, trouble)
		}
		return nil
	})
	return s
}

// eventually looks until check is satisfied or patience ends.
func eventually(t *testing.T, check func() error) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-deadline:
			t.Fatal(err)
		case <-tick.C:
		}
	}
}

func text(nodes []roster.Node) string {
	var out []string
	for _, n := range nodes {
		out = append(out, n.Addr.String()+"="+n.Name)
	}
	return strings.Join(out, " ")
}

func addrs(t *testing.T, list ...string) []netip.Addr {
	t.Helper()
	var out []netip.Addr
	for _, a := range list {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

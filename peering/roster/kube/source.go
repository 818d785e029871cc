package kube

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"routed/peering/roster"
)

// Source is the stream of one cluster's lists.
type Source struct {
	client *client
	server string
	log    *slog.Logger
	pace   wait.Backoff

	mu     sync.Mutex
	health health
}

// health is how the last calls went.
type health struct {
	current  bool      // the last call succeeded: a watch stands, or is about to
	last     time.Time // when something last succeeded
	since    time.Time // the first failure after that; zero: none
	err      error     // the latest failure; nil: none since
	failures uint64
}

// Status says how a Source stands. It is immutable.
type Status struct {
	LastSuccess time.Time // when the list was last known to be what the API has: now, while a watch stands; zero: never
	Since       time.Time // since when there are only failures; zero: there are none
	Err         string    // the latest of these
	Failures    uint64    // since the Source was made
}

// NewSource makes a source; nothing happens before Run.
func NewSource(t *Target, log *slog.Logger) *Source {
	return &Source{client: t.client, server: t.Server(), log: log, pace: pace()}
}

// pace is the time between attempts: from under a second to half a minute, and up to twice that, so that the nodes of a
// cluster do not all come at once to an API that is back.
func pace() wait.Backoff {
	return wait.Backoff{Duration: 800 * time.Millisecond, Factor: 2, Jitter: 1, Cap: 30 * time.Second, Steps: 38}
}

// Run gives take every list there is, the whole of it each time, until ctx ends. It is called from one goroutine at a
// time and must not block. An empty list is given as well; an outage is not: the list before it still holds. A list
// that is older than one given before is not given, except by an API that lost its past.
func (s *Source) Run(ctx context.Context, take func([]roster.Node)) {
	// Every failure is told by the call that failed, once an outage; the reflector would tell of each attempt.
	ctx = klog.NewContext(ctx, logr.FromSlogHandler(slog.DiscardHandler))
	r := cache.NewReflectorWithOptions(&observed{s}, &corev1.Node{}, newMembers(take, s.listed),
		cache.ReflectorOptions{Name: "roster", TypeDescription: "nodes", Backoff: &s.pace})
	r.RunWithContext(ctx)
}

// Status may be called from any goroutine.
func (s *Source) Status(now time.Time) Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := Status{LastSuccess: s.health.last, Since: s.health.since, Failures: s.health.failures}
	if s.health.current {
		out.LastSuccess = now
	}
	if s.health.err != nil {
		out.Err = s.health.err.Error()
	}
	return out
}

// listed takes how it went to take in what the API answered.
func (s *Source) listed(err error) {
	if err != nil {
		s.note(err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.health.last = time.Now()
}

// note takes how a call went; nil: a watch has begun. A list alone ends no outage: an account that may list and not
// watch would begin and end one with every attempt.
func (s *Source) note(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := &s.health
	h.current = err == nil
	switch now := time.Now(); {
	case err == nil && h.err != nil:
		s.log.Info("the nodes are listed again", "event", "roster-recovered", "server", s.server,
			"failed_for", now.Sub(h.since).Round(time.Second))
		fallthrough
	case err == nil:
		h.last, h.since = now, time.Time{}
	case h.err == nil: // the first of an outage: the log does not need each attempt
		h.since = now
		s.log.Warn("the nodes cannot be listed, the last list stays", "event", "roster-failed", "server", s.server, "error", err)
	}
	h.err = err
	if err != nil {
		h.failures++
	}
}

// observed is the API as the reflector sees it, with a note of how each call went.
type observed struct{ s *Source }

// ListWithContext lists every node (cache.ListerWatcherWithContext).
func (o *observed) ListWithContext(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
	out, err := o.s.client.list(ctx, options)
	if err != nil {
		return nil, o.failed(ctx, fmt.Errorf("list nodes at %s: %w", o.s.server, err))
	}
	return out, nil
}

// WatchWithContext watches every node from a version on (cache.ListerWatcherWithContext).
func (o *observed) WatchWithContext(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	w, err := o.s.client.watch(ctx, options)
	if err != nil {
		return nil, o.failed(ctx, fmt.Errorf("watch nodes at %s: %w", o.s.server, err))
	}
	o.s.note(nil)
	return w, nil
}

// failed notes a failure, unless it is only that we are to end.
func (o *observed) failed(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		o.s.note(err)
	}
	return err
}

// List and Watch are what the reflector's older interface asks for; it calls those with a context.
func (o *observed) List(options metav1.ListOptions) (runtime.Object, error) {
	return o.ListWithContext(context.Background(), options)
}

// Watch is the older form of WatchWithContext.
func (o *observed) Watch(options metav1.ListOptions) (watch.Interface, error) {
	return o.WatchWithContext(context.Background(), options)
}

// IsWatchListSemanticsUnSupported keeps the reflector from asking for the list as a stream of watch events: an API of
// before Kubernetes 1.27, and IBM Cloud Private's is, passes over the question and never says where the list ends.
func (o *observed) IsWatchListSemanticsUnSupported() bool { return true }

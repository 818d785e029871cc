package main

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"routed/admin"
	"routed/peering/roster"
	"routed/peering/roster/kube"
)

// rosters follows the APIs that list the nodes of remote clusters. It keeps the last list of each that was good, which
// is in force until the next, and takes down how each stands. The reload goroutine drives it; anybody may ask it.
type rosters struct {
	log  *slog.Logger
	news chan struct{} // capacity 1: some API gave a list
	wg   sync.WaitGroup

	mu sync.Mutex
	m  map[string]*follower // by the remote's name
}

// follower is one remote's API and what became of its lists.
type follower struct {
	target  *kube.Target
	source  *kube.Source
	stop    context.CancelFunc
	inForce []roster.Node
	given   []roster.Node // the latest list of the API
	unread  bool          // given waits to be judged
	refused error         // why given is not in force; nil: it is, or there is none
	since   time.Time     // of refused
}

func newRosters(log *slog.Logger) *rosters {
	return &rosters{log: log, news: make(chan struct{}, 1), m: map[string]*follower{}}
}

// follow makes apis the full set of what is followed, until ctx ends. inForce has the list that each begins with. An API
// whose credentials and selector did not change is left alone.
func (r *rosters) follow(ctx context.Context, apis map[string]*kube.Target, inForce lists) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, f := range r.m {
		if apis[name] == nil {
			f.stop()
			delete(r.m, name)
		}
	}
	for name, target := range apis {
		f := r.m[name]
		if f == nil {
			f = &follower{stop: func() {}}
			r.m[name] = f
		}
		f.inForce = inForce[name]
		if f.target != nil && f.target.Equal(target) {
			continue
		}
		r.start(ctx, name, f, target)
	}
}

// start follows another API from now on.
func (r *rosters) start(ctx context.Context, name string, f *follower, target *kube.Target) {
	source := kube.NewSource(target, r.log.With("cluster", name))
	if target.Unverified() {
		r.log.Warn("the API's certificate is not verified, as the kubeconfig says: whoever is in between can name the nodes",
			"event", "roster-unverified", "cluster", name, "server", target.Server())
	}
	f.stop()
	f.target, f.source = target, source
	f.given, f.unread, f.refused = nil, false, nil
	ctx, f.stop = context.WithCancel(ctx)
	r.wg.Go(func() {
		source.Run(ctx, func(nodes []roster.Node) { r.give(name, source, nodes) })
	})
}

// wait returns when everything that was followed has ended; the context given to follow ends it.
func (r *rosters) wait() { r.wg.Wait() }

// give takes a list from an API, unless another one is followed by now.
func (r *rosters) give(name string, from *kube.Source, nodes []roster.Node) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := r.m[name]
	if f == nil || f.source != from {
		return
	}
	f.given, f.unread = nodes, true
	r.poke()
}

func (r *rosters) poke() {
	select {
	case r.news <- struct{}{}:
	default:
	}
}

// given returns the lists that wait to be judged; each is to be accepted or refused.
func (r *rosters) given() lists {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := lists{}
	for name, f := range r.m {
		if f.unread {
			f.unread = false
			out[name] = f.given
		}
	}
	return out
}

// again has the lists that were refused judged once more: what they ran into may be gone.
func (r *rosters) again() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.m {
		if f.refused != nil {
			f.unread = true
			r.poke()
		}
	}
}

// accept puts a list in force.
func (r *rosters) accept(name string, nodes []roster.Node) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f := r.m[name]; f != nil {
		f.inForce, f.refused = nodes, nil
	}
}

// refuse leaves the last list in force and takes down why. It reports whether that is news.
func (r *rosters) refuse(name string, why error, at time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := r.m[name]
	if f == nil || (f.refused != nil && f.refused.Error() == why.Error()) {
		return false
	}
	if f.refused == nil {
		f.since = at
	}
	f.refused = why
	return true
}

// inForce is the lists in force. Nobody changes them.
func (r *rosters) inForce() lists {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := lists{}
	for name, f := range r.m {
		if len(f.inForce) > 0 {
			out[name] = f.inForce
		}
	}
	return out
}

// rosterStatus is how one remote's API stands.
type rosterStatus struct {
	server      string
	addresses   int       // in the list in force
	lastSuccess time.Time // when the list in force was last known to be the API's; zero: never
	since       time.Time // since when it is not; zero: it is
	err         string    // why
	failures    uint64    // of calls to the API, since it is followed
}

func (s rosterStatus) admin() *admin.Roster {
	return &admin.Roster{
		Server: s.server, Addresses: s.addresses, LastSuccess: s.lastSuccess, Since: s.since, Error: s.err, Failures: s.failures,
	}
}

// status says how every API stands.
func (r *rosters) status(now time.Time) map[string]rosterStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := map[string]rosterStatus{}
	for name, f := range r.m {
		out[name] = f.status(now)
	}
	return out
}

func (f *follower) status(now time.Time) rosterStatus {
	s := f.source.Status(now)
	out := rosterStatus{
		server: f.target.Server(), addresses: len(f.inForce), lastSuccess: s.LastSuccess, since: s.Since, err: s.Err,
		failures: s.Failures,
	}
	if f.refused != nil { // it answers, and what it answers is not in force
		out.err, out.since = f.refused.Error(), f.since
		if out.lastSuccess.After(f.since) {
			out.lastSuccess = f.since
		}
	}
	return out
}

// known gives, for remotes that are not followed yet, the list that a former run kept.
func (r *rosters) known(store roster.Store, apis map[string]*kube.Target) lists {
	followed := r.status(time.Now())
	out := lists{}
	for name := range apis {
		if _, has := followed[name]; has {
			continue
		}
		nodes, err := store.Load(name)
		switch {
		case err == nil:
			out[name] = nodes
		case !errors.Is(err, fs.ErrNotExist):
			r.log.Warn("the list of nodes that was kept cannot be used", "event", "roster-state", "cluster", name, "error", err)
		}
	}
	return out
}

// keep stores lists for the next run. That it cannot is not worth more than a warning: only a restart while the API is
// away needs them.
func (r *rosters) keep(store roster.Store, all lists) {
	for name, nodes := range all {
		if err := store.Save(name, nodes, time.Now()); err != nil {
			r.log.Warn("the list of nodes cannot be kept for a restart", "event", "roster-state", "cluster", name, "error", err)
		}
	}
}

// forget drops what is stored of remotes that are no more.
func (r *rosters) forget(store roster.Store, names []string) {
	for _, name := range names {
		if err := store.Remove(name); err != nil {
			r.log.Warn("a list of nodes of no use cannot be removed", "event", "roster-state", "cluster", name, "error", err)
		}
	}
}

// difference counts the addresses that are new in b and those that are gone from a.
func difference(a, b []roster.Node) (added, removed int) {
	in := func(list []roster.Node) map[netip.Addr]bool {
		out := map[netip.Addr]bool{}
		for _, n := range list {
			out[n.Addr] = true
		}
		return out
	}
	before, now := in(a), in(b)
	for addr := range now {
		if !before[addr] {
			added++
		}
	}
	return added, len(before) + added - len(now)
}

// with is l with one list replaced.
func (l lists) with(name string, nodes []roster.Node) lists {
	out := maps.Clone(l)
	if out == nil {
		out = lists{}
	}
	out[name] = nodes
	return out
}

// split parts l into the lists of remotes that still have an API and the others.
func (l lists) split(apis map[string]*kube.Target) (stay, gone lists) {
	stay, gone = lists{}, lists{}
	for name, nodes := range l {
		if apis[name] != nil {
			stay[name] = nodes
		} else {
			gone[name] = nodes
		}
	}
	return stay, gone
}

// names lists whose they are.
func (l lists) names() []string { return slices.Sorted(maps.Keys(l)) }

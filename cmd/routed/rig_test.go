package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"

	"routed/bgp"
	"routed/filewatch"
	"routed/guard"
	"routed/kernel"
	"routed/metrics"
	"routed/peering"
	"routed/probe"
)

// rig is a daemon from the configuration down to the mesh loop, on a host that is made up: no kernel, no sockets, and a
// speaker that counts the sessions it is told to touch.
type rig struct {
	*daemon
	t       testing.TB
	dir     string
	config  string // path
	state   string // path
	speaker *touching
	kernel  *wanting
	host    *madeUp
	hups    chan os.Signal
	quiet   time.Duration // of the files before a change is told
}

const (
	nodeA = "9.111.255.77"
	nodeB = "9.111.255.152"
	nodeC = "9.111.255.155"
	nodeD = "9.112.0.1" // of cluster-3
)

// rigConfig is a configuration with one remote cluster, whose nodes are given; %s may be anything after it.
const rigConfig = `
cluster: {name: cluster-1, podCIDRs: [10.1.0.0/16]}
node: {address: 9.111.255.21}
bird: {dial: 127.0.0.1:179}
state: {directory: state}
remotes:
  - name: cluster-2
    podCIDRs: [20.1.0.0/16]
    nodes: %s
`

// newRig writes a configuration into a directory of its own, `hosts` beside it, and makes a daemon of it.
func newRig(tb testing.TB, nodes string) *rig {
	tb.Helper()
	dir := tb.TempDir()
	r := &rig{
		t: tb, dir: dir, config: filepath.Join(dir, "routed.yaml"), state: filepath.Join(dir, "state"),
		speaker: &touching{touched: map[netip.Addr]int{}, peers: map[netip.Addr]peering.Peer{}}, kernel: &wanting{routes: map[netip.Prefix]netip.Addr{}},
		host: &madeUp{links: seedHost().links}, hups: make(chan os.Signal, 1), quiet: 5 * time.Millisecond,
	}
	r.write("hosts", nodeA+" a\n"+nodeB+" b\n")
	r.write("routed.yaml", fmt.Sprintf(rigConfig, nodes))
	return r
}

func (r *rig) write(name, text string) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// start starts the daemon as run does, with routes that an earlier run left, and has its BIRD say that it has no block.
func (r *rig) start(left ...kernel.Route) *rig {
	r.t.Helper()
	open := ask(func() (facts, error) { return r.host, nil })
	l, err := open.load(r.t.Context(), r.config)
	if err != nil {
		r.t.Fatal(err)
	}
	roster, err := l.resolve(nil)
	if err != nil {
		r.t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(r.t.Output(), nil))
	r.daemon = &daemon{
		path: r.config, ask: open, log: log, level: logLevel{AtomicLevel: zap.NewAtomicLevel()}, notify: notifier{log: log},
		hangups: r.hups, begun: make(chan struct{}), rosters: newRosters(log),
		settings: newSettings(r.config, l, roster, time.Now()),
		files:    filewatch.New(filewatch.Config{Quiet: r.quiet, AtMost: max(time.Second, r.quiet), Every: time.Hour, Log: log}),
		loop:     newMeshLoop(peering.NewMesh(meshConfig(l.cfg), time.Now()), r.speaker, r.kernel, slog.New(slog.DiscardHandler)),
	}
	r.files.Watch(l.files, l.sums)
	// For what Status asks of them; none ever runs.
	r.reconciler, r.timings = kernel.NewReconciler(kernel.Config{}, nil), metrics.NewTimings()
	r.guard = guard.NewKeeper(guardConfig(l.cfg, log))
	r.prober, r.targets = probe.New(proberConfig(l.cfg, log)), newProbeTargets()
	r.loop.onRoutes = r.targets.follows
	r.reprobe(l.cfg)
	if r.daemon.speaker, err = bgp.NewSpeaker(speakerConfig(l.cfg, log)); err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(r.t.Context())
	r.seed(ctx, left)
	var wg sync.WaitGroup
	for _, part := range []func(context.Context) error{r.loop.Run, r.files.Run, r.reloads} {
		wg.Go(func() {
			if err := part(ctx); err != nil {
				r.t.Error(err)
			}
		})
	}
	r.t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	bird := r.settings.roster().BIRD[0].Addr
	r.loop.feed(peering.Update{Peer: bird, Session: peering.SessionUp, Families: peering.IPv4, EndOfRIB: peering.IPv4})
	return r
}

// reloaded makes a change and waits until it has been taken up, for good or ill.
func (r *rig) reloaded(change func()) {
	r.t.Helper()
	before := r.settings.status().LastReloadAt
	change()
	r.eventually(func() error {
		if !r.settings.status().LastReloadAt.After(before) {
			return errors.New("nothing was reloaded")
		}
		return nil
	})
}

// onHangupOnly has the daemon reload at hangup alone, so that a test knows which reload it sees.
func (r *rig) onHangupOnly() *rig {
	r.quiet = time.Hour
	return r
}

func (r *rig) hangup() { r.hups <- syscall.SIGHUP }

// wantPeers waits until the speaker has these remote peers.
func (r *rig) wantPeers(addrs ...string) {
	r.t.Helper()
	slices.Sort(addrs)
	r.eventually(func() error {
		if got := r.speaker.remotes(); !slices.Equal(got, addrs) {
			return fmt.Errorf("peers %v, want %v", got, addrs)
		}
		return nil
	})
}

func (r *rig) eventually(check func() error) {
	r.t.Helper()
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
			r.t.Fatal(err)
		case <-tick.C:
		}
	}
}

// touching is a speaker that counts, for each peer, how often its session is made, ended, or made anew because what it
// depends on changed (the rule of bgp.Speaker.SetPeers).
type touching struct {
	mu      sync.Mutex
	peers   map[netip.Addr]peering.Peer
	touched map[netip.Addr]int
	calls   int
}

func (s *touching) SetPeers(_ context.Context, peers []peering.Peer) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	now := map[netip.Addr]peering.Peer{}
	for _, p := range peers {
		now[p.Addr] = p
		old, had := s.peers[p.Addr]
		if old.Name, old.Cluster = p.Name, p.Cluster; !had || old != p {
			s.touched[p.Addr]++
		}
	}
	for addr := range s.peers {
		if _, stays := now[addr]; !stays {
			s.touched[addr]++
		}
	}
	s.peers = now
	return nil
}

func (s *touching) called() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

func (s *touching) SetAdvertised(context.Context, []netip.Prefix) error { return nil }

// remotes lists the remote peers' addresses.
func (s *touching) remotes() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for addr, p := range s.peers {
		if p.Role == peering.RoleRemote {
			out = append(out, addr.String())
		}
	}
	slices.Sort(out)
	return out
}

func (s *touching) names() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, p := range s.peers {
		if p.Role == peering.RoleRemote {
			out = append(out, p.Addr.String()+"="+p.Name)
		}
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// taken gives the peers touched since the last call, and how often.
func (s *touching) taken() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]int{}
	for addr, n := range s.touched {
		out[addr.String()] = n
	}
	clear(s.touched)
	return out
}

// wanting is a FIB that remembers what is wanted and whether deletes are allowed.
type wanting struct {
	mu      sync.Mutex
	routes  map[netip.Prefix]netip.Addr
	lookups []netip.Prefix
	deletes bool
}

func (f *wanting) Set(changes []kernel.Change) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range changes {
		if c.Route.NextHop.IsValid() {
			f.routes[c.Route.Prefix] = c.Route.NextHop
		} else {
			delete(f.routes, c.Route.Prefix)
		}
	}
}

func (f *wanting) SetLookups(cidrs []netip.Prefix) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lookups = cidrs
}

func (f *wanting) AllowDelete() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.deletes = true
}

func (f *wanting) wanted() map[netip.Prefix]netip.Addr {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.routes)
}

// madeUp is a host whose links a test may change.
type madeUp struct {
	mu    sync.Mutex
	links kernel.Topology
}

func (h *madeUp) DefaultAddress(context.Context, bool) (netip.Addr, error) {
	return netip.Addr{}, errors.New("no default route")
}

func (h *madeUp) Topology(context.Context) (kernel.Topology, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.links.Clone(), nil
}

func (h *madeUp) Close() error { return nil }

// linkUp sets the host's only link.
func (h *madeUp) linkUp(up bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.links.Links[2]
	l.Up, l.Running = up, up
	h.links.Links[2] = l
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"routed/admin"
	"routed/bgp"
	"routed/config"
	"routed/filewatch"
	"routed/guard"
	"routed/kernel"
	"routed/metrics"
	"routed/peering"
	"routed/probe"

	"golang.org/x/sync/errgroup"
)

// How long a start waits for BIRD when the kernel already shows own blocks: borrowed addresses leave no trace there, BIRD
// alone knows them. GoBGP dials BIRD after two seconds, a session that collides can take eight. After a restart the peers hold
// what we had announced until they hear the end of what we announce now, so there the session is worth waiting for.
const (
	ownGrace     = 2 * time.Second
	restartGrace = 15 * time.Second
)

// flushWithin bounds kernel.onExit: flush, so that a service manager need not kill us.
const flushWithin = time.Minute

// How changes of files are noticed: when a file has been quiet for a moment, and where nothing tells of a change, by
// looking.
const (
	filesQuiet  = 250 * time.Millisecond
	filesAtMost = 5 * time.Second
	filesEvery  = 30 * time.Second
)

// daemon is one running routed: the wiring, and nothing that decides.
type daemon struct {
	path     string // of the configuration
	ask      ask
	log      *slog.Logger
	started  time.Time
	notify   notifier
	settings *settings
	level    logLevel
	hangups  <-chan os.Signal
	files    *filewatch.Watcher
	rosters  *rosters
	// firstLists is what was taken for the lists of the APIs before they answered; written before begun is closed.
	firstLists lists

	netlink    *kernel.Netlink
	reconciler *kernel.Reconciler
	guard      *guard.Keeper
	speaker    *bgp.Speaker
	loop       *meshLoop
	prober     *probe.Prober
	targets    *probeTargets
	host       hostChecks
	begun      chan struct{} // closed when the mesh has been seeded and its loop is about to run
	timings    *metrics.Timings
}

// newDaemon makes everything and starts nothing but the netlink sockets.
func newDaemon(path string, l *loaded, roster peering.Roster, log *slog.Logger, level logLevel) (*daemon, error) {
	now, cfg := time.Now(), l.cfg
	d := &daemon{
		path: path, ask: askKernel, log: log, level: level, started: now, notify: notifier{log: log}, timings: metrics.NewTimings(),
		hangups: hangups(), begun: make(chan struct{}), rosters: newRosters(log),
	}
	d.settings = newSettings(path, l, roster, now)
	d.files = filewatch.New(filewatch.Config{Quiet: filesQuiet, AtMost: filesAtMost, Every: filesEvery, Log: log})
	d.files.Watch(l.files, l.sums)
	var err error
	if d.speaker, err = bgp.NewSpeaker(speakerConfig(cfg, log)); err != nil {
		return nil, err
	}
	if d.netlink, err = kernel.NewNetlink(); err != nil {
		return nil, fmt.Errorf("the kernel's route tables cannot be reached: %w", err)
	}
	d.reconciler = kernel.NewReconciler(kernelConfig(cfg, log, d.timings), d.netlink)
	d.loop = newMeshLoop(peering.NewMesh(meshConfig(cfg), now), d.speaker, d.reconciler, log)
	d.guard = guard.NewKeeper(guardConfig(cfg, log))
	d.loop.onRoster = func(r peering.Roster) { d.guard.Set(guardState(cfg, r)) }
	d.loop.onRoster(roster)
	d.prober, d.targets = probe.New(proberConfig(cfg, log)), newProbeTargets()
	d.loop.onRoutes = d.targets.follows
	d.reprobe(cfg)
	return d, nil
}

// run serves until ctx ends or something fails, and when ctx ended carries out kernel.onExit.
func (d *daemon) run(ctx context.Context) error {
	cfg := d.settings.config()
	d.log.Info("routed starts", "event", "start", "version", version, "cluster", cfg.Cluster.Name,
		"node", join(cfg.Node.Addresses()), "config", d.path)
	err := d.serve(ctx, cfg)
	d.notify.stopping()
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		err = nil
	}
	cfg = d.settings.config()
	// A daemon that failed is started again, or is a second one beside a first: neither may take the routes away.
	if err == nil && cfg.Kernel.OnExit == config.OnExitFlush {
		err = d.flush(context.WithoutCancel(ctx), cfg)
	}
	err = errors.Join(err, d.netlink.Close())
	d.log.Info("routed has stopped", "event", "stop", "routes", cfg.Kernel.OnExit)
	return err
}

// serve owns every goroutine of the daemon. The admin socket comes first: it says whether another routed runs.
func (d *daemon) serve(ctx context.Context, cfg *config.Config) error {
	socket, err := admin.Listen(ctx, cfg.Admin.Socket)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(named("kernel", func() error { return d.reconciler.Run(ctx) }))
	g.Go(named("guard", func() error { return d.guard.Run(ctx) }))
	g.Go(named("bgp", func() error { return d.speakBehindGuard(ctx) }))
	g.Go(named("evidence", func() error {
		return kernel.WatchLocalBlocks(ctx, cfg.Cluster.PodCIDRs, d.log, d.loop.evidence)
	}))
	g.Go(named("mesh", func() error { return d.startMesh(ctx) }))
	g.Go(named("probe", func() error { return d.prober.Run(ctx) }))
	g.Go(named("probe", func() error { return d.feedProber(ctx) }))
	g.Go(named("admin", func() error { return admin.NewServer(cfg.Admin.Socket, d, d.log).Serve(ctx, socket) }))
	g.Go(named("metrics", func() error { return d.serveMetrics(ctx, cfg) }))
	g.Go(named("host", func() error { return d.watchHost(ctx) }))
	g.Go(named("files", func() error { return d.files.Run(ctx) }))
	g.Go(named("reload", func() error { return d.reloads(ctx) }))
	g.Go(named("watchdog", func() error { return d.notify.watch(ctx, d.alive, d.statusLine) }))
	return g.Wait()
}

// startMesh seeds the mesh with what the kernel holds before the first peer can say a word, and then runs it.
func (d *daemon) startMesh(ctx context.Context) error {
	select {
	case <-d.reconciler.Adopted():
	case <-ctx.Done():
		return nil
	}
	d.seed(ctx, d.reconciler.AdoptedRoutes())
	if ctx.Err() == nil {
		d.notify.ready()
	}
	return d.loop.Run(ctx)
}

// seed gives the mesh its first roster and the routes that an earlier run left.
func (d *daemon) seed(ctx context.Context, left []kernel.Route) {
	now := time.Now()
	d.loop.setRoster(ctx, now, d.firstRoster(left))
	d.loop.adopt(ctx, now, left)
	d.loop.tell(ctx)
	close(d.begun)
}

// flush removes our routes, rules and packet filter at the end (kernel.onExit: flush).
func (d *daemon) flush(ctx context.Context, cfg *config.Config) error {
	ctx, cancel := context.WithTimeout(ctx, flushWithin)
	defer cancel()
	removed, err := kernel.Flush(ctx, kernelConfig(cfg, d.log, nil), d.netlink)
	guarded, guardErr := guard.Flush()
	d.log.Info("removed our routes, rules and packet filter", "event", "flush", "routes", removed.Routes, "rules", removed.Rules,
		"guard", guarded)
	return errors.Join(err, guardErr)
}

// named says in an error which part of the daemon failed.
func named(part string, f func() error) func() error {
	return func() error {
		if err := f(); err != nil {
			return fmt.Errorf("%s: %w", part, err)
		}
		return nil
	}
}

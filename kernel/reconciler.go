package kernel

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Config says what a Reconciler owns and how it works.
type Config struct {
	Table          uint32        // the route table; 254 is main
	Protocol       uint8         // the route protocol number that marks our routes and rules
	RulePriority   uint32        // of the lookup rules; there are none for the main table, which has the kernel's
	ResyncInterval time.Duration // between full compares with a dump, jittered by a tenth; longer for large tables; 0: a minute
	Log            *slog.Logger  // nil: none
	Observer       Observer      // may be nil
}

func (c Config) owner() owner {
	return owner{table: c.Table, protocol: c.Protocol, priority: c.RulePriority}
}

// Reconciler keeps one route table as wanted. Make it with NewReconciler, run it with Run; the other methods may be
// called at any time from any goroutine, and none of the setters blocks.
type Reconciler struct {
	cfg Config
	own owner
	fib FIB
	log *slog.Logger

	mu    sync.Mutex
	inbox inbox
	wake  chan struct{} // the inbox has something

	started       atomic.Bool
	adopted       chan struct{}
	adoptedRoutes []Route // written before adopted is closed
	status        atomic.Pointer[Status]
	walks         chan *walk
	pings         chan chan struct{}
	done          chan struct{} // Run has returned
}

// NewReconciler makes a Reconciler that works on a kernel. Nothing happens before Run.
func NewReconciler(cfg Config, fib FIB) *Reconciler {
	cfg.ResyncInterval = cmp.Or(cfg.ResyncInterval, time.Minute)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	r := &Reconciler{
		cfg:     cfg,
		own:     cfg.owner(),
		fib:     fib,
		log:     cfg.Log.With("table", cfg.Table),
		wake:    make(chan struct{}, 1),
		adopted: make(chan struct{}),
		walks:   make(chan *walk),
		pings:   make(chan chan struct{}),
		done:    make(chan struct{}),
	}
	r.status.Store(&Status{})
	return r
}

// errRanBefore is the misuse of a Reconciler that has run already.
var errRanBefore = errors.New("kernel: a Reconciler runs once")

// Run does the work until ctx ends, and then returns nil with the routes left in place. It subscribes first, then
// dumps what is there, then serves. It fails only when it cannot begin; later errors are retried and reported in
// Status.
func (r *Reconciler) Run(ctx context.Context) error {
	if !r.started.CompareAndSwap(false, true) {
		return errRanBefore
	}
	defer close(r.done)
	ctx, cancel := context.WithCancel(ctx)
	l := newLoop(r)
	defer l.close()
	defer cancel()
	if err := l.start(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // told to end while beginning
		}
		return err
	}
	l.run(ctx)
	return nil
}

// Adopted is closed when the table has been dumped for the first time and the rules are known.
func (r *Reconciler) Adopted() <-chan struct{} { return r.adopted }

// AdoptedRoutes is what an earlier run left in the table. It is empty before Adopted is closed. The caller must not
// change it.
func (r *Reconciler) AdoptedRoutes() []Route {
	select {
	case <-r.adopted:
		return r.adoptedRoutes
	default:
		return nil
	}
}

// Set takes changes to what is wanted. Of several for one prefix the last counts. The slice is the Reconciler's from
// then on.
func (r *Reconciler) Set(changes []Change) {
	for i := range changes {
		route := &changes[i].Route
		route.Prefix, route.NextHop = normal(route.Prefix), route.NextHop.Unmap()
	}
	r.post(func(in *inbox) { in.add(changes) })
}

// SetLookups takes all prefixes whose lookups are to go to the table: a rule each.
func (r *Reconciler) SetLookups(cidrs []netip.Prefix) {
	var want []netip.Prefix
	if r.own.table != mainTable {
		for _, p := range cidrs {
			if p = normal(p); p.IsValid() && p.Bits() > 0 {
				want = append(want, p)
			}
		}
		slices.SortFunc(want, netip.Prefix.Compare)
		want = slices.Compact(want)
	}
	r.post(func(in *inbox) { in.lookups, in.newLookups = want, true })
}

// AllowDelete says that what is wanted is known in full: from now on routes and rules of ours that nobody wants are
// removed. Before it none is.
func (r *Reconciler) AllowDelete() {
	r.post(func(in *inbox) { in.allowDelete = true })
}

func (r *Reconciler) post(f func(in *inbox)) {
	r.mu.Lock()
	f(&r.inbox)
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// take empties the inbox.
func (r *Reconciler) take() inbox {
	r.mu.Lock()
	defer r.mu.Unlock()
	in := r.inbox
	r.inbox = inbox{}
	return in
}

// Ping returns once the loop has turned, for a watchdog; or ctx's error; or an error when Run has returned.
func (r *Reconciler) Ping(ctx context.Context) error {
	pong := make(chan struct{})
	select {
	case r.pings <- pong:
		<-pong
		return nil
	case <-r.done:
		return errStopped
	case <-ctx.Done():
		return ctx.Err()
	}
}

var errStopped = errors.New("kernel: the reconciler has stopped")

// normal is a prefix the way the kernel keeps it: without host bits, an IPv4 address never inside IPv6.
func normal(p netip.Prefix) netip.Prefix {
	if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	return p.Masked()
}

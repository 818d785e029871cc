package guard

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Mode says what is wanted of the kernel.
type Mode string

// The modes, as in the configuration.
const (
	Auto     Mode = "auto"     // a guard if this host can have one
	NFTables Mode = "nftables" // a guard; that there is none is a fault
	None     Mode = "none"     // no guard; one that an earlier run left goes
)

// Config says how a Keeper works.
type Config struct {
	Mode     Mode
	Interval time.Duration // between checks that no event asked for; 0: a minute
	Log      *slog.Logger  // nil: none
}

// Keeper keeps the guard's table as wanted. Make it with NewKeeper, run it with Run; the other methods may be called at
// any time from any goroutine, and none of them blocks.
type Keeper struct {
	cfg    Config
	log    *slog.Logger
	tables tables

	mu    sync.Mutex
	state *State        // that the loop has not taken up; nil: none
	wake  chan struct{} // there is one

	started atomic.Bool
	tried   chan struct{}
	tryOnce sync.Once
	status  atomic.Pointer[Status]
}

// tables is what a Keeper needs of the kernel.
type tables interface {
	read() (found, error)
	replace(t table, exists bool) error
	update(edits []edit) error
	remove() error
	watch(ctx context.Context) (<-chan notice, error)
}

// NewKeeper makes a Keeper for the network namespace that Run is called in. Nothing happens before Run.
func NewKeeper(cfg Config) *Keeper { return newKeeper(cfg, kernelTables{}) }

func newKeeper(cfg Config, t tables) *Keeper {
	cfg.Interval = cmp.Or(cfg.Interval, time.Minute)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	k := &Keeper{
		cfg: cfg, log: cfg.Log.With("nft_table", "inet "+tableName), tables: t,
		wake: make(chan struct{}, 1), tried: make(chan struct{}),
	}
	k.status.Store(&Status{Mode: cfg.Mode, Condition: Starting, Since: time.Now()})
	return k
}

// Set takes what the guard is to go by from now on. Of several that the loop has not taken up, the last counts. The
// caller must not change what is in it afterwards. Before the first one the kernel is left as it is.
func (k *Keeper) Set(s State) {
	k.mu.Lock()
	k.state = &s
	k.mu.Unlock()
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

func (k *Keeper) take() *State {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.state
	k.state = nil
	return s
}

// Status returns how things stood after the last check. It costs nothing.
func (k *Keeper) Status() Status { return *k.status.Load() }

// Tried is closed when the first attempt to make the kernel as wanted is over, whatever came of it.
func (k *Keeper) Tried() <-chan struct{} { return k.tried }

// errRanBefore is the misuse of a Keeper that has run already.
var errRanBefore = errors.New("guard: a Keeper runs once")

// Run does the work until ctx ends, and then returns nil with the table left in place: what it protects starts again
// behind it. Failures are retried, and reported in Status.
func (k *Keeper) Run(ctx context.Context) error {
	if !k.started.CompareAndSwap(false, true) {
		return errRanBefore
	}
	ctx, cancel := context.WithCancel(ctx)
	l := &loop{keeper: k, status: k.Status()}
	defer l.close()
	defer cancel()
	l.run(ctx)
	return nil
}

// Flush removes the table, if there is one of ours, and reports whether there was. It may be called again when it failed.
func Flush() (removed bool, err error) { return flush(kernelTables{}) }

func flush(t tables) (removed bool, err error) {
	have, err := t.read()
	switch {
	case missing(err):
		return false, nil // where there are no tables there is none of ours
	case err != nil:
		return false, err
	case !have.exists || !have.ours():
		return false, nil
	}
	return true, t.remove()
}

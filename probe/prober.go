package probe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Config says how a Prober works.
type Config struct {
	Local      []netip.Addr // this node's address of each family: where probes come from. A family without one is not probed
	PodDevices string       // what the names of devices of pods begin with, for [Status.PodMTU]
	Log        *slog.Logger // nil: none
}

// Prober probes targets. Make it with New, run it with Run; the other methods may be called at any time from any
// goroutine, and none of them waits for the network.
type Prober struct {
	cfg   Config
	open  func(local netip.Addr) (conn, error)
	links func(podDevices string) (links, error)

	mu     sync.Mutex // of engine and troubles
	engine *engine
	errs   []error // why families cannot be probed

	inbox   sync.Mutex
	set     *Settings // that Run has not taken up; nil: none
	targets *[]Target // likewise
	wake    chan struct{}

	answers chan answer
	broken  chan netip.Addr // a connection that failed, by its local address
	started atomic.Bool
}

// conn sends and receives echoes of one family, each whole IP packet of a given size and never fragmented.
type conn interface {
	// send sends an echo. errTooLarge: the device is too small for it.
	send(e *echo) error
	// receive waits for an answer; an error after Close, or when the connection is of no use any more.
	receive() (answer, error)
	Close() error
}

// errTooLarge is that a packet is larger than the MTU of the device that it would leave by.
var errTooLarge = errors.New("larger than the MTU of the device")

const (
	// reopenEvery is how soon a socket that could not be had is tried again.
	reopenEvery = 30 * time.Second
	// lookEvery is how often the MTUs of this host's devices are read.
	lookEvery = time.Minute
	// answersWaiting bounds the answers that wait for the engine; then they wait in the socket.
	answersWaiting = 256
)

// New makes a Prober for the network namespace that Run is called in. Nothing happens before Run, and nothing is sent
// before Configure switches probes on.
func New(cfg Config) *Prober {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Prober{
		cfg: cfg, open: openSocket, links: readLinks, engine: newEngine(),
		wake: make(chan struct{}, 1), answers: make(chan answer, answersWaiting), broken: make(chan netip.Addr, 2),
	}
}

// Configure sets how probing works from now on.
func (p *Prober) Configure(s Settings) {
	s.PacketsPerSecond = min(max(s.PacketsPerSecond, 1), MaxPacketsPerSecond)
	s.Timeout = min(cmp.Or(s.Timeout, time.Second), MaxTimeout)
	p.inbox.Lock()
	p.set = &s
	p.inbox.Unlock()
	p.rouse()
}

// SetTargets sets who is to be probed from now on. The caller must not change the slice afterwards.
func (p *Prober) SetTargets(all []Target) {
	p.inbox.Lock()
	p.targets = &all
	p.inbox.Unlock()
	p.rouse()
}

func (p *Prober) rouse() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Status returns the picture at this moment.
func (p *Prober) Status() Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.engine.status()
	if err := errors.Join(p.errs...); err != nil && s.On() {
		s.Err = err.Error()
	}
	return s
}

// Target returns what is known of one address.
func (p *Prober) Target(a netip.Addr) (TargetStatus, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t, known := p.engine.targets[a]
	if !known || p.engine.set.Interval <= 0 {
		return TargetStatus{}, false
	}
	return t.status(), true
}

// PodMTU is that of Status.
func (p *Prober) PodMTU() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.engine.podMTU()
}

// errRanBefore is the misuse of a Prober that has run already.
var errRanBefore = errors.New("probe: a Prober runs once")

// Run probes until ctx ends, and then returns nil. That it cannot probe is no error: it is told by Status, and tried again.
func (p *Prober) Run(ctx context.Context) error {
	if !p.started.CompareAndSwap(false, true) {
		return errRanBefore
	}
	ctx, cancel := context.WithCancel(ctx)
	r := &run{p: p, conns: map[netip.Addr]conn{}, told: reporter{log: p.cfg.Log}}
	defer r.close()
	defer cancel()
	r.loop(ctx)
	return nil
}

// run is the state of a running Prober. One goroutine owns it.
type run struct {
	p         *Prober
	conns     map[netip.Addr]conn // by local address
	receivers sync.WaitGroup
	reopen    time.Time
	look      time.Time // when the links are to be read again
	told      reporter
	refused   string // what was logged last of connections that cannot be had
}

// loop turns at every answer, and when something is due.
func (r *run) loop(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.p.wake:
		case <-timer.C:
			r.hearWaiting()
		case local := <-r.p.broken:
			r.lose(local)
		case a := <-r.p.answers:
			r.hear(a)
		}
		next := r.turn(ctx)
		if next.IsZero() {
			timer.Stop()
			continue
		}
		timer.Reset(time.Until(next))
	}
}

// hear takes in an answer, and those behind it: what came in time must not be given up because we are late.
func (r *run) hear(a answer) {
	r.p.mu.Lock()
	defer r.p.mu.Unlock()
	for range answersWaiting {
		r.p.engine.answered(a)
		select {
		case a = <-r.p.answers:
		default:
			return
		}
	}
}

func (r *run) hearWaiting() {
	select {
	case a := <-r.p.answers:
		r.hear(a)
	default:
	}
}

// turn does what is due, and returns when something will be.
func (r *run) turn(ctx context.Context) time.Time {
	now := time.Now()
	on := r.take(now)
	if !on {
		r.close()
		r.reopen = time.Time{}
		return r.tell(ctx, now)
	}
	r.connect(ctx, now)
	r.lookAtLinks(ctx, now)
	next := r.work(now)
	for _, t := range []time.Time{r.reopen, r.look, r.tell(ctx, now)} {
		next = sooner(next, t)
	}
	return next
}

// take brings what was set meanwhile to the engine, and reports whether probes are on.
func (r *run) take(now time.Time) bool {
	p := r.p
	p.inbox.Lock()
	set, targets := p.set, p.targets
	p.set, p.targets = nil, nil
	p.inbox.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if set != nil {
		p.engine.configure(now, *set)
	}
	if targets != nil {
		p.engine.setTargets(now, p.reachable(*targets))
	}
	return p.engine.set.Interval > 0
}

// reachable leaves out targets of a family that this node has no address of.
func (p *Prober) reachable(all []Target) []Target {
	var v4, v6 bool
	for _, a := range p.cfg.Local {
		v4, v6 = v4 || a.Is4(), v6 || a.Is6()
	}
	return slices.DeleteFunc(slices.Clone(all), func(t Target) bool { return t.Addr.Is4() && !v4 || t.Addr.Is6() && !v6 })
}

// connect opens the sockets that are missing.
func (r *run) connect(ctx context.Context, now time.Time) {
	if len(r.conns) == len(r.p.cfg.Local) || r.reopen.After(now) {
		return
	}
	r.reopen = time.Time{}
	var errs []error
	for _, local := range r.p.cfg.Local {
		if r.conns[local] != nil {
			continue
		}
		c, err := r.p.open(local)
		if err != nil {
			errs = append(errs, fmt.Errorf("probes from %s: %w", local, err))
			r.reopen = now.Add(reopenEvery)
			continue
		}
		r.conns[local] = c
		r.receivers.Go(func() { r.p.listen(ctx, local, c) })
	}
	r.p.mu.Lock()
	r.p.errs = errs
	r.p.mu.Unlock()
	r.tellRefused(ctx, errors.Join(errs...))
}

// tellRefused logs that there are no sockets, once a reason.
func (r *run) tellRefused(ctx context.Context, err error) {
	if err == nil {
		r.refused = ""
		return
	}
	if text := err.Error(); text != r.refused {
		r.refused = text
		r.p.cfg.Log.ErrorContext(ctx, "probes are not possible; routing goes on without", "event", "probe-impossible", "error", err,
			"retry_in", reopenEvery)
	}
}

// listen hands answers to the loop until the connection ends.
func (p *Prober) listen(ctx context.Context, local netip.Addr, c conn) {
	for {
		a, err := c.receive()
		if err != nil {
			select {
			case p.broken <- local:
			case <-ctx.Done():
			}
			return
		}
		select {
		case p.answers <- a:
		case <-ctx.Done():
			return
		}
	}
}

// lose closes a connection that failed; another is opened a while later.
func (r *run) lose(local netip.Addr) {
	if c := r.conns[local]; c != nil {
		_ = c.Close() // it is of no use any more
		delete(r.conns, local)
		r.reopen = time.Now().Add(reopenEvery)
	}
}

// close ends the connections and waits for those who listen.
func (r *run) close() {
	if len(r.conns) == 0 {
		return
	}
	for local, c := range r.conns {
		_ = c.Close() // it has no more to say
		delete(r.conns, local)
	}
	ended := make(chan struct{})
	go func() { r.receivers.Wait(); close(ended) }()
	for {
		select {
		case <-ended:
			return
		case <-r.p.answers: // to nobody
		case <-r.p.broken:
		}
	}
}

// lookAtLinks reads the MTUs of this host's devices now and then.
func (r *run) lookAtLinks(ctx context.Context, now time.Time) {
	if r.look.After(now) {
		return
	}
	r.look = now.Add(lookEvery)
	found, err := r.p.links(r.p.cfg.PodDevices)
	if err != nil {
		r.p.cfg.Log.DebugContext(ctx, "the MTUs of this host's devices could not be read", "event", "probe-links", "error", err)
		return
	}
	r.p.mu.Lock()
	r.p.engine.links = found
	r.p.mu.Unlock()
}

// work gives up what is overdue and sends what is due, and returns when there will be more.
func (r *run) work(now time.Time) time.Time {
	p := r.p
	p.mu.Lock()
	defer p.mu.Unlock()
	p.engine.expire(now)
	for {
		out, next := p.engine.next(now)
		if out == nil {
			return sooner(next, p.engine.wake())
		}
		if err := r.send(out); err != nil {
			p.engine.unsent(now, out, err, errors.Is(err, errTooLarge))
		}
	}
}

// errNoSocket is that the family of a target cannot be probed at this moment.
var errNoSocket = errors.New("there is no socket to probe from")

func (r *run) send(out *echo) error {
	for local, c := range r.conns {
		if local.Is4() == out.to.Is4() {
			return c.send(out)
		}
	}
	return errNoSocket
}

// tell logs what changed, and returns when there will be more to log.
func (r *run) tell(ctx context.Context, now time.Time) time.Time {
	r.p.mu.Lock()
	changes := r.p.engine.changes
	r.p.engine.changes = nil
	r.p.mu.Unlock()
	return r.told.report(ctx, now, changes)
}

// sooner is the earlier of two times; the zero time is never.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var local4, local6 = netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")

// fakeNet is a network without a socket: what is sent is answered a while later, or not.
type fakeNet struct {
	mu      sync.Mutex
	dead    map[netip.Addr]bool
	delay   time.Duration
	device  int
	sent    []*echo
	refuse  error // why no connection can be had
	opened  int
	current *fakeConn
}

type fakeConn struct {
	net     *fakeNet
	answers chan answer
	closed  chan struct{}
	once    sync.Once
}

func newFakeNet() *fakeNet {
	return &fakeNet{dead: map[netip.Addr]bool{}, delay: 2 * time.Millisecond, device: 1500}
}

func (f *fakeNet) open(netip.Addr) (conn, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refuse != nil {
		return nil, f.refuse
	}
	f.opened++
	f.current = &fakeConn{net: f, answers: make(chan answer), closed: make(chan struct{})}
	return f.current, nil
}

func (f *fakeNet) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *fakeNet) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.sent)
}

func (c *fakeConn) send(e *echo) error {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	if e.size > c.net.device {
		return errTooLarge
	}
	c.net.sent = append(c.net.sent, e)
	if c.net.dead[e.to] {
		return nil
	}
	copied := *e
	go func() {
		select {
		case <-time.After(c.net.delay):
		case <-c.closed:
			return
		}
		select {
		case c.answers <- answerTo(&copied, time.Now()):
		case <-c.closed:
		}
	}()
	return nil
}

func (c *fakeConn) receive() (answer, error) {
	select {
	case a := <-c.answers:
		return a, nil
	case <-c.closed:
		return answer{}, net.ErrClosed
	}
}

func (c *fakeConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
}

// bench is a Prober that runs over a fakeNet, in the bubble of a synctest.
type bench struct {
	*Prober
	net *fakeNet
	log *bytes.Buffer
	end func()
}

func newBench(t *testing.T, f *fakeNet, local ...netip.Addr) *bench {
	t.Helper()
	b := &bench{net: f, log: &bytes.Buffer{}}
	b.Prober = New(Config{Local: local, Log: slog.New(slog.NewTextHandler(b.log, nil))})
	b.open = f.open
	b.links = func(string) (links, error) { return links{mtus: []int{9000, f.device}, podMTU: 1480}, nil }
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- b.Run(ctx) }()
	b.end = func() {
		cancel()
		equal(t, nil, <-done)
	}
	return b
}

// after lets time pass and everything come to rest.
func after(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // made-up time, in the bubble of a synctest
	synctest.Wait()
}

func states(s Status) map[State]int {
	out := map[State]int{}
	for _, t := range s.Targets {
		out[t.State]++
	}
	return out
}

func TestProberFollowsItsTargets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNet()
		b := newBench(t, f, local4)
		defer b.end()
		b.SetTargets(nodes(20))
		after(time.Minute)
		equal(t, 0, f.count(), "nothing is sent before probes are on")
		equal(t, 0, f.opened)

		b.Configure(settings())
		after(12 * time.Second)
		s := b.Status()
		equal(t, "", s.Err)
		equal(t, 1480, s.PodMTU)
		equal(t, map[State]int{Answering: 20}, states(s))
		for _, target := range s.Targets {
			equal(t, f.delay, target.RTT)
			equal(t, 1500, target.MTU)
		}

		f.set(func() { f.dead[node(3)] = true })
		after(40 * time.Second)
		equal(t, map[State]int{Answering: 19, Failing: 1}, states(b.Status()))
		one, known := b.Target(node(3))
		check(t, known && one.State == Failing && one.Reason == "no answer within 1s", one)
		equal(t, 1, strings.Count(b.log.String(), "event=probe-failing"))

		f.set(func() { delete(f.dead, node(3)) })
		b.SetTargets(nodes(5))
		after(12 * time.Second)
		equal(t, map[State]int{Answering: 5}, states(b.Status()))
		equal(t, 1, strings.Count(b.log.String(), "event=probe-answering"))

		b.Configure(Settings{})
		after(time.Second)
		sent := f.count()
		after(time.Minute)
		equal(t, sent, f.count())
		check(t, !b.Status().On())
		_, known = b.Target(node(3))
		check(t, !known)
	})
}

// A network that answers too late, or a socket that breaks, is seen; the socket is opened anew.
func TestProberOutlivesABrokenSocket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNet()
		b := newBench(t, f, local4)
		defer b.end()
		b.Configure(settings())
		b.SetTargets(nodes(3))
		after(12 * time.Second)
		f.set(func() { f.current.Close() })
		after(60 * time.Second)
		equal(t, 2, f.opened)
		equal(t, map[State]int{Answering: 3}, states(b.Status()))
		f.set(func() { f.delay = 1100 * time.Millisecond })
		after(50 * time.Second)
		equal(t, map[State]int{Failing: 3}, states(b.Status()))
	})
}

func TestProberWithoutASocket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNet()
		f.refuse = errors.New("an ICMP socket needs the capability CAP_NET_RAW")
		b := newBench(t, f, local4)
		defer b.end()
		b.Configure(settings())
		b.SetTargets(nodes(3))
		after(10 * time.Minute)
		check(t, strings.Contains(b.Status().Err, "CAP_NET_RAW"), b.Status().Err)
		equal(t, 1, strings.Count(b.log.String(), "event=probe-impossible"), "told once")
		f.set(func() { f.refuse = nil })
		after(time.Minute)
		equal(t, "", b.Status().Err)
		equal(t, map[State]int{Answering: 3}, states(b.Status()))
	})
}

func TestProberLeavesOutFamiliesThatTheNodeHasNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNet()
		b := newBench(t, f, local4)
		defer b.end()
		b.Configure(settings())
		b.SetTargets(append(nodes(1), Target{Addr: local6, Kind: NextHop}))
		after(12 * time.Second)
		equal(t, 1, len(b.Status().Targets))
	})
}

// A thousand targets that fail at once are eleven lines, and so are they when they are back.
func TestProberLogsAtABoundedRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNet()
		b := newBench(t, f, local4)
		defer b.end()
		b.Configure(Settings{Interval: time.Second, Timeout: 500 * time.Millisecond, PacketsPerSecond: MaxPacketsPerSecond})
		b.SetTargets(nodes(500))
		after(5 * time.Second)
		equal(t, map[State]int{Answering: 500}, states(b.Status()))
		f.set(func() {
			for i := range 500 {
				f.dead[node(i)] = true
			}
		})
		after(20 * time.Second)
		equal(t, map[State]int{Failing: 500}, states(b.Status()))
		lines := strings.Count(b.log.String(), "event=probe-failing")
		check(t, lines == reportLines+1, lines)
		check(t, strings.Contains(b.log.String(), fmt.Sprint("more=", 500-reportLines)), b.log.String())
	})
}

func TestProberRunsOnce(t *testing.T) {
	p := New(Config{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	equal(t, nil, p.Run(ctx))
	check(t, errors.Is(p.Run(ctx), errRanBefore))
}

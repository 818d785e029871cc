package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"
)

// How a daemon of routed keeps a session with another one: the lower address dials, and the other one as well when
// nothing has come of it for a while. See bgp/supervise.go.
const (
	connectRetry = 2 * time.Second // at most; 75 % at least
	dialLate     = 5 * time.Second
)

var errBusy = errors.New("no more connections")

// node is a simulated neighbour: one BGP session with the competitor, kept up as routed would.
type node struct {
	neighbor
	peer netip.AddrPort // where the competitor listens
	feed []byte         // sent when the session comes up
	news chan<- struct{}

	mu      sync.Mutex
	gone    bool     // for good
	busy    bool     // a connection is being opened
	session *speaker // nil: it is down
	at      time.Time
}

// keep dials whenever it is the node's turn to, until ctx ends.
func (n *node) keep(ctx context.Context) {
	for {
		if pause(ctx, retryPause()) != nil {
			return
		}
		if n.mayDial() {
			_ = n.try(func() (*speaker, time.Duration, error) { return tryDial(ctx, n.Addr, n.peer) }) // again, later
		}
	}
}

func retryPause() time.Duration {
	return connectRetry*3/4 + rand.N(connectRetry/4)
}

// mayDial tells whether the session is down and it is up to us to open it.
func (n *node) mayDial() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.session == nil && !n.busy && !n.gone && (n.Dials || time.Since(n.at) >= dialLate)
}

// take opens the session over a connection of the competitor's.
func (n *node) take(conn net.Conn) {
	err := n.try(func() (*speaker, time.Duration, error) { return speak(conn, n.Addr) })
	if errors.Is(err, errBusy) {
		_ = conn.Close() // the other one goes on
	}
}

// try opens the session unless it is up or being opened.
func (n *node) try(open func() (*speaker, time.Duration, error)) error {
	n.mu.Lock()
	if n.busy || n.gone || n.session != nil {
		n.mu.Unlock()
		return errBusy
	}
	n.busy = true
	n.mu.Unlock()
	s, hold, err := open()
	n.mu.Lock()
	n.busy = false
	if err == nil {
		n.session, n.at = s, time.Now()
	}
	n.mu.Unlock()
	if err != nil {
		return err
	}
	s.serve(hold)
	go func() {
		<-s.done
		n.lost(s)
	}()
	n.tell()
	return s.send(n.feed)
}

// lost takes note of the end of a session.
func (n *node) lost(s *speaker) {
	n.mu.Lock()
	if n.session == s {
		n.session, n.at = nil, time.Now()
	}
	n.mu.Unlock()
	n.tell()
}

func (n *node) tell() {
	select {
	case n.news <- struct{}{}:
	default:
	}
}

// up returns since when the session is up; false: it is down.
func (n *node) up() (time.Time, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.at, n.session != nil
}

// drop ends the session without a word, as a crash would, and opens another one in its time unless it is for good.
func (n *node) drop(forGood bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.gone = n.gone || forGood
	if n.session != nil {
		_ = n.session.conn.Close() // nothing is left to be sent
		n.session, n.at = nil, time.Now()
	}
}

// say sends more over the session.
func (n *node) say(messages []byte) error {
	n.mu.Lock()
	s := n.session
	n.mu.Unlock()
	if s == nil {
		return errors.New("the session of " + n.Addr.String() + " is down")
	}
	return s.send(messages)
}

package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// nodes are the neighbours of a site, all of them in this process.
type nodes struct {
	all      []*node
	byAddr   map[netip.Addr]*node
	listener net.Listener
	news     chan struct{} // capacity 1: a session came up or was lost
	stop     context.CancelFunc
	wg       sync.WaitGroup
}

// startNodes has the neighbours of a rig's site dial and listen from now on. feed is what each says when its session is up.
func startNodes(ctx context.Context, r *rig, feed func(i int) []byte) (*nodes, error) {
	lc := net.ListenConfig{Control: farthest}
	l, err := lc.Listen(ctx, "tcp4", fmt.Sprintf(":%d", nodePort))
	if err != nil {
		return nil, err
	}
	return playNodes(ctx, l, r.site.neighbors, r.listensAt(), feed), nil
}

// playNodes has neighbours of a peer dial it, and take its connections from a listener.
func playNodes(ctx context.Context, l net.Listener, neighbors []neighbor, peer netip.AddrPort, feed func(i int) []byte) *nodes {
	ctx, stop := context.WithCancel(ctx)
	ns := &nodes{byAddr: map[netip.Addr]*node{}, listener: l, news: make(chan struct{}, 1), stop: stop}
	for i, nb := range neighbors {
		n := &node{neighbor: nb, peer: peer, feed: feed(i), news: ns.news, at: time.Now()}
		ns.all = append(ns.all, n)
		ns.byAddr[nb.Addr] = n
	}
	ns.wg.Go(ns.accept)
	for _, n := range ns.all {
		ns.wg.Go(func() { n.keep(ctx) })
	}
	return ns
}

// accept hands connections to the nodes that they are for, until the listener is closed.
func (ns *nodes) accept() {
	for {
		conn, err := ns.listener.Accept()
		if err != nil {
			return
		}
		local, err := netip.ParseAddrPort(conn.LocalAddr().String())
		if n := ns.byAddr[local.Addr()]; err == nil && n != nil {
			ns.wg.Go(func() { n.take(conn) })
			continue
		}
		_ = conn.Close()
	}
}

// allUp waits until every session is up and returns when the last came up.
func (ns *nodes) allUp(ctx context.Context) (time.Time, error) {
	for {
		var last time.Time
		count := 0
		for _, n := range ns.all {
			if at, up := n.up(); up {
				count++
				if at.After(last) {
					last = at
				}
			}
		}
		if count == len(ns.all) {
			return last, nil
		}
		select {
		case <-ns.news:
		case <-ctx.Done():
			return last, fmt.Errorf("waiting for sessions: %w, %d of %d are up", ctx.Err(), count, len(ns.all))
		}
	}
}

// drop ends all sessions at once.
func (ns *nodes) drop(forGood bool) {
	for _, n := range ns.all {
		n.drop(forGood)
	}
}

// close ends everything.
func (ns *nodes) close() error {
	ns.stop()
	err := ns.listener.Close()
	ns.wg.Wait()
	ns.drop(true)
	return err
}

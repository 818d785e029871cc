package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"routed/kernel"
	"routed/peering"
)

var (
	testSelf  = netip.MustParseAddr("9.111.255.21")
	testBIRD  = netip.MustParseAddr("127.0.0.1")
	testNode  = netip.MustParseAddr("9.111.255.77")
	testOwn   = netip.MustParsePrefix("10.1.198.128/26")
	testBlock = netip.MustParsePrefix("20.1.47.128/26")
)

// recorder stands for the speaker and the reconciler and writes down what they are told, in order.
type recorder struct {
	mu    sync.Mutex
	calls []string
	fails int // SetAdvertised fails so many times
}

func (r *recorder) note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, fmt.Sprintf(format, args...))
}

// taken returns what came since the last call.
func (r *recorder) taken() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.calls
	r.calls = nil
	return out
}

func (r *recorder) SetPeers(_ context.Context, peers []peering.Peer) error {
	var addrs []netip.Addr
	for _, p := range peers {
		addrs = append(addrs, p.Addr)
	}
	r.note("peers %v", addrs)
	return nil
}

func (r *recorder) SetAdvertised(_ context.Context, blocks []netip.Prefix) error {
	r.mu.Lock()
	failing := r.fails > 0
	if failing {
		r.fails--
	}
	r.mu.Unlock()
	if failing {
		r.note("advertise fails")
		return errors.New("not now")
	}
	r.note("advertise %v", blocks)
	return nil
}

func (r *recorder) Set(changes []kernel.Change) {
	for _, c := range changes {
		r.note("route %s via %s", c.Route.Prefix, c.Route.NextHop)
	}
}

func (r *recorder) SetLookups(cidrs []netip.Prefix) { r.note("lookups %v", cidrs) }
func (r *recorder) AllowDelete()                    { r.note("allow delete") }

func (r *recorder) expect(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	if got := r.taken(); !slices.Equal(got, want) {
		t.Fatalf("told:\n%q\nwant:\n%q", got, want)
	}
}

// startLoop runs a mesh loop with one BIRD and one remote node inside a synctest bubble.
func startLoop(t *testing.T, left []kernel.Route) (*meshLoop, *recorder) {
	t.Helper()
	rec := &recorder{}
	mesh := peering.NewMesh(peering.Config{
		Cluster: "cluster-1", ASN: 64512, PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")},
		NodeAddrs: []netip.Addr{testSelf}, Retention: time.Hour, ConvergenceDeadline: time.Minute, OwnGrace: 2 * time.Second,
	}, time.Now())
	l := newMeshLoop(mesh, rec, rec, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	l.setRoster(ctx, time.Now(), testRoster())
	l.adopt(ctx, time.Now(), left)
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the loop ended with %v", err)
		}
	})
	return l, rec
}

func testRoster() peering.Roster {
	return peering.Roster{
		BIRD: []peering.Peer{{Addr: testBIRD, Role: peering.RoleBIRD, Cluster: "cluster-1", ASN: 64512, Families: peering.IPv4}},
		Clusters: []peering.Cluster{{
			Name: "cluster-2", PodCIDRs: []netip.Prefix{netip.MustParsePrefix("20.1.0.0/16")},
			Peers: []peering.Peer{{Addr: testNode, Role: peering.RoleRemote, Cluster: "cluster-2", ASN: 64512, Families: peering.IPv4}},
		}},
	}
}

func (l *meshLoop) feed(u peering.Update) {
	u.At = time.Now()
	l.updates <- u
}

func announce(hop netip.Addr, block netip.Prefix) []peering.Announcement {
	return []peering.Announcement{{Prefix: block, NextHop: hop, ASPath: []uint32{}}}
}

func TestRemotePeersWaitForOwnBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, rec := startLoop(t, []kernel.Route{{Prefix: testBlock, NextHop: testNode}})
		rec.expect(t, "lookups [20.1.0.0/16]", "route 20.1.47.128/26 via 9.111.255.77", "peers [127.0.0.1]")

		l.feed(peering.Update{Peer: testBIRD, Session: peering.SessionUp, Families: peering.IPv4, Announce: announce(testSelf, testOwn)})
		rec.expect(t)
		l.feed(peering.Update{Peer: testBIRD, EndOfRIB: peering.IPv4})
		rec.expect(t, "advertise [10.1.198.128/26]", "peers [127.0.0.1 9.111.255.77]")

		l.feed(peering.Update{Peer: testNode, Session: peering.SessionUp, Families: peering.IPv4, Announce: announce(testNode, testBlock)})
		rec.expect(t) // it was there already
		l.feed(peering.Update{Peer: testNode, EndOfRIB: peering.IPv4})
		rec.expect(t, "allow delete")
		l.feed(peering.Update{Peer: testNode, Withdraw: []netip.Prefix{testBlock}})
		rec.expect(t, "route 20.1.47.128/26 via invalid IP")
	})
}

func TestDeadlinesPassWithoutBIRD(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, rec := startLoop(t, nil)
		rec.expect(t, "lookups [20.1.0.0/16]", "peers [127.0.0.1]")
		l.evidence <- []netip.Prefix{testOwn}
		rec.expect(t)
		time.Sleep(2 * time.Second) //nolint:forbidigo // the bubble's clock
		rec.expect(t, "advertise [10.1.198.128/26]", "peers [127.0.0.1 9.111.255.77]")
		time.Sleep(time.Minute) //nolint:forbidigo // the bubble's clock
		rec.expect(t, "allow delete")
	})
}

func TestASetterThatFailsIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, rec := startLoop(t, nil)
		rec.fails = 1
		rec.expect(t, "lookups [20.1.0.0/16]", "peers [127.0.0.1]")
		l.feed(peering.Update{Peer: testBIRD, Session: peering.SessionUp, Families: peering.IPv4, Announce: announce(testSelf, testOwn)})
		l.feed(peering.Update{Peer: testBIRD, EndOfRIB: peering.IPv4})
		rec.expect(t, "advertise fails")
		time.Sleep(retryEvery) //nolint:forbidigo // the bubble's clock
		rec.expect(t, "advertise [10.1.198.128/26]", "peers [127.0.0.1 9.111.255.77]")
	})
}

// A start whose speaker is not there yet must not fail the daemon: the loop tries again once it runs.
func TestASetterThatFailsBeforeTheLoopRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mesh := peering.NewMesh(peering.Config{Cluster: "cluster-1", ASN: 64512}, time.Now())
		l := newMeshLoop(mesh, &failingSpeaker{}, &recorder{}, slog.New(slog.DiscardHandler))
		l.setRoster(t.Context(), time.Now(), testRoster())
		l.tell(t.Context())
		if l.told.peers {
			t.Error("a setter that failed counts as done")
		}
	})
}

type failingSpeaker struct{ recorder }

func (*failingSpeaker) SetPeers(context.Context, []peering.Peer) error {
	return errors.New("not there")
}

func TestRosterChangeReachesEveryone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, rec := startLoop(t, nil)
		l.feed(peering.Update{Peer: testBIRD, Session: peering.SessionUp, Families: peering.IPv4, EndOfRIB: peering.IPv4})
		l.feed(peering.Update{Peer: testNode, Session: peering.SessionUp, Families: peering.IPv4, Announce: announce(testNode, testBlock)})
		synctest.Wait()
		rec.taken()
		r := testRoster()
		r.Clusters = nil
		if err := l.do(t.Context(), func(now time.Time) { l.setRoster(t.Context(), now, r) }); err != nil {
			t.Fatal(err)
		}
		rec.expect(t, "lookups []", "route 20.1.47.128/26 via invalid IP", "allow delete", "peers [127.0.0.1]")
	})
}

func TestQuestionsAfterTheEnd(t *testing.T) {
	l := newMeshLoop(peering.NewMesh(peering.Config{}, time.Now()), nil, nil, nil)
	close(l.ended)
	if err := l.do(t.Context(), func(time.Time) {}); !errors.Is(err, errLoopEnded) {
		t.Errorf("do after the end: %v", err)
	}
}

// The routes are copied while blocks come and go: those that stay are there once each.
func TestRoutesInPieces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _ := startLoop(t, nil)
		const count = 4096
		block := func(i int) netip.Prefix {
			return netip.PrefixFrom(netip.AddrFrom4([4]byte{20, 1, byte(i >> 4), byte(i << 4)}), 28)
		}
		var all []peering.Announcement
		for i := range count {
			all = append(all, announce(testNode, block(i))...)
		}
		l.feed(peering.Update{Peer: testNode, Session: peering.SessionUp, Families: peering.IPv4})
		l.feed(peering.Update{Peer: testNode, Announce: all})
		synctest.Wait()
		go func() {
			for i := 0; i < count; i += 2 {
				l.feed(peering.Update{Peer: testNode, Withdraw: []netip.Prefix{block(i)}})
			}
		}()
		routes, err := l.routes(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		seen := map[netip.Prefix]int{}
		for _, r := range routes {
			seen[r.Prefix]++
		}
		for i := range count {
			if n := seen[block(i)]; n > 1 || i%2 == 1 && n == 0 {
				t.Fatalf("%s is there %d times", block(i), n)
			}
		}
		synctest.Wait()
		if routes, err = l.routes(t.Context()); err != nil || len(routes) != count/2 {
			t.Errorf("%d routes, %v", len(routes), err)
		}
	})
}

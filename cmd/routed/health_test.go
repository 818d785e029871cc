package main

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"routed/kernel"
	"routed/peering"
)

// emptyFIB is a kernel that has nothing, and in which nothing happens.
type emptyFIB struct{ kernel.FIB }

func (emptyFIB) Watch(ctx context.Context, _ uint32) (<-chan []kernel.Event, error) {
	events := make(chan []kernel.Event)
	context.AfterFunc(ctx, func() { close(events) })
	return events, nil
}

func (emptyFIB) Routes(context.Context, uint32, func([]kernel.FIBRoute)) (kernel.Digest, error) {
	return 0, nil
}
func (emptyFIB) Rules(context.Context) ([]kernel.Rule, error)      { return nil, nil }
func (emptyFIB) Topology(context.Context) (kernel.Topology, error) { return kernel.Topology{}, nil }

func (emptyFIB) Apply(ops []kernel.Op) []error { return make([]error, len(ops)) }

func (emptyFIB) Lookup(addrs []netip.Addr) []kernel.Answer { return make([]kernel.Answer, len(addrs)) }

// wantHealth asks a daemon both questions and compares the reasons; empty: all is well.
func wantHealth(t *testing.T, when string, d *daemon, alive, ready string) {
	t.Helper()
	for question, c := range map[string]struct {
		err  error
		want string
	}{"alive": {d.alive(t.Context()), alive}, "ready": {d.ready(t.Context()), ready}} {
		switch {
		case c.err == nil && c.want == "":
		case c.err == nil || c.want == "" || !strings.Contains(c.err.Error(), c.want):
			t.Errorf("%s: %s: %v, want %q", when, question, c.err, c.want)
		}
	}
}

// A daemon starts, and then its loops stop one after the other: /healthz and /readyz say at each step why not.
func TestHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := &recorder{}
		mesh := peering.NewMesh(peering.Config{
			Cluster: "cluster-1", ASN: 64512, PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")},
			NodeAddrs: []netip.Addr{testSelf}, Retention: time.Hour, ConvergenceDeadline: time.Minute, OwnGrace: 2 * time.Second,
		}, time.Now())
		d := &daemon{
			reconciler: kernel.NewReconciler(kernel.Config{Table: 1790, Protocol: 114}, emptyFIB{}),
			loop:       newMeshLoop(mesh, rec, rec, slog.New(slog.DiscardHandler)),
		}
		wantHealth(t, "before the start", d, "the reconciler does not turn", "the kernel's route table has not been read yet")
		kernelEnds := running(t, d.reconciler.Run)
		synctest.Wait()
		wantHealth(t, "with a reconciler alone", d, "the mesh loop does not turn", "the mesh loop did not answer")
		d.loop.setRoster(t.Context(), time.Now(), testRoster())
		meshEnds := running(t, d.loop.Run)
		wantHealth(t, "without BIRD", d, "", "this node's own blocks are not known yet: waiting for the local BIRD")
		d.loop.feed(peering.Update{Peer: testBIRD, Session: peering.SessionUp, Families: peering.IPv4, EndOfRIB: peering.IPv4})
		synctest.Wait()
		wantHealth(t, "with BIRD", d, "", "the first convergence is not over: no End-of-RIB yet from 1 of 1 peers")
		d.loop.feed(peering.Update{Peer: testNode, Session: peering.SessionUp, Families: peering.IPv4, EndOfRIB: peering.IPv4})
		synctest.Wait()
		wantHealth(t, "with everybody", d, "", "")
		meshEnds()
		wantHealth(t, "without the mesh loop", d, "the mesh loop does not turn: "+errLoopEnded.Error(), errLoopEnded.Error())
		kernelEnds()
		wantHealth(t, "without the reconciler", d, "the reconciler does not turn: kernel: the reconciler has stopped", errLoopEnded.Error())
	})
}

// running runs a loop until the function that it returns is called, or the test ends.
func running(t *testing.T, run func(context.Context) error) (end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	ended := false
	end = func() {
		if ended {
			return
		}
		ended = true
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	t.Cleanup(end)
	return end
}

package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"routed/bgp"
	"routed/peering"

	"golang.org/x/sync/errgroup"
)

// StandIn takes a BIRD's place where none can be had: a BGP speaker that announces the node's blocks to the node's
// routed, in either mode and IPv4 alone, while the lab itself puts into the kernel what BIRD would. It is no [Tool] to be
// fetched.
var StandIn = Tool{Package: "stand-in"} //nolint:gochecknoglobals // a constant of struct type

// envStandIn names the settings of a stand-in; the program that finds it set is one (see Enter).
const envStandIn = "ROUTED_LAB_STANDIN"

// readySuffix is added to the settings' path for the file that says they are in force.
const readySuffix = ".ready"

// standInSettings is the stand-in's bird.cfg. It is read again on SIGHUP.
type standInSettings struct {
	Addr    netip.Addr     `json:"addr"`
	ASN     uint32         `json:"asn"`
	Peering Peering        `json:"peering"`
	Peered  bool           `json:"peered"`
	Blocks  []netip.Prefix `json:"blocks"`
}

func readStandIn(path string) (standInSettings, error) {
	var s standInSettings
	data, err := os.ReadFile(path)
	if err != nil {
		return s, err
	}
	err = json.Unmarshal(data, &s)
	return s, err
}

// runStandIn is the stand-in's whole life; it returns its exit status.
func runStandIn(path string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := standIn(ctx, path); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "stand-in:", err)
		return 1
	}
	return 0
}

func standIn(ctx context.Context, path string) error {
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	settings, err := readStandIn(path)
	if err != nil {
		return err
	}
	speaker, err := bgp.NewSpeaker(settings.speakerConfig())
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	updates := make(chan peering.Update)
	g.Go(func() error { return speaker.Run(ctx, updates) })
	g.Go(func() error { return discard(ctx, updates) }) // BIRD is told nothing by routed
	g.Go(func() error {
		for {
			if err := settings.apply(ctx, speaker); err != nil {
				return err
			}
			if err := os.WriteFile(path+readySuffix, nil, 0o644); err != nil {
				return err
			}
			select {
			case <-ctx.Done():
				return nil
			case <-reload:
			}
			if settings, err = readStandIn(path); err != nil {
				return err
			}
		}
	})
	return g.Wait()
}

func discard(ctx context.Context, updates <-chan peering.Update) error {
	for {
		select {
		case <-updates:
		case <-ctx.Done():
			return nil
		}
	}
}

// speakerConfig: like BIRD it has the node's address as its router ID, as the next hop of what it announces, and, like
// BIRD 2 with a `source address`, as the only one it is reached at.
func (s standInSettings) speakerConfig() bgp.Config {
	c := bgp.Config{
		ASN: s.ASN, RouterID: s.Addr, NextHop4: s.Addr,
		Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if s.Peering == Dial {
		c.Listen, c.Port = []netip.Addr{s.Addr}, bgpPort
	}
	return c
}

// apply sets the session with routed, which the speaker takes for a remote daemon, and the blocks.
func (s standInSettings) apply(ctx context.Context, speaker *bgp.Speaker) error {
	var peers []peering.Peer
	if s.Peered {
		p := peering.Peer{
			Addr: loopback(), Role: peering.RoleRemote, ASN: s.ASN, Local: s.Addr,
			MaxHops: 255, Families: peering.IPv4, HoldTime: 90 * time.Second,
		}
		if s.Peering == Accept {
			p.DialPort = RoutedPort
		}
		peers = append(peers, p)
	}
	return errors.Join(speaker.SetPeers(ctx, peers), speaker.SetAdvertised(ctx, s.Blocks))
}

func loopback() netip.Addr { return netip.AddrFrom4([4]byte{127, 0, 0, 1}) }

// startStandIn is StartBIRD for the stand-in.
func (node *Node) startStandIn(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if err := node.configureStandIn(ctx); err != nil {
		return err
	}
	cmd := node.Command(context.WithoutCancel(ctx), self)
	cmd.Env = append(os.Environ(), envStandIn+"="+node.birdFile("standin.json"))
	ready := node.birdFile("standin.json") + readySuffix
	if err := os.Remove(ready); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	p, err := startProcess("stand-in", cmd, node.BIRDLog())
	if err != nil {
		return err
	}
	node.bird.procs = []*process{p}
	// Before it is ready a SIGHUP would end it.
	return WaitFor(ctx, "the stand-in", func(context.Context) error {
		if !p.running() {
			return fmt.Errorf("it ended, see %s: %w", node.BIRDLog(), p.err)
		}
		_, err := os.Stat(ready)
		return err
	})
}

// configureStandIn is reconfigureBIRD for the stand-in: its settings, and the kernel's routes.
func (node *Node) configureStandIn(ctx context.Context) error {
	if err := node.programBlocks(ctx); err != nil {
		return err
	}
	data, err := json.Marshal(standInSettings{
		Addr: node.Spec.Addr, ASN: node.Cluster.ASN, Peering: node.bird.Peering, Peered: node.bird.peered,
		Blocks: node.blocks,
	})
	if err != nil {
		return err
	}
	if err := replaceFile(node.birdFile("standin.json"), data); err != nil {
		return err
	}
	if !node.birdRunning() {
		return nil
	}
	return node.bird.procs[0].cmd.Process.Signal(syscall.SIGHUP)
}

// programBlocks makes the kernels of the cluster hold this node's blocks as its BIRDs would: a blackhole here, a route to
// here on the others. What BIRD has there that is no block any more goes.
func (node *Node) programBlocks(ctx context.Context) error {
	for _, other := range node.net.NodesOf(node.Cluster.Name) {
		routes, err := other.RouteTable(ctx, "main")
		if err != nil {
			return err
		}
		var lines []string
		for _, r := range routes {
			mine := r.Proto == "bird" && (r.Via == node.Spec.Addr || other == node && r.Type == "blackhole")
			if mine && !slices.Contains(node.blocks, r.Dst) {
				lines = append(lines, fmt.Sprintf("route del %s %s proto bird", r.Type, r.Dst))
			}
		}
		for _, b := range node.blocks {
			if slices.ContainsFunc(routes, func(r Route) bool { return r.Dst == b && r.Proto == "bird" }) {
				continue
			}
			if other == node {
				lines = append(lines, fmt.Sprintf("route add blackhole %s proto bird", b))
			} else {
				lines = append(lines, fmt.Sprintf("route add %s via %s dev eth0 proto bird", b, node.Spec.Addr))
			}
		}
		if err := other.batch(ctx, lines...); err != nil {
			return err
		}
	}
	return nil
}

// replaceFile writes a file so that a reader sees the old text or the new, never half of it.
func replaceFile(path string, data []byte) error {
	if err := os.WriteFile(path+".new", data, 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

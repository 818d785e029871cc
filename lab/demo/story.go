package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"routed/lab"
	"routed/lab/play"
)

// What the mesh promises.
const (
	coldStartLimit = 5 * time.Second
	blockLimit     = 300 * time.Millisecond
	repairLimit    = time.Second
)

// show is the play's network and its audience.
type show struct {
	*play.Printer
	net  *lab.Network
	bird lab.BIRD
	cast *play.Cast
}

// story plays every scene in turn and returns the first promise that did not hold.
func story(ctx context.Context, p *play.Printer, cast *play.Cast) (err error) {
	bird, err := cast.BIRD(p)
	if err != nil {
		return err
	}
	if _, err := lab.Ping.Find(); err != nil {
		return err
	}
	net, err := lab.Build(ctx, lab.Seed())
	if err != nil {
		return err
	}
	//nolint:contextcheck // the context may have ended before
	defer func() { err = errors.Join(err, net.Close()) }()
	s := &show{Printer: p, net: net, bird: bird, cast: cast}
	for _, scene := range []func(context.Context) error{
		s.before, s.coldStart, s.meshTables, s.pings, s.newBlock, s.deletedByHand, s.killed, s.status,
	} {
		if err := scene(ctx); err != nil {
			return err
		}
	}
	return nil
}

// before shows the clusters without routed: every kernel has its own cluster's blocks only.
func (s *show) before(ctx context.Context) error {
	s.Scene("Two clusters of three nodes, each with %s as Calico configures it; no routed yet", play.Name(s.bird))
	began := time.Now()
	if err := s.net.StartBIRDs(ctx, s.bird); err != nil {
		return err
	}
	s.Say("the BIRDs of each cluster have told each other their blocks after %s", play.MS(time.Since(began)))
	for _, node := range s.net.Nodes() {
		text, err := node.RouteText(ctx, "main")
		if err != nil {
			return err
		}
		s.Shell(node.Spec.Name, "ip route | grep bird", grep(text, "proto bird"))
	}
	node, pod := s.net.Node("gyliu-icp-1"), netip.MustParseAddr("20.1.47.150")
	for _, ns := range []lab.Namespace{node.Namespace, lab.PodNamespace(node.Spec.Pods[0])} {
		if _, err := ns.Ping(ctx, pod); err == nil {
			return fmt.Errorf("%s reaches %s before there is any route between the clusters", ns, pod)
		}
		s.Held("ping %s from %s fails, as it must", pod, ns)
	}
	return nil
}

func (s *show) coldStart(ctx context.Context) error {
	s.Scene("routed starts on every node (bird.%s)", s.bird.Peering)
	err := lab.Each(ctx, s.net.Nodes(), func(ctx context.Context, node *lab.Node) error { return node.PeerBIRD(ctx) })
	if err != nil {
		return err
	}
	began := time.Now()
	err = lab.Each(ctx, s.net.Nodes(), s.startRouted)
	if err != nil {
		return err
	}
	if err := s.net.WaitMesh(ctx); err != nil {
		return err
	}
	if err := s.inTime(time.Since(began), coldStartLimit, "cold start to the whole mesh in all six kernels"); err != nil {
		return err
	}
	if err := s.net.WaitHealthy(ctx); err != nil {
		return err
	}
	s.Say("every session up and every node healthy after %s", play.MS(time.Since(began)))
	return nil
}

func (s *show) startRouted(ctx context.Context, node *lab.Node) error {
	return node.StartRouted(ctx, s.cast.Routed, s.bird.Peering)
}

// inTime reports a time and fails when it is over the limit.
func (s *show) inTime(took, limit time.Duration, what string) error {
	if took > limit {
		return fmt.Errorf("%s: %s, promised is less than %s", what, play.MS(took), play.MS(limit))
	}
	s.Held("%s: %s (promised: less than %s)", what, play.MS(took), play.MS(limit))
	return nil
}

func (s *show) meshTables(ctx context.Context) error {
	s.Scene("What each kernel now has of the other cluster; nobody typed `ip route add`")
	for _, node := range s.net.Nodes() {
		text, err := node.RouteText(ctx, lab.RoutedTable)
		if err != nil {
			return err
		}
		s.Shell(node.Spec.Name, "ip route show table "+lab.RoutedTable, text)
	}
	return nil
}

func (s *show) pings(ctx context.Context) error {
	s.Scene("Pods reach pods of the other cluster, both ways")
	for _, from := range s.net.Nodes() {
		for _, to := range s.net.RemoteOf(from) {
			pod := to.Spec.Pods[0]
			reply, err := lab.PodNamespace(from.Spec.Pods[0]).Ping(ctx, pod)
			if err != nil {
				return err
			}
			s.Held("%-12s on %-14s -> %-12s on %-14s ttl=%d time=%s", from.Spec.Pods[0], from.Spec.Name,
				pod, to.Spec.Name, reply.TTL, play.MS(reply.RTT))
		}
	}
	from, pod := s.net.Node("gyliu-icp-1"), netip.MustParseAddr("20.1.47.150")
	reply, err := from.Ping(ctx, pod)
	if err != nil {
		return err
	}
	s.Held("the node %s -> %s ttl=%d time=%s, as the document ends", from.Spec.Name, pod, reply.TTL, play.MS(reply.RTT))
	return nil
}

// newBlock has BIRD announce a block and withdraw it, and shows when each remote kernel followed.
func (s *show) newBlock(ctx context.Context) (err error) {
	node, block := s.net.Node("gyliu-ubuntu-1"), netip.MustParsePrefix("20.1.99.0/26")
	s.Scene("Calico gives %s one more block, %s, and takes it back", node.Spec.Name, block)
	monitors, err := s.net.MonitorAll(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, monitors.Close()) }()

	began := time.Now()
	if err := node.AddBlock(ctx, block); err != nil {
		return err
	}
	if err := s.follow(ctx, monitors, node, began, block, false); err != nil {
		return err
	}
	began = time.Now()
	if err := node.RemoveBlock(ctx, block); err != nil {
		return err
	}
	return s.follow(ctx, monitors, node, began, block, true)
}

func (s *show) follow(
	ctx context.Context, monitors lab.Monitors, node *lab.Node, began time.Time, block netip.Prefix, deleted bool,
) error {
	verb := "installed"
	if deleted {
		verb = "removed"
	}
	for _, remote := range s.net.RemoteOf(node) {
		event, err := awaitEvent(ctx, monitors[remote], began, func(e lab.RouteEvent) bool {
			return e.Route.Dst == block && e.Route.Table == lab.RoutedTable && e.Deleted == deleted
		})
		if err != nil {
			return fmt.Errorf("%s on %s: %w", block, remote.Spec.Name, err)
		}
		what := fmt.Sprintf("%s, from `birdc configure` to %s on %s", block, verb, remote.Spec.Name)
		if err := s.inTime(event.At.Sub(began), blockLimit, what); err != nil {
			return err
		}
	}
	return nil
}

// awaitEvent waits for the monitor to have seen an event.
func awaitEvent(
	ctx context.Context, monitor *lab.Monitor, since time.Time, match func(lab.RouteEvent) bool,
) (event lab.RouteEvent, err error) {
	_, err = lab.Within(ctx, 5*time.Second, "the kernel", func(context.Context) error {
		var seen bool
		if event, seen = monitor.First(since, match); !seen {
			return errors.New("no such event")
		}
		return nil
	})
	return event, err
}

func (s *show) deletedByHand(ctx context.Context) (err error) {
	node, block := s.net.Node("gyliu-icp-2"), netip.MustParsePrefix("20.1.47.128/26")
	s.Scene("Somebody deletes a route on %s", node.Spec.Name)
	monitor, err := node.Monitor(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, monitor.Close()) }()
	words := []string{"route", "del", block.String(), "table", lab.RoutedTable}
	began := time.Now()
	if _, err := node.IP(ctx, words...); err != nil {
		return err
	}
	s.Shell(node.Spec.Name, "ip "+strings.Join(words, " "), "")
	var times [2]time.Time
	for i, deleted := range []bool{true, false} {
		event, err := awaitEvent(ctx, monitor, began, func(e lab.RouteEvent) bool {
			return e.Route.Dst == block && e.Deleted == deleted && !e.At.Before(times[0])
		})
		if err != nil {
			return err
		}
		times[i] = event.At
	}
	return s.inTime(times[1].Sub(times[0]), repairLimit, "gone until back, by `ip monitor`")
}

// killed takes a daemon away by SIGKILL and brings it back.
func (s *show) killed(ctx context.Context) (err error) {
	node := s.net.Node("gyliu-ubuntu-1")
	s.Scene("routed on %s is killed with -9", node.Spec.Name)
	monitors, err := s.net.MonitorAll(ctx)
	if err != nil {
		return err
	}
	open := true
	defer func() {
		if open {
			err = errors.Join(err, monitors.Close())
		}
	}()
	if err := s.whileKilled(ctx, node); err != nil {
		return err
	}
	began := time.Now()
	if err := s.startRouted(ctx, node); err != nil {
		return err
	}
	if err := s.net.WaitHealthy(ctx); err != nil {
		return err
	}
	s.Say("started again; every session is back and every node healthy after %s", play.MS(time.Since(began)))
	open = false
	if err := monitors.Close(); err != nil {
		return err
	}
	lost := monitors.Lost(func(r lab.Route) bool { return r.Table == lab.RoutedTable || r.Proto == "bird" })
	if len(lost) > 0 {
		return fmt.Errorf("routes were lost:\n%s", strings.Join(lost, "\n"))
	}
	s.Held("`ip monitor route` on all six nodes: no route lost before, during or after")
	return nil
}

func (s *show) whileKilled(ctx context.Context, node *lab.Node) error {
	if err := node.KillRouted(ctx); err != nil {
		return err
	}
	err := lab.Each(ctx, s.net.RemoteOf(node), func(ctx context.Context, remote *lab.Node) error {
		return lab.WaitFor(ctx, "routed to notice", remote.CheckDegraded)
	})
	if err != nil {
		return err
	}
	for _, remote := range s.net.RemoteOf(node) {
		if _, err := lab.PodNamespace(remote.Spec.Pods[0]).Ping(ctx, node.Spec.Pods[0]); err != nil {
			return fmt.Errorf("while the daemon is away: %w", err)
		}
	}
	s.Held("the other cluster has noticed, and still reaches its pod")
	return s.checkTables(ctx)
}

func (s *show) checkTables(ctx context.Context) error {
	return lab.Each(ctx, s.net.Nodes(), func(ctx context.Context, node *lab.Node) error { return node.CheckMesh(ctx) })
}

func (s *show) status(ctx context.Context) error {
	node := s.net.Node("gyliu-icp-1")
	s.Scene("What routed says of itself")
	out, status, err := node.Routed(ctx, "status")
	if err != nil {
		return err
	}
	s.Shell(node.Spec.Name, "routed status", out)
	if status != 0 {
		return fmt.Errorf("routed status exits %d", status)
	}
	return s.checkTables(ctx)
}

// grep is the lines of text that hold the words.
func grep(text, words string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		if strings.Contains(line, words) {
			out.WriteString(line)
		}
	}
	return out.String()
}

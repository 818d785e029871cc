package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"routed/lab"
	"routed/lab/play"
)

// show is the play's network, its pods and its audience.
type show struct {
	*play.Printer
	opts     *options
	net      *lab.Network
	bird     lab.BIRD
	pods     []pod
	programs *running
	reader   reader
}

// scene is one of the story's. Each stands on the one before.
type scene struct {
	name string
	play func(context.Context) error
}

func (s *show) script() []scene {
	return []scene{{"before", s.before}, {"mesh", s.mesh}, {"evenly", s.evenly}, {"cut", s.cut}, {"healed", s.healed}}
}

// story plays every scene in turn and returns the first promise that did not hold.
func story(ctx context.Context, p *play.Printer, o *options, dir string) (err error) {
	s, err := raise(ctx, p, o, dir)
	if err != nil {
		return err
	}
	//nolint:contextcheck // the context may have ended before
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.scenes(ctx); err != nil || !o.serve {
		return err
	}
	if err := os.Symlink(socketIn(dir), servedIn(dir)); err != nil {
		return err
	}
	s.Scene("The page is at http://%s/productpage; Ctrl-C ends it", o.listen)
	<-ctx.Done()
	return nil
}

// raise builds the network and starts what runs in the pods; dir is for the gateway's socket and the logs.
func raise(ctx context.Context, p *play.Printer, o *options, dir string) (_ *show, err error) {
	bird, err := o.cast.BIRD(p)
	if err != nil {
		return nil, err
	}
	s := &show{Printer: p, opts: o, bird: bird, pods: bookinfo(o.ratings, socketIn(dir)), reader: newReader(socketIn(dir))}
	if s.net, err = lab.Build(ctx, topology(s.pods)); err != nil {
		return nil, err
	}
	if s.programs, err = start(ctx, o.bookinfo, dir, s.pods); err != nil {
		return nil, errors.Join(err, s.net.Close()) //nolint:contextcheck // the context may have ended before
	}
	return s, nil
}

func (s *show) close() error { return errors.Join(s.programs.close(), s.net.Close()) }

// scenes are bounded in time; what is served afterwards is not.
func (s *show) scenes(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, playTimeout)
	defer cancel()
	for _, scene := range s.script() {
		if err := scene.play(ctx); err != nil {
			return fmt.Errorf("in the scene %q: %w", scene.name, err)
		}
	}
	return nil
}

// before shows Bookinfo in two clusters that do not reach each other.
func (s *show) before(ctx context.Context) error {
	s.Scene("Bookinfo in two clusters with %s: reviews-v3 in cluster-2, everything else as `--ratings %s` says; no routed yet",
		play.Name(s.bird), s.opts.ratings)
	if err := s.net.StartBIRDs(ctx, s.bird); err != nil {
		return err
	}
	for _, p := range s.pods {
		s.Say("%-15s %-13s on %-14s of %s", p.name, p.addr, p.node, p.cluster)
	}
	err := lab.WaitFor(ctx, "the product page", func(ctx context.Context) error {
		_, err := s.reader.open(ctx)
		return err
	})
	if err != nil {
		return err
	}
	return s.opensCut(ctx, "every third page, v3's turn, has no reviews")
}

// mesh starts routed everywhere.
func (s *show) mesh(ctx context.Context) error {
	s.Scene("routed starts on every node (bird.%s)", s.bird.Peering)
	began := time.Now()
	err := lab.Each(ctx, s.net.Nodes(), func(ctx context.Context, node *lab.Node) error {
		if err := node.PeerBIRD(ctx); err != nil {
			return err
		}
		return node.StartRouted(ctx, s.opts.cast.Routed, s.bird.Peering)
	})
	if err != nil {
		return err
	}
	if err := s.net.WaitMesh(ctx); err != nil {
		return err
	}
	if err := s.net.WaitHealthy(ctx); err != nil {
		return err
	}
	s.Held("all six nodes have the whole mesh and are healthy after %s", play.MS(time.Since(began)))
	return nil
}

// evenly is where the document ends.
func (s *show) evenly(ctx context.Context) error {
	s.Scene("The page is opened %d times", s.opts.requests)
	return s.opensEvenly(ctx)
}

func (s *show) opensEvenly(ctx context.Context) error {
	spread, err := s.reader.read(ctx, s.opts.requests, s.pods)
	if err != nil {
		return err
	}
	s.Say("%s", spread.line())
	if err := spread.even(); err != nil {
		return err
	}
	v3, ratings := find(s.pods, "reviews-v3"), find(s.pods, "ratings-v1")
	s.Held("evenly; every red star was asked for by %s in %s, of %s in %s", v3.addr, v3.cluster, ratings.addr, ratings.cluster)
	return nil
}

// opensCut opens the page while v3 cannot be reached: fewer times, since each turn of v3 is waited for.
func (s *show) opensCut(ctx context.Context, what string) error {
	const pages = 6
	spread, err := s.reader.read(ctx, pages, s.pods)
	if err != nil {
		return err
	}
	s.Say("%s", spread.line())
	if err := spread.cut(); err != nil {
		return err
	}
	s.Held("%s; v1 and v2 go on", what)
	return nil
}

// cut takes the routes of reviews-v3's node away, as on a node where nobody ever typed them.
func (s *show) cut(ctx context.Context) error {
	node := s.net.Node(find(s.pods, "reviews-v3").node)
	s.Scene("On %s, the node of reviews-v3, routed is stopped and its routes are removed", node.Spec.Name)
	if err := node.StopRouted(ctx); err != nil {
		return err
	}
	out, status, err := node.Routed(ctx, "flush", "--config", node.RoutedConfigPath())
	if err == nil && status != 0 {
		err = fmt.Errorf("routed flush exits %d: %s", status, out)
	}
	if err != nil {
		return err
	}
	s.Shell(node.Spec.Name, "systemctl stop routed; routed flush --config /etc/routed/routed.yaml", out)
	if err := s.opensCut(ctx, "the packets to reviews-v3 arrive, its answers have no way back: no reviews when it is v3's turn"); err != nil {
		return err
	}
	return s.noticed(ctx)
}

// noticed shows what the other cluster's daemon says of it.
func (s *show) noticed(ctx context.Context) error {
	asked := s.net.Node("gyliu-icp-1")
	if err := lab.WaitFor(ctx, "routed to notice", asked.CheckDegraded); err != nil {
		return err
	}
	out, _, err := asked.Routed(ctx, "status")
	if err != nil {
		return err
	}
	problems, _, _ := strings.Cut(out, "THIS NODE")
	s.Shell(asked.Spec.Name, "routed status | head", strings.TrimSpace(problems))
	return nil
}

// healed starts the daemon again.
func (s *show) healed(ctx context.Context) error {
	node := s.net.Node(find(s.pods, "reviews-v3").node)
	s.Scene("routed starts again on %s", node.Spec.Name)
	if err := node.StartRouted(ctx, s.opts.cast.Routed, s.bird.Peering); err != nil {
		return err
	}
	if err := s.net.WaitHealthy(ctx); err != nil {
		return err
	}
	return s.opensEvenly(ctx)
}

package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"routed/lab"
)

const (
	rigLimit     = 20 * time.Second // to build or to remove a rig
	sessionLimit = 30 * time.Second // for a daemon to be ready for its session
	installLimit = 2 * time.Minute
	senderLink   = "sender0"
	senderMAC    = "02:00:00:00:00:01"
)

// rig is one competitor in a fresh network namespace of its own, on a link to the sender in ours.
type rig struct {
	competitor
	site     site
	ns       lab.Namespace
	dir      string
	shell    *ipShell
	children []*child
	speaker  *speaker
	bird     *speaker // the receiver's BIRD, where the competitor has a session with one; nil otherwise
	counter  *counter
}

// newRig makes the namespace and the link. The daemon does not run yet.
func newRig(ctx context.Context, c competitor, s site, parent string) (*rig, error) {
	dir, err := os.MkdirTemp(parent, c.id+"-")
	if err != nil {
		return nil, err
	}
	r := &rig{competitor: c, site: s, dir: dir, ns: lab.Namespace("receiver-" + filepath.Base(dir))}
	ctx, cancel := context.WithTimeout(ctx, rigLimit)
	defer cancel()
	if err := r.build(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", c.name, err), r.close()) //nolint:contextcheck // its context may have ended
	}
	return r, nil
}

func (r *rig) build(ctx context.Context) error {
	lines := []string{
		"netns add " + string(r.ns),
		"link add " + senderLink + " address " + senderMAC + " type veth peer name eth0 netns " + string(r.ns),
		"link set " + senderLink + " up",
	}
	if err := ip(ctx, append(lines, r.site.sender...)...); err != nil {
		return err
	}
	var err error
	if r.shell, err = startIPShell(ctx, r.ns, filepath.Join(r.dir, "ip.out")); err != nil {
		return err
	}
	err = r.shell.do("link set lo up", fmt.Sprintf("address add %s dev eth0", r.site.receiver), "link set eth0 up")
	if err != nil {
		return err
	}
	if err := lab.WaitFor(ctx, "the link", r.linked); err != nil {
		return err
	}
	return r.introduce(ctx)
}

// linked returns nil once the receiver's side of the link carries.
func (r *rig) linked(ctx context.Context) error {
	out, err := r.ns.IP(ctx, "-o", "link", "show", "dev", "eth0", "up")
	if err == nil && out == "" {
		err = errors.New("eth0 is down")
	}
	return err
}

// introduce makes the neighbours permanent ones of the receiver's kernel. What it learns by ARP is bounded for the whole
// host, by net.ipv4.neigh.default.gc_thresh3, which is 1,024 by default.
func (r *rig) introduce(ctx context.Context) error {
	var lines []string
	for _, n := range r.site.neighbors {
		lines = append(lines, fmt.Sprintf("neighbor replace %s lladdr %s dev eth0 nud permanent", n.Addr, senderMAC))
	}
	return ipIn(ctx, r.ns, lines...)
}

// launch starts the daemon, and the session with the BIRD of its node where there is one.
func (r *rig) launch(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, sessionLimit)
	defer cancel()
	var err error
	if r.children, err = r.start(ctx, r); err != nil {
		return fmt.Errorf("starting %s: %w", r.name, err)
	}
	if r.withBIRD {
		if err := r.beginBIRD(ctx); err != nil {
			return errors.Join(fmt.Errorf("%s: its BIRD: %w", r.name, err), r.alive())
		}
	}
	return nil
}

// begin starts the daemon and opens the session with it.
func (r *rig) begin(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, sessionLimit)
	defer cancel()
	err := r.launch(ctx)
	if err != nil {
		return err
	}
	if r.speaker, err = dialSpeaker(ctx, senderAddr(), r.listensAt()); err != nil {
		return errors.Join(fmt.Errorf("%s: %w", r.name, err), r.alive())
	}
	return r.count()
}

// count begins to count routes: those that are there by now do not.
func (r *rig) count() (err error) {
	r.counter, err = newCounter(r.shell.cmd.Process.Pid, r.trie)
	return err
}

// listensAt is where the daemon waits for connections.
func (r *rig) listensAt() netip.AddrPort { return netip.AddrPortFrom(r.site.receiver.Addr(), r.port) }

// beginBIRD opens the session of the receiver's BIRD, which has one block and speaks from within the node.
func (r *rig) beginBIRD(ctx context.Context) error {
	err := r.ns.Do(func() (err error) {
		r.bird, err = dialSpeaker(ctx, r.site.receiver.Addr(), netip.AddrPortFrom(loopback(), r.port))
		return err
	})
	if err != nil {
		return err
	}
	own := []netip.Prefix{netip.MustParsePrefix("10.1.0.0/26")}
	return r.bird.send(append(updateMessages(own, r.site.receiver.Addr()), endOfRIB()...))
}

// alive returns nil as long as every process and the sessions are there.
func (r *rig) alive() error {
	var errs []error
	for _, c := range r.children {
		errs = append(errs, c.alive())
	}
	for _, s := range []*speaker{r.speaker, r.bird} {
		if s != nil {
			errs = append(errs, s.alive())
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("%s: %w", r.name, err)
	}
	return nil
}

// usage is what the competitor's processes have used together.
func (r *rig) usage() (usage, error) {
	var sum usage
	for _, c := range r.children {
		u, err := readUsage(c.pid())
		if err != nil {
			return sum, fmt.Errorf("%s: %w", r.name, err)
		}
		sum = sum.plus(u)
	}
	return sum, nil
}

// close ends everything.
func (r *rig) close() error {
	var errs []error
	for _, s := range []*speaker{r.speaker, r.bird} {
		if s != nil {
			s.close()
		}
	}
	for i := len(r.children) - 1; i >= 0; i-- {
		if r.children[i] != nil {
			errs = append(errs, r.children[i].stop())
		}
	}
	if r.shell != nil {
		r.shell.close()
	}
	return errors.Join(append(errs, r.unbuild())...)
}

// unbuild removes the link, and with it the routes, and then the namespace, which the kernel frees when it comes to it:
// an orphaned TCP connection may keep it for a while.
func (r *rig) unbuild() error {
	ctx, cancel := context.WithTimeout(context.Background(), rigLimit)
	defer cancel()
	return errors.Join(ip(ctx, "link del "+senderLink), ip(ctx, "netns del "+string(r.ns)))
}

package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
)

// ReflectorSpec declares a route reflector on the LAN. A topology that has some reaches its remote clusters through
// all of them, and through nothing else.
type ReflectorSpec struct {
	Name   string // also of its network namespace
	Addr   netip.Addr
	Tool   Tool   // FRR, BIRD2 or GoBGP
	Config string // of bgpd, of BIRD or, as TOML, of gobgpd
}

// Reflector is one route reflector of a network. Its methods act in its namespace.
type Reflector struct {
	Namespace
	Spec  ReflectorSpec
	Dir   string
	procs []*process
}

// Start starts what the reflector consists of.
func (r *Reflector) Start(ctx context.Context) error {
	if len(r.procs) > 0 {
		return fmt.Errorf("%s runs already", r.Spec.Name)
	}
	found, err := r.Spec.Tool.Find()
	if err != nil {
		return err
	}
	if err := os.WriteFile(r.configPath(), []byte(r.Spec.Config), 0o644); err != nil {
		return err
	}
	switch r.Spec.Tool {
	case FRR:
		return r.startFRR(ctx, found)
	case BIRD2:
		return r.start(ctx, found, "usr/sbin/bird",
			"-f", "-c", r.configPath(), "-s", filepath.Join(r.Dir, "bird.ctl"), "-P", filepath.Join(r.Dir, "bird.pid"))
	case GoBGP:
		return r.start(ctx, found, "usr/bin/gobgpd", "-f", r.configPath(), "-t", "toml", "--api-hosts", "127.0.0.1:50051")
	default:
		return fmt.Errorf("%s: %s is no reflector", r.Spec.Name, r.Spec.Tool.Package)
	}
}

func (r *Reflector) start(ctx context.Context, found Found, program string, args ...string) error {
	cmd := r.Command(context.WithoutCancel(ctx), found.Path(program), args...)
	cmd.Env = append(os.Environ(), found.Env()...)
	p, err := startProcess(filepath.Base(program), cmd, r.Log())
	if err != nil {
		return err
	}
	r.procs = append(r.procs, p)
	return nil
}

// Kill ends the reflector by SIGKILL.
func (r *Reflector) Kill(ctx context.Context) error { return r.endAll(ctx, syscall.SIGKILL) }

// Stop ends the reflector in order.
func (r *Reflector) Stop(ctx context.Context) error { return r.endAll(ctx, syscall.SIGTERM) }

// endAll ends what was started last first.
func (r *Reflector) endAll(ctx context.Context, sig syscall.Signal) error {
	var errs []error
	for i := len(r.procs) - 1; i >= 0; i-- {
		if p := r.procs[i]; sig == syscall.SIGKILL {
			errs = append(errs, p.kill(ctx))
		} else {
			errs = append(errs, p.end(ctx, sig))
		}
	}
	r.procs = nil
	return errors.Join(errs...)
}

// Running reports whether all that was started is still there.
func (r *Reflector) Running() bool {
	for _, p := range r.procs {
		if !p.running() {
			return false
		}
	}
	return len(r.procs) > 0
}

// Log is the path of what its programs wrote, in all their runs.
func (r *Reflector) Log() string { return filepath.Join(r.Dir, "reflector.log") }

func (r *Reflector) configPath() string { return filepath.Join(r.Dir, "reflector.conf") }

// Reflectors lists the reflectors of the network.
func (n *Network) Reflectors() []*Reflector { return n.reflectors }

// newReflectors makes their folders.
func newReflectors(t Topology, dir string) ([]*Reflector, error) {
	var out []*Reflector
	for _, spec := range t.Reflectors {
		r := &Reflector{Namespace: Namespace(spec.Name), Spec: spec, Dir: filepath.Join(dir, spec.Name)}
		if err := os.Mkdir(r.Dir, 0o755); err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// build gives the reflector its address. It is a router that forwards nothing.
func (r *Reflector) build(ctx context.Context, lan netip.Prefix) error {
	return r.batch(ctx,
		"link set lo up",
		fmt.Sprintf("address add %s/%d dev eth0", r.Spec.Addr, lan.Bits()),
		"link set eth0 up")
}

func (r *Reflector) killAll() {
	for _, p := range r.procs {
		if p.running() {
			_ = p.cmd.Process.Kill() // gone already is as good
			<-p.done
		}
	}
}

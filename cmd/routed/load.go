package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"

	"routed/config"
	"routed/filewatch"
	"routed/kernel"
	"routed/peering/roster"
	"routed/peering/roster/kube"
)

// loaded is a configuration, all that the files it names say, and the host as it was then.
type loaded struct {
	cfg     *config.Config
	sources sources
	host    host

	files []string // what all this was read from
	sums  filewatch.Sums
}

// sources is what the files that a configuration names say of the remote nodes, by the remote's name.
type sources struct {
	listed map[string][]netip.Addr  // in the hosts file, for config.Check
	nodes  map[string][]roster.Node // in the configuration and in the hosts file
	apis   map[string]*kube.Target  // for remotes whose nodes come from an API
}

// facts is what of the host a configuration depends on.
type facts interface {
	DefaultAddress(ctx context.Context, ipv6 bool) (netip.Addr, error)
	Topology(ctx context.Context) (kernel.Topology, error)
	Close() error
}

// ask opens a way to the facts, to be closed; askKernel is the one outside of tests.
type ask func() (facts, error)

func askKernel() (facts, error) {
	fib, err := kernel.NewNetlink()
	if err != nil {
		return nil, fmt.Errorf("the kernel cannot be asked for this host's addresses: %w", err)
	}
	return fib, nil
}

// openKernel is for commands that work on the kernel as a configuration says: it reads the one and opens the other, which
// the caller closes.
func openKernel(ctx context.Context, path string) (*config.Config, *kernel.Netlink, error) {
	fib, err := kernel.NewNetlink()
	if err != nil {
		return nil, nil, fmt.Errorf("the kernel's route tables cannot be reached: %w", err)
	}
	cfg, err := loadConfig(ctx, path, fib)
	if err != nil {
		return nil, nil, errors.Join(err, fib.Close())
	}
	return cfg, fib, nil
}

// topology is the host's links and addresses now.
func (a ask) topology(ctx context.Context) (kernel.Topology, error) {
	host, err := a()
	if err != nil {
		return kernel.Topology{}, err
	}
	defer host.Close()
	return host.Topology(ctx)
}

// load reads the configuration and the files it names. When it fails, it has the files all the same: mending one of
// them can be what it takes. besides are further files whose sums are of interest.
func (a ask) load(ctx context.Context, path string, besides ...string) (*loaded, error) {
	l := &loaded{files: watchedFiles(path)}
	l.sums = filewatch.Sum(slices.Concat(l.files, besides)) // before anything is read
	host, err := a()
	if err != nil {
		return l, err
	}
	defer host.Close()
	if l.cfg, err = loadConfig(ctx, path, host); err != nil {
		return l, err
	}
	if l.host.links, err = host.Topology(ctx); err != nil {
		return l, err
	}
	l.sources, err = readSources(l.cfg)
	return l, errors.Join(err, l.host.ownAddressErrors(l.cfg))
}

// loadConfig reads the configuration alone.
func loadConfig(ctx context.Context, path string, host facts) (*config.Config, error) {
	return config.Load(path, config.Env{
		Getenv:         os.Getenv,
		DefaultAddress: func(ipv6 bool) (netip.Addr, error) { return host.DefaultAddress(ctx, ipv6) },
	})
}

// watchedFiles lists every file that a load reads: those that the configuration names, and those that these name.
func watchedFiles(path string) []string {
	files, kubeconfigs := config.Named(path, config.Env{})
	for _, k := range kubeconfigs {
		files = append(files, kube.Files(k)...)
	}
	slices.Sort(files)
	return slices.Compact(files)
}

// readSources reads the rosters that are files, and the kubeconfigs. Its error joins all that is wrong.
func readSources(cfg *config.Config) (sources, error) {
	s := sources{listed: map[string][]netip.Addr{}, nodes: map[string][]roster.Node{}, apis: map[string]*kube.Target{}}
	var errs []error
	for i, remote := range cfg.Remotes {
		nodes, err := s.readFile(remote)
		if err != nil {
			errs = append(errs, fmt.Errorf("remotes[%d].nodes.hostsFile: %w", i, err))
		}
		for _, a := range remote.Nodes.Addresses {
			nodes = append(nodes, roster.Node{Addr: a})
		}
		s.nodes[remote.Name] = roster.Merge(nodes)
		if k := remote.Nodes.Kubernetes; k.Used() {
			s.apis[remote.Name], err = kube.Load(kube.Settings(k))
			if err != nil {
				errs = append(errs, fmt.Errorf("remotes[%d].nodes.kubernetes: %w", i, err))
			}
		}
	}
	return s, errors.Join(errs...)
}

func (s *sources) readFile(remote config.Remote) ([]roster.Node, error) {
	if remote.Nodes.HostsFile == "" {
		return nil, nil
	}
	nodes, err := roster.Read(remote.Nodes.HostsFile)
	s.listed[remote.Name] = addresses(nodes)
	return nodes, err
}

func addresses(nodes []roster.Node) []netip.Addr {
	out := make([]netip.Addr, len(nodes))
	for i, n := range nodes {
		out[i] = n.Addr
	}
	return out
}

package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"

	"routed/bgp"
	"routed/config"
	"routed/doctor"
	"routed/kernel"
	"routed/peering/roster"
	"routed/snat"

	"github.com/spf13/cobra"
)

func newDoctorCommand() *cobra.Command {
	var path, output string
	cmd := &cobra.Command{
		Use:   "doctor --config FILE",
		Short: "Check this host for what breaks pod traffic between clusters",
		Long: "Checks this host for what breaks pod traffic between clusters, the worst first, and says how to mend each. It changes\n" +
			"nothing and needs no daemon.\n\n" +
			"Exit status: 0 no check failed (there may be warnings), 1 a check failed or nothing could be checked.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runDoctor(cmd, path, output) },
	}
	configFlag(cmd, &path)
	outputFlag(cmd, &output)
	return cmd
}

// doctorSources are where this host is read from.
func doctorSources(cfg *config.Config, fib *kernel.Netlink) doctor.Sources {
	proc := os.DirFS("/proc")
	return doctor.Sources{
		Config: cfg, Owned: kernelConfig(cfg, nil, nil), FIB: fib, Proc: proc, UID: os.Geteuid(),
		NAT: snat.Host{Proc: proc, Programs: []string{"/usr/sbin", "/sbin"}}.Read, Neighbors: fib.Neighbors,
	}
}

// keyRoom is about the peers that a daemon would start with: a list that comes from an API is the one that was kept.
func keyRoom(ctx context.Context, cfg *config.Config, host facts) (doctor.KeyRoom, error) {
	l := &loaded{cfg: cfg}
	var err error
	if l.sources, err = readSources(cfg); err != nil {
		return doctor.KeyRoom{}, err
	}
	if l.host.links, err = host.Topology(ctx); err != nil {
		return doctor.KeyRoom{}, err
	}
	kept := newRosters(slog.New(slog.DiscardHandler)).known(roster.Store{Dir: cfg.State.Directory}, l.sources.apis)
	r, err := l.resolve(kept)
	if err != nil {
		return doctor.KeyRoom{}, err
	}
	room, err := bgp.NewKeyRoom(r.Peers())
	return doctor.KeyRoom(room), err
}

func runDoctor(cmd *cobra.Command, path, output string) error {
	if err := checkOutput(output); err != nil {
		return err
	}
	cfg, fib, err := openKernel(cmd.Context(), path)
	if err != nil {
		return err
	}
	defer fib.Close()
	host := doctor.Look(cmd.Context(), doctorSources(cfg, fib))
	host.KeyRoom.Value, host.KeyRoom.Err = keyRoom(cmd.Context(), cfg, fib)
	report := doctor.Examine(host)
	out := cmd.OutOrStdout()
	if output == "json" {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		err = enc.Encode(report)
	} else {
		err = report.Text(out, colored(out))
	}
	if err == nil && report.Failed() {
		err = &exitError{code: exitFailed}
	}
	return err
}

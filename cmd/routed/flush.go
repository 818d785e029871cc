package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"routed/config"
	"routed/guard"
	"routed/kernel"
	"routed/peering/roster"

	"github.com/spf13/cobra"
)

func newFlushCommand() *cobra.Command {
	var path string
	var state, stay bool
	cmd := &cobra.Command{
		Use:   "flush --config FILE",
		Short: "Remove every route, rule and packet filter that routed owns",
		Long: "Removes every route and rule that routed owns, and its nftables table, for uninstalling. It touches nothing else. Stop the\n" +
			"daemon first: a running one puts everything back.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, fib, err := openKernel(cmd.Context(), path)
			if err != nil {
				return err
			}
			defer fib.Close()
			err = flushKernel(cmd.Context(), cmd.OutOrStdout(), cfg, fib)
			if state {
				err = errors.Join(err, flushState(cmd.OutOrStdout(), cfg))
			}
			if err == nil && stay {
				fmt.Fprintln(cmd.OutOrStdout(), "waiting for SIGTERM")
				<-cmd.Context().Done()
			}
			return err
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().BoolVar(&state, "state", false, "also remove the lists of nodes that are kept in state.directory")
	cmd.Flags().BoolVar(&stay, "stay", false, "do not end when all is removed, but wait for SIGTERM, as the pods of a DaemonSet must")
	return cmd
}

// flushKernel removes everything of ours from the kernel, as much of it as goes.
func flushKernel(ctx context.Context, out io.Writer, cfg *config.Config, fib *kernel.Netlink) error {
	removed, err := kernel.Flush(ctx, kernelConfig(cfg, nil, nil), fib)
	fmt.Fprintf(out, "removed %d routes (table %d, protocol %d) and %d rules\n",
		removed.Routes, cfg.Kernel.Table, cfg.Kernel.Protocol, removed.Rules)
	guarded, guardErr := guard.Flush()
	if guarded {
		fmt.Fprintln(out, "removed the guard in front of the BGP port (nftables table inet routed)")
	}
	return errors.Join(err, guardErr)
}

// flushState forgets the nodes of every remote cluster.
func flushState(out io.Writer, cfg *config.Config) error {
	store := roster.Store{Dir: cfg.State.Directory}
	var errs []error
	for _, remote := range cfg.Remotes {
		errs = append(errs, store.Remove(remote.Name))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	fmt.Fprintf(out, "removed the lists of nodes in %s\n", cfg.State.Directory)
	return nil
}

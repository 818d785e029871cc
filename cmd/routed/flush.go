package main

import (
	"errors"
	"fmt"

	"routed/guard"
	"routed/kernel"

	"github.com/spf13/cobra"
)

func newFlushCommand() *cobra.Command {
	var path string
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
			removed, err := kernel.Flush(cmd.Context(), kernelConfig(cfg, nil, nil), fib)
			fmt.Fprintf(cmd.OutOrStdout(), "removed %d routes (table %d, protocol %d) and %d rules\n",
				removed.Routes, cfg.Kernel.Table, cfg.Kernel.Protocol, removed.Rules)
			guarded, guardErr := guard.Flush()
			if guarded {
				fmt.Fprintln(cmd.OutOrStdout(), "removed the guard in front of the BGP port (nftables table inet routed)")
			}
			return errors.Join(err, guardErr)
		},
	}
	configFlag(cmd, &path)
	return cmd
}

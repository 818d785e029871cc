package main

import (
	"fmt"

	"routed/kernel"

	"github.com/spf13/cobra"
)

func newFlushCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "flush --config FILE",
		Short: "Remove every route and rule that routed owns",
		Long: "Removes every route and rule that routed owns, for uninstalling. It touches nothing else. Stop the daemon first: a\n" +
			"running one puts everything back.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			fib, err := kernel.NewNetlink()
			if err != nil {
				return fmt.Errorf("the kernel's route tables cannot be reached: %w", err)
			}
			defer fib.Close()
			cfg, err := loadConfig(cmd.Context(), path, fib)
			if err != nil {
				return err
			}
			removed, err := kernel.Flush(cmd.Context(), kernelConfig(cfg, nil, nil), fib)
			fmt.Fprintf(cmd.OutOrStdout(), "removed %d routes (table %d, protocol %d) and %d rules\n",
				removed.Routes, cfg.Kernel.Table, cfg.Kernel.Protocol, removed.Rules)
			return err
		},
	}
	configFlag(cmd, &path)
	return cmd
}

package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"
)

// Set by the linker (`-X main.version=…`, see the Makefile); what stands here is a build by hand.
var (
	version  = "devel"
	revision = "unknown" //nolint:gochecknoglobals // the linker sets it
)

func newVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "routed %s\ncommit:   %s\ngo:       %s\nplatform: %s/%s\n",
				version, revision, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}

// Command routed keeps the pod routes between Kubernetes clusters: on each node it learns the node's pod blocks from the
// local BIRD over BGP, exchanges them with the daemons of other clusters, and keeps the kernel's table to match.
//
// This package holds the commands and the wiring. It decides nothing: what is believed is decided in package peering, how
// it gets into the kernel in package kernel.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// Exit codes, beside 0.
const (
	exitFailed      = 1 // the command failed, or what it looked at is not good
	exitUnreachable = 2 // the daemon does not answer
)

// exitError is an error with an exit code of its own. A nil err exits silently: the output has said it all.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := execute(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// execute runs one command line and returns its exit code.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRootCommand() //nolint:contextcheck // the commands get ctx by ExecuteContext
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	var exit *exitError
	if !errors.As(err, &exit) {
		exit = &exitError{code: exitFailed, err: err}
	}
	if exit.err != nil {
		fmt.Fprintf(stderr, "routed: %v\n", exit.err)
	}
	return exit.code
}

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "routed",
		Short: "Pod routes between Kubernetes clusters, on every node",
		Long: "routed keeps the routes to the pods of other clusters in this node's kernel. It learns the node's own pod\n" +
			"blocks from the local BIRD and exchanges them with the daemons of the other clusters.",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
	}
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp) // no argument of ours is a file
	root.AddCommand(
		newRunCommand(), newCheckCommand(), newStatusCommand(), newPeersCommand(), newRoutesCommand(), newWhyCommand(),
		newPlanCommand(), newDoctorCommand(), newCalicoCommand(), newICPCommand(), newFlushCommand(), newVersionCommand(),
	)
	return root
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"routed/admin"
	"routed/admin/text"

	"github.com/spf13/cobra"
)

// defaultSocket is where a daemon with a default configuration listens.
const defaultSocket = "/run/routed/routed.sock"

// answerWithin is how long a command waits for the daemon.
const answerWithin = 10 * time.Second

// queryFlags are those of the commands that ask the running daemon.
type queryFlags struct {
	socket string
	output string
}

func (f *queryFlags) register(cmd *cobra.Command) {
	socket := os.Getenv("ROUTED_SOCKET")
	if socket == "" {
		socket = defaultSocket
	}
	cmd.Flags().StringVar(&f.socket, "socket", socket, "the daemon's admin socket; $ROUTED_SOCKET")
	outputFlag(cmd, &f.output)
	_ = cmd.RegisterFlagCompletionFunc("socket", cobra.FixedCompletions(nil, cobra.ShellCompDirectiveDefault)) // a file
}

// outputFlag is --output of the commands that print text or JSON.
func outputFlag(cmd *cobra.Command, output *string) {
	cmd.Flags().StringVarP(output, "output", "o", "text", "text or json")
	completeWords(cmd, "output", "text", "json")
}

func checkOutput(output string) error {
	if output != "text" && output != "json" {
		return fmt.Errorf("--output %q: must be text or json", output)
	}
	return nil
}

// client checks the flags and makes the client.
func (f *queryFlags) client() (*admin.Client, error) {
	if err := checkOutput(f.output); err != nil {
		return nil, err
	}
	return admin.NewClient(f.socket), nil
}

// show asks the daemon and prints its answer, as JSON or as text.
func show[T any](
	cmd *cobra.Command, f *queryFlags,
	ask func(context.Context, *admin.Client) (T, error), render func(io.Writer, T, text.Options) error,
) (T, error) {
	var answer T
	client, err := f.client()
	if err != nil {
		return answer, err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), answerWithin)
	defer cancel()
	answer, err = ask(ctx, client)
	switch {
	case errors.Is(err, admin.ErrUnreachable):
		return answer, &exitError{code: exitUnreachable, err: err}
	case err != nil:
		return answer, err
	}
	out := cmd.OutOrStdout()
	if f.output == "json" {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		return answer, enc.Encode(answer)
	}
	return answer, render(out, answer, text.Options{Colour: colored(out)})
}

func newStatusCommand() *cobra.Command {
	var f queryFlags
	var w watchFlags
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show how this node is, problems first",
		Long: "Shows how this node is, problems first.\n\n" +
			"With --watch it looks again and again, also while the daemon restarts, until Ctrl-C or SIGTERM: on a terminal each\n" +
			"picture is written over the one before; elsewhere they follow each other, in JSON a line each.\n\n" +
			"Exit status: 0 healthy, 1 there are problems, 2 the daemon is not reachable; with --watch, what the last look found.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := w.check(cmd); err != nil {
				return err
			}
			if w.watch {
				client, err := f.client()
				if err != nil {
					return err
				}
				return watchStatus(cmd.Context(), w.interval, client.Status, newView(cmd, &f))
			}
			s, err := show(cmd, &f, func(ctx context.Context, c *admin.Client) (admin.Status, error) { return c.Status(ctx) }, text.Status)
			if err == nil && s.Degraded() {
				err = &exitError{code: exitFailed}
			}
			return err
		},
	}
	f.register(cmd)
	w.register(cmd)
	return cmd
}

func newWhyCommand() *cobra.Command {
	var f queryFlags
	cmd := &cobra.Command{
		Use:   "why ADDRESS",
		Short: "Follow the way to one pod's address and say where it ends",
		Long: "Follows the way from this node to one pod's address: the cluster, the block and who announces it, what the policy said,\n" +
			"the wanted route, the kernel's table and its own lookup, the next hop, the device. What is wrong comes first.\n\n" +
			"Exit status: 0 it is routed as wanted, 1 it is not, 2 the daemon is not reachable.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			address, err := admin.ParseAddress(args[0])
			if err != nil {
				return err
			}
			w, err := show(cmd, &f, func(ctx context.Context, c *admin.Client) (admin.Why, error) { return c.Why(ctx, address) }, text.Why)
			if err == nil && !w.Routed {
				err = &exitError{code: exitFailed}
			}
			return err
		},
	}
	f.register(cmd)
	return cmd
}

func newPeersCommand() *cobra.Command {
	var f queryFlags
	cmd := &cobra.Command{
		Use:   "peers",
		Short: "List every BGP session",
		Long:  "Lists every BGP session: the local BIRD's and those with the remote daemons.\n\nExit status: 0; 2 the daemon is not reachable.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := show(cmd, &f, func(ctx context.Context, c *admin.Client) (admin.Peers, error) { return c.Peers(ctx) }, text.Peers)
			return err
		},
	}
	f.register(cmd)
	return cmd
}

func newRoutesCommand() *cobra.Command {
	var f queryFlags
	var cluster string
	cmd := &cobra.Command{
		Use:   "routes",
		Short: "List every route of the mesh",
		Long:  "Lists every route of the mesh and how it stands in the kernel.\n\nExit status: 0; 2 the daemon is not reachable.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := show(cmd, &f, func(ctx context.Context, c *admin.Client) (admin.Routes, error) { return c.Routes(ctx, cluster) }, text.Routes)
			return err
		},
	}
	f.register(cmd)
	cmd.Flags().StringVar(&cluster, "cluster", "", "only the routes to this remote cluster")
	_ = cmd.RegisterFlagCompletionFunc("cluster", f.completeCluster)
	return cmd
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"routed/admin"
	"routed/config"
	"routed/kernel"
)

// exitPending is what plan exits with when something would change.
const exitPending = 3

func newPlanCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "plan --config FILE",
		Short: "Show what would change in the kernel, as ip commands",
		Long: "Shows what the daemon would change in the kernel, as `ip route` and `ip rule` commands, and changes nothing. What is wanted is\n" +
			"asked of the running daemon; without one only the rules are known, since routes come from the peers.\n\n" +
			"Routes of the main table that somebody added for pods of remote clusters are listed as comments, with the command that\n" +
			"removes each.\n\n" +
			"Exit status: 0 nothing to do, 3 changes are pending, 1 error.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			pending, err := printPlan(cmd.Context(), cmd.OutOrStdout(), path)
			if err == nil && pending {
				err = &exitError{code: exitPending}
			}
			return err
		},
	}
	configFlag(cmd, &path)
	return cmd
}

// printPlan prints the plan and reports whether there is something in it to do.
func printPlan(ctx context.Context, out io.Writer, path string) (pending bool, err error) {
	cfg, fib, err := openKernel(ctx, path)
	if err != nil {
		return false, err
	}
	defer fib.Close()
	wanted, known, err := wantedRoutes(ctx, out, cfg)
	if err != nil {
		return false, err
	}
	owned := kernelConfig(cfg, nil, nil)
	p, err := kernel.MakePlan(ctx, owned, fib, wanted, cfg.RemotePodCIDRs(), known)
	if err != nil {
		return false, err
	}
	for _, op := range p.Ops {
		fmt.Fprintln(out, op)
	}
	for _, r := range p.Routes {
		if r.Err != "" {
			fmt.Fprintf(out, "# %s: %s\n", r.Route.Prefix, r.Err)
		}
	}
	return len(p.Ops) > 0, printStrays(ctx, out, cfg, fib)
}

// wantedRoutes asks the running daemon. known is false while it does not know all that is wanted, or when there is none:
// then nothing may be removed.
func wantedRoutes(ctx context.Context, out io.Writer, cfg *config.Config) (wanted []kernel.Route, known bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	client := admin.NewClient(cfg.Admin.Socket)
	status, err := client.Status(ctx)
	if errors.Is(err, admin.ErrUnreachable) {
		fmt.Fprintf(out, "# no daemon answers at %s: which routes are wanted is not known, and none is planned\n", cfg.Admin.Socket)
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	routes, err := client.Routes(ctx, "")
	if err != nil {
		return nil, false, err
	}
	for _, r := range routes.Routes {
		wanted = append(wanted, kernel.Route{Prefix: r.Prefix, NextHop: r.NextHop, Group: r.Cluster})
	}
	return wanted, status.Kernel.DeletesAllowed, nil
}

// printStrays lists the routes of others in main for pods of remote clusters. They are not in the way, since the lookup of
// our table comes first, but they rot.
func printStrays(ctx context.Context, out io.Writer, cfg *config.Config, fib *kernel.Netlink) error {
	strays, err := kernel.StrayRoutes(ctx, kernelConfig(cfg, nil, nil), fib, cfg.RemotePodCIDRs())
	if err != nil || len(strays) == 0 {
		return err
	}
	fmt.Fprintln(out, "# not ours, in main, for pods of remote clusters; to be removed once the mesh holds the block:")
	for _, s := range strays {
		state := "not held by the mesh yet"
		if s.Held {
			state = "held by the mesh"
		}
		fmt.Fprintf(out, "# %s # %s\n", s.Command, state)
	}
	return nil
}

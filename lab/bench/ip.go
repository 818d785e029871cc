package main

import (
	"context"
	"os/exec"
	"strings"

	"routed/lab"
)

// ip runs lines of `ip` in our own namespace.
func ip(ctx context.Context, lines ...string) error {
	return ipBatch(exec.CommandContext(ctx, "ip", "-batch", "-"), lines)
}

// ipIn runs lines of `ip` in another one.
func ipIn(ctx context.Context, ns lab.Namespace, lines ...string) error {
	return ipBatch(exec.CommandContext(ctx, "ip", "-n", string(ns), "-batch", "-"), lines)
}

func ipBatch(cmd *exec.Cmd, lines []string) error {
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	_, err := run(cmd)
	return err
}

package main

import (
	"context"
	"os/exec"
	"strings"
)

// ip runs lines of `ip` in our own namespace.
func ip(ctx context.Context, lines ...string) error {
	cmd := exec.CommandContext(ctx, "ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	_, err := run(cmd)
	return err
}

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

// containsLink finds a link in the text of /proc/net/dev.
func containsLink(dev, link string) bool {
	for line := range strings.Lines(dev) {
		if name, _, ok := strings.Cut(strings.TrimSpace(line), ":"); ok && name == link {
			return true
		}
	}
	return false
}

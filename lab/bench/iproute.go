package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"routed/lab"
)

// ipShell is an `ip -batch -` that waits for lines, so that a command costs no start of a process.
type ipShell struct {
	cmd *exec.Cmd
	in  io.WriteCloser
}

func startIPShell(ctx context.Context, ns lab.Namespace, log string) (*ipShell, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := exec.CommandContext(context.WithoutCancel(ctx), "ip", "-n", string(ns), "-force", "-batch", "-")
	cmd.Stdout, cmd.Stderr = out, out
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, in.Close())
	}
	return &ipShell{cmd: cmd, in: in}, nil
}

// do hands lines to ip and returns at once.
func (s *ipShell) do(lines ...string) error {
	if _, err := io.WriteString(s.in, strings.Join(lines, "\n")+"\n"); err != nil {
		return fmt.Errorf("ip -batch: %w", err)
	}
	return nil
}

func (s *ipShell) close() {
	_ = s.in.Close()
	_ = s.cmd.Wait() // -force makes it fail when any line failed; whoever sent the line waits for its effect
}

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// stopLimit is how long a program may take to end in order: FRR takes its routes with it, one by one.
const stopLimit = 90 * time.Second

// child is a program that runs beside us. Whoever started it stops it; the sandbox's end stops all.
type child struct {
	cmd  *exec.Cmd
	log  string
	done chan struct{} // closed when it has ended
}

func startChild(cmd *exec.Cmd, env []string, log string) (*child, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c := &child{cmd: cmd, log: log, done: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // alive tells how it ended
		close(c.done)
	}()
	return c, nil
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// alive returns nil as long as the program runs, and then how it ended and the end of what it said.
func (c *child) alive() error {
	select {
	case <-c.done:
	default:
		return nil
	}
	said, err := os.ReadFile(c.log)
	return errors.Join(fmt.Errorf("%s ended, %s: %s", strings.Join(c.cmd.Args, " "), c.cmd.ProcessState, tail(string(said), 600)), err)
}

// stop ends the program by SIGTERM, and by SIGKILL when that does not help, which is an error.
func (c *child) stop() error {
	_ = c.cmd.Process.Signal(syscall.SIGTERM) // fails when it has ended, which is as good
	ctx, cancel := context.WithTimeout(context.Background(), stopLimit)
	defer cancel()
	select {
	case <-c.done:
		return nil
	case <-ctx.Done():
		_ = c.cmd.Process.Kill()
		<-c.done
		return fmt.Errorf("%s did not end within %s of SIGTERM", strings.Join(c.cmd.Args, " "), stopLimit)
	}
}

func tail(s string, n int) string {
	s = strings.TrimSpace(s)
	return s[max(0, len(s)-n):]
}

// run runs a command to its end and returns what it printed; the error holds what it complained of.
func run(cmd *exec.Cmd) (string, error) {
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, tail(string(out), 300))
	}
	return string(out), nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"routed/lab"
)

// stopTimeout is how long a service may take to end before it is killed.
const stopTimeout = 5 * time.Second

// running are the programs in the pods, while they run.
type running struct {
	stop context.CancelFunc
	cmds []*exec.Cmd
}

// start runs every pod's program in its namespace, with a log file each in dir.
func start(ctx context.Context, binary, dir string, pods []pod) (_ *running, err error) {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx)) // an interrupted play stops them in order
	r := &running{stop: stop}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close())
		}
	}()
	for _, p := range pods {
		cmd := lab.PodNamespace(p.addr).Command(ctx, binary, p.args...)
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
		cmd.WaitDelay = stopTimeout
		log, err := os.Create(filepath.Join(dir, p.name+".log"))
		if err != nil {
			return nil, err
		}
		cmd.Stdout, cmd.Stderr = log, log
		err = cmd.Start()
		_ = log.Close() // the program has its own
		if err != nil {
			return nil, fmt.Errorf("starting %s: %w", p.name, err)
		}
		r.cmds = append(r.cmds, cmd)
	}
	return r, nil
}

// close ends them all. One that ended before, or with another status than 0, is an error.
func (r *running) close() error {
	r.stop()
	var errs []error
	for _, cmd := range r.cmds {
		if err := cmd.Wait(); err != nil && !errors.Is(err, context.Canceled) {
			errs = append(errs, fmt.Errorf("%v: %w", cmd.Args, err))
		}
	}
	return errors.Join(errs...)
}

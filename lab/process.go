package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

// process is a long-running program of a node. Whoever started it stops it; the sandbox's end stops all.
type process struct {
	name  string
	cmd   *exec.Cmd
	inner *os.Process   // who gets its signals, when cmd only watches over the program; else nil
	done  chan struct{} // closed when it has ended and err is set
	err   error
}

// startProcess starts the command, its output appended to the log file. It outlives the context it was made with when
// that is a [context.WithoutCancel].
func startProcess(name string, cmd *exec.Cmd, logPath string) (*process, error) {
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	p := &process{name: name, cmd: cmd, done: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

func (p *process) running() bool {
	if p == nil {
		return false
	}
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// signal sends a signal that the process is to survive.
func (p *process) signal(sig syscall.Signal) error {
	if !p.running() {
		return errors.New("not running")
	}
	return p.target().Signal(sig)
}

func (p *process) target() *os.Process {
	if p.inner != nil {
		return p.inner
	}
	return p.cmd.Process
}

// end sends the signal and waits for the process to be gone. It returns how the process ended: nil for status 0.
func (p *process) end(ctx context.Context, sig syscall.Signal) error {
	if p == nil {
		return nil
	}
	if err := p.target().Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		return fmt.Errorf("%s does not end on %v: %w", p.name, sig, ctx.Err())
	}
	if p.err != nil {
		return fmt.Errorf("%s: %w", p.name, p.err)
	}
	return nil
}

// kill ends the process by SIGKILL; that it was killed is no error.
func (p *process) kill(ctx context.Context) error {
	err := p.end(ctx, syscall.SIGKILL)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil
	}
	return err
}

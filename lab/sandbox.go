package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// The environment carries what a re-executed program must know.
const (
	envStage       = "ROUTED_LAB_STAGE"       // empty outside, then one of the stages below
	envUnavailable = "ROUTED_LAB_UNAVAILABLE" // why there is no sandbox, for the tests' skips
	envMissing     = "ROUTED_LAB_MISSING"     // why a tool could not be fetched, one line each
	envRequired    = "ROUTED_LAB_REQUIRED"    // set by a CI that wants failures instead of skips

	stageInit = "init" // PID 1 of the sandbox
	stageWork = "work" // the program itself, PID 1's child
)

// ErrNoSandbox says that this process may not make the namespaces the lab runs in.
var ErrNoSandbox = errors.New("lab: no permission for private namespaces")

// Enter runs work inside the sandbox and returns the exit status for os.Exit. It is to be called from main, before
// anything else is started, since the program is executed anew inside and comes to the same call again:
//
//	code, err := lab.Enter(run, lab.BIRD16, lab.Ping)
//
// The tools are fetched first, while there still is a network; one that cannot be had is no error here, whoever uses it
// is told ([Tool.Find]). SIGINT, SIGTERM, SIGHUP and SIGQUIT are passed on to the work. The error wraps [ErrNoSandbox]
// when the kernel refuses; work has then not run.
func Enter(work func() int, tools ...Tool) (int, error) {
	if settings := os.Getenv(envStandIn); settings != "" {
		return runStandIn(settings), nil
	}
	switch os.Getenv(envStage) {
	case stageWork:
		return work(), nil
	case stageInit:
		return runInit(), nil
	}
	if err := Fetch(context.Background(), tools...); err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		if err := os.Setenv(envMissing, err.Error()); err != nil {
			return 1, err
		}
	}
	return runSandbox()
}

// Main is [Enter] for a TestMain:
//
//	func TestMain(m *testing.M) { os.Exit(lab.Main(m, lab.BIRD2)) }
//
// Where there can be no sandbox the tests run outside it, and those that need it skip: see [Need].
func Main(m *testing.M, tools ...Tool) int {
	code, err := Enter(m.Run, tools...)
	if err == nil {
		return code
	}
	fmt.Fprintln(os.Stderr, "lab: TESTS SKIPPED:", err)
	if err := os.Setenv(envUnavailable, err.Error()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// Need skips the test, saying why, unless it runs inside the sandbox and every tool is there. With ROUTED_LAB_REQUIRED
// in the environment it fails the test instead.
func Need(tb testing.TB, tools ...Tool) {
	tb.Helper()
	if !Inside() {
		giveUp(tb, "the lab's sandbox is not available: %s", os.Getenv(envUnavailable))
	}
	NeedTools(tb, tools...)
}

// NeedTools is [Need] for tests that need no sandbox.
func NeedTools(tb testing.TB, tools ...Tool) {
	tb.Helper()
	for _, tool := range tools {
		if _, err := tool.Find(); err != nil {
			giveUp(tb, "%v", err)
		}
	}
}

func giveUp(tb testing.TB, format string, args ...any) {
	tb.Helper()
	if os.Getenv(envRequired) != "" {
		tb.Fatalf(format, args...)
	}
	tb.Skipf(format, args...)
}

// Inside reports whether this process runs in the sandbox.
func Inside() bool { return os.Getenv(envStage) == stageWork }

// Outside reports whether this process is the one that was started, for what it has to do around the sandbox: it waits in
// [Enter] while the work runs.
func Outside() bool { return os.Getenv(envStage) == "" }

// runSandbox starts PID 1 of a new sandbox and waits for its end.
func runSandbox() (int, error) {
	// The parent death signal is bound to the thread that forks; this one must live as long as the sandbox.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	ready, report, err := os.Pipe()
	if err != nil {
		return 1, err
	}
	defer ready.Close()
	cmd := initCommand(report)
	sigs := make(chan os.Signal, 8)
	signal.Notify(sigs, forwarded()...)
	defer signal.Stop(sigs)
	err = cmd.Start()
	report.Close()
	if err != nil {
		return 1, fmt.Errorf("%w: %w (run as root, or allow user namespaces)", ErrNoSandbox, err)
	}
	done := make(chan struct{})
	defer close(done)
	go func() {
		for {
			select {
			case s := <-sigs:
				_ = cmd.Process.Signal(s) // fails only when it is gone, and then there is nobody to tell
			case <-done:
				return
			}
		}
	}()
	said, readErr := io.ReadAll(ready)
	err = cmd.Wait()
	if msg := string(said); msg != reportReady {
		return 1, errors.Join(setUpError(msg), readErr)
	}
	return exitStatus(cmd, err)
}

func setUpError(msg string) error {
	if msg = strings.TrimSpace(msg); msg == "" {
		msg = "its first process died while setting up"
	}
	return fmt.Errorf("%w: %s", ErrNoSandbox, msg)
}

// initCommand is the program itself as PID 1 of new namespaces. An ordinary user gets a user namespace around them.
func initCommand(report *os.File) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe") //nolint:noctx // the kernel ends it with this process, not a context
	cmd.Args = os.Args
	cmd.Env = append(os.Environ(), envStage+"="+stageInit)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{report}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID,
		Pdeathsig:  syscall.SIGKILL,
		Setpgid:    true, // a terminal's Ctrl-C comes to us alone, and is passed on once
	}
	if uid := os.Geteuid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
	return cmd
}

func forwarded() []os.Signal {
	return []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT}
}

// exitStatus is a shell's: 128 plus the signal's number for a process that a signal ended.
func exitStatus(cmd *exec.Cmd, err error) (int, error) {
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return 1, err
	}
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok {
		return waitStatus(ws), nil
	}
	return cmd.ProcessState.ExitCode(), nil
}

func waitStatus(ws syscall.WaitStatus) int {
	if ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return ws.ExitStatus()
}

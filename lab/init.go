package lab

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// reportReady is what PID 1 writes to its report pipe, file descriptor 3, before the work starts. Anything else is why
// the sandbox could not be set up.
const reportReady = "ready"

// runInit is PID 1 of the sandbox. It is an init and nothing else: the work is its child, so that waiting for any child
// here and exec.Cmd.Wait there do not take each other's dead. When it returns and the process exits, the kernel kills
// all that is left in the PID namespace.
func runInit() int {
	syscall.CloseOnExec(3)
	report := os.NewFile(3, "report")
	if err := setUpSandbox(); err != nil {
		fmt.Fprint(report, err)
		return 1
	}
	sigs := make(chan os.Signal, 8)
	signal.Notify(sigs, forwarded()...)
	pid, err := startWork()
	if err != nil {
		fmt.Fprint(report, err)
		return 1
	}
	fmt.Fprint(report, reportReady)
	report.Close()
	go func() {
		for s := range sigs {
			if n, ok := s.(syscall.Signal); ok {
				_ = syscall.Kill(pid, n) // fails only when it is gone, and then we are leaving
			}
		}
	}()
	return reap(pid)
}

func startWork() (int, error) {
	env := make([]string, 0, len(os.Environ())+1)
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, envStage+"=") {
			env = append(env, kv)
		}
	}
	pid, err := syscall.ForkExec("/proc/self/exe", os.Args, &syscall.ProcAttr{
		Env:   append(env, envStage+"="+stageWork),
		Files: []uintptr{0, 1, 2},
	})
	if err != nil {
		return 0, fmt.Errorf("starting the program inside: %w", err)
	}
	return pid, nil
}

// reap waits for every child, orphans that were handed to PID 1 included, until the work has ended.
func reap(work int) int {
	for {
		var ws syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &ws, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			fmt.Fprintln(os.Stderr, "lab: init: waiting for children:", err)
			return 1
		case pid == work && !ws.Stopped() && !ws.Continued():
			return waitStatus(ws)
		}
	}
}

// setUpSandbox makes the mounts fit the new namespaces and brings loopback up.
func setUpSandbox() error {
	for _, m := range []struct {
		source, target, fstype string
		flags                  uintptr
		data                   string
	}{
		{"none", "/", "", unix.MS_REC | unix.MS_PRIVATE, ""}, // nothing mounted here is seen outside
		{"proc", "/proc", "proc", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, ""},
		{"run", "/run", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=0755"}, // ip netns keeps its names there
	} {
		if err := unix.Mount(m.source, m.target, m.fstype, m.flags, m.data); err != nil {
			return fmt.Errorf("mounting %s: %w", m.target, err)
		}
	}
	return loopbackUp()
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("bringing lo up: %w", err)
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return fmt.Errorf("bringing lo up: %w", err)
	}
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr); err != nil {
		return fmt.Errorf("bringing lo up: %w", err)
	}
	return nil
}

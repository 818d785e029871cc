package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Namespace is a network namespace by the name `ip netns` knows it by.
type Namespace string

// Command prepares a program to run in the namespace. It is exec'd in place: the process's id is the program's.
func (ns Namespace) Command(ctx context.Context, program string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", string(ns), program}, args...)...)
}

// Do runs f on a thread in the namespace; the sockets that f itself opens stay there.
func (ns Namespace) Do(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		fd, err := unix.Open("/run/netns/"+string(ns), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			err = errors.Join(unix.Setns(fd, unix.CLONE_NEWNET), unix.Close(fd))
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}

// IP runs `ip` with the given words in the namespace and returns what it prints.
func (ns Namespace) IP(ctx context.Context, args ...string) (string, error) {
	return output(exec.CommandContext(ctx, "ip", append([]string{"-n", string(ns)}, args...)...))
}

// batch runs many lines of `ip` in the namespace at the cost of one process, stopping at the first that fails.
func (ns Namespace) batch(ctx context.Context, lines ...string) error {
	if len(lines) == 0 {
		return nil
	}
	cmd := exec.CommandContext(ctx, "ip", "-n", string(ns), "-batch", "-")
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	_, err := output(cmd)
	return err
}

// sysctls sets KEY=VALUE pairs under net/, as net/ipv4/ip_forward=1, in the namespace.
func (ns Namespace) sysctls(ctx context.Context, settings ...string) error {
	var script strings.Builder
	for _, s := range settings {
		key, value, _ := strings.Cut(s, "=")
		fmt.Fprintf(&script, "echo %s >/proc/sys/net/%s || exit 1\n", value, key)
	}
	_, err := output(ns.Command(ctx, "sh", "-c", script.String()))
	return err
}

// Reply is one answer to a ping.
type Reply struct {
	RTT time.Duration
	TTL int
}

// Ping sends echo requests to the address until one is answered, at most for a second. The error says why none was.
func (ns Namespace) Ping(ctx context.Context, to netip.Addr) (Reply, error) {
	found, err := Ping.Find()
	if err != nil {
		return Reply{}, err
	}
	cmd := ns.Command(ctx, found.Path("bin/ping"), "-n", "-c", "1", "-W", "1", to.String())
	cmd.Env = append(cmd.Environ(), found.Env()...)
	out, err := output(cmd)
	if err != nil {
		return Reply{}, fmt.Errorf("%w: %s", err, pingComplaint(out))
	}
	return parsePing(out)
}

// pingComplaint is ping's line that says what went wrong, such as "From 9.111.255.1 … Destination Net Unreachable".
func pingComplaint(out string) string {
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "From ") {
			return strings.TrimSpace(line)
		}
	}
	return "no answer"
}

func parsePing(out string) (Reply, error) {
	m := regexp.MustCompile(`ttl=(\d+) time=([\d.]+) ms`).FindStringSubmatch(out)
	if m == nil {
		return Reply{}, fmt.Errorf("no reply line in ping's output %q", out)
	}
	ttl, err := strconv.Atoi(m[1])
	if err != nil {
		return Reply{}, err
	}
	ms, err := strconv.ParseFloat(m[2], 64)
	if err != nil {
		return Reply{}, err
	}
	return Reply{RTT: time.Duration(ms * float64(time.Millisecond)), TTL: ttl}, nil
}

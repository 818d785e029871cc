package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// SSHHost is a namespace that has a file system of its own as well: the host's, of which it changes a copy in memory. So
// packages can be installed on it, and an SSH server runs there. It has no systemd; see [SSHHost.Services].
type SSHHost struct {
	Namespace
	Root string // where its file system is

	dir    string
	mounts []string
	sshd   *process
}

// NeedSSHHosts skips the test, or fails it, as [Need] does, where there can be none: packages and SSH servers have files and processes
// of more than one user, and an ordinary user's sandbox has one.
func NeedSSHHosts(tb testing.TB) {
	tb.Helper()
	Need(tb, SSH, SSHD)
	users, err := os.ReadFile("/proc/self/uid_map")
	if fields := strings.Fields(string(users)); err != nil || len(fields) != 3 || fields[2] != "4294967295" {
		giveUp(tb, "hosts with file systems of their own need root")
	}
}

// NewSSHHost gives a namespace its own file system, below dir, which is on a tmpfs. Close it when done.
func NewSSHHost(ns Namespace, dir string) (*SSHHost, error) {
	m := &SSHHost{Namespace: ns, Root: filepath.Join(dir, "root"), dir: dir}
	if err := m.mount(); err != nil {
		return nil, errors.Join(fmt.Errorf("lab: a file system for %s: %w", ns, err), m.Close(context.Background()))
	}
	return m, nil
}

func (m *SSHHost) mount() error {
	upper, work := filepath.Join(m.dir, "upper"), filepath.Join(m.dir, "work")
	for _, d := range []string{m.Root, upper, work} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	for _, mnt := range []struct {
		source, target, fstype string
		flags                  uintptr
		data                   string
	}{
		{"overlay", "", "overlay", 0, fmt.Sprintf("lowerdir=/,upperdir=%s,workdir=%s", upper, work)},
		{"/proc", "proc", "", unix.MS_BIND | unix.MS_REC, ""},
		{"/dev", "dev", "", unix.MS_BIND | unix.MS_REC, ""},
		{"run", "run", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=0755"},
		{"tmp", "tmp", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777"},
	} {
		target := filepath.Join(m.Root, mnt.target)
		if err := unix.Mount(mnt.source, target, mnt.fstype, mnt.flags, mnt.data); err != nil {
			return fmt.Errorf("mounting %s: %w", target, err)
		}
		m.mounts = append(m.mounts, target)
	}
	return nil
}

// Command prepares a program of the host's file system to run on it.
func (m *SSHHost) Command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := m.Namespace.Command(ctx, "chroot", append([]string{m.Root, program}, args...)...)
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "GORACE=atexit_sleep_ms=0"}
	return cmd
}

// Write puts a file there, and the folders above it.
func (m *SSHHost) Write(path string, mode os.FileMode, text string) error {
	path = filepath.Join(m.Root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		return err
	}
	return os.Chmod(path, mode)
}

// Unpack puts the files of a tool where its package would have put them. Nothing is to be done for one that the host has.
func (m *SSHHost) Unpack(ctx context.Context, t Tool) error {
	found, err := t.Find()
	if err != nil || found.root == "" {
		return err
	}
	_, err = output(exec.CommandContext(ctx, "sh", "-c", `tar -C "$0" -cf - . | tar -C "$1" --keep-directory-symlink -xf -`, found.root, m.Root))
	return err
}

// systemctl is what of systemd a program that installs a service sees: it starts and stops routed, by its unit.
const systemctl = `#!/bin/sh
pid=/run/routed.pid
running() { [ -s $pid ] && kill -0 "$(cat $pid)" 2>/dev/null; }
stop() {
	running || return 0
	kill "$(cat $pid)"
	while running; do sleep 0.05; done
}
case $1 in
is-active) if running; then echo active; else echo inactive; exit 3; fi ;;
enable) touch /etc/systemd/system/routed.enabled ;;
disable) rm -f /etc/systemd/system/routed.enabled ;;
stop) stop ;;
start | restart)
	[ "$1" = start ] && running && exit 0
	stop
	program=$(sed -n 's/^ExecStart=//p' /lib/systemd/system/routed.service)
	mkdir -p /run/routed
	setsid $program </dev/null >>/var/log/routed.log 2>&1 &
	echo $! >$pid
	;;
daemon-reload) ;;
*) echo "systemctl $*: not here" >&2; exit 1 ;;
esac
`

// Services gives the host a systemctl that knows the service routed and nothing else.
func (m *SSHHost) Services() error {
	return errors.Join(
		os.MkdirAll(filepath.Join(m.Root, "etc", "systemd", "system"), 0o755),
		m.Write("/usr/bin/systemctl", 0o755, systemctl),
	)
}

// sshdConfig is that of an SSH server which takes one key for root, and knows no other way in.
const sshdConfig = `Port %d
HostKey /etc/ssh/lab_host_key
AuthorizedKeysFile /etc/ssh/lab_authorized_keys
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
StrictModes no
PidFile none
`

// StartSSH starts the SSH server of a host, which lets in who has the key to `authorized`, as root and as each of the aliases,
// other names of root. It returns the server's own public key.
func (m *SSHHost) StartSSH(ctx context.Context, port uint16, authorized string, aliases ...string) (hostKey string, err error) {
	users := []string{"sshd:x:1074:65534::/run/sshd:/usr/sbin/nologin"}
	locks := []string{"root:*:19000:0:99999:7:::"} // no password, and not locked, whatever the host has
	for _, a := range aliases {
		users = append(users, a+":x:0:0::/root:/bin/sh")
		locks = append(locks, a+":*:19000:0:99999:7:::")
	}
	err = errors.Join(
		m.replaceAccounts("/etc/passwd", 0o644, users),
		m.replaceAccounts("/etc/shadow", 0o600, locks),
		m.Write("/etc/ssh/lab_authorized_keys", 0o600, authorized),
		m.Write("/etc/ssh/lab_sshd_config", 0o600, fmt.Sprintf(sshdConfig, port)),
		os.MkdirAll(filepath.Join(m.Root, "run", "sshd"), 0o755),
	)
	if err != nil {
		return "", err
	}
	if hostKey, err = m.NewKey(ctx, "/etc/ssh/lab_host_key"); err != nil {
		return "", err
	}
	cmd := m.Command(context.WithoutCancel(ctx), "/usr/sbin/sshd", "-D", "-e", "-f", "/etc/ssh/lab_sshd_config")
	m.sshd, err = startProcess("sshd", cmd, filepath.Join(m.dir, "sshd.log"))
	return hostKey, err
}

// NewKey makes a key pair at a path of the host, and gives the public one.
func (m *SSHHost) NewKey(ctx context.Context, path string) (public string, err error) {
	if _, err := output(m.Command(ctx, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", path)); err != nil {
		return "", err
	}
	text, err := os.ReadFile(filepath.Join(m.Root, path+".pub"))
	return string(text), err
}

// replaceAccounts gives a file of accounts these lines in the place of those with the same names.
func (m *SSHHost) replaceAccounts(path string, mode os.FileMode, lines []string) error {
	text, err := os.ReadFile(filepath.Join(m.Root, path))
	if err != nil {
		return err
	}
	kept := slices.DeleteFunc(strings.SplitAfter(string(text), "\n"), func(old string) bool {
		return slices.ContainsFunc(lines, func(l string) bool {
			name, _, _ := strings.Cut(l, ":")
			return strings.HasPrefix(old, name+":")
		})
	})
	return m.Write(path, mode, strings.Join(lines, "\n")+"\n"+strings.Join(kept, ""))
}

// Close stops the service and the SSH server and gives the file system up.
func (m *SSHHost) Close(ctx context.Context) error {
	var errs []error
	if _, err := os.Stat(filepath.Join(m.Root, "run", "routed.pid")); err == nil {
		_, err := output(m.Command(ctx, "systemctl", "stop", "routed"))
		errs = append(errs, err)
	}
	if m.sshd.running() {
		errs = append(errs, m.sshd.signal(syscall.SIGTERM))
		select {
		case <-m.sshd.done:
		case <-ctx.Done():
			errs = append(errs, ctx.Err())
		}
	}
	for _, target := range slices.Backward(m.mounts) {
		errs = append(errs, unix.Unmount(target, unix.MNT_DETACH))
	}
	return errors.Join(errs...)
}

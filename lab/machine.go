package lab

import (
	"cmp"
	"context"
	_ "embed" // the machine's first program
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

//go:embed machine.sh
var machineScript string

// Machine is a node as a host of its own: its first process is the distribution's systemd, its network the node's, its
// files a copy-on-write view of another root. What is installed in it is gone with it; of the host it can change nothing.
//
// It needs to be root outside the sandbox too. While it lives it has a cgroup, which [Machine.Close] removes.
type Machine struct {
	proc   *process
	pid    int    // systemd's, as seen from here
	cgroup string // its folder
	upper  string // where its changes to files are
	log    string // what it said before systemd had a journal
}

// ErrNoMachine says that this host cannot have one.
var ErrNoMachine = errors.New("lab: no machine with a systemd of its own")

// Boot starts a machine whose files are those of root (empty: this host's) and waits until it takes commands. The error
// wraps [ErrNoMachine] where it cannot be.
func (node *Node) Boot(ctx context.Context, root string) (*Machine, error) {
	root = cmp.Or(root, "/")
	if err := canBoot(root); err != nil {
		return nil, err
	}
	m := &Machine{log: filepath.Join(node.Dir, "machine.log")}
	if err := m.makeCgroup(filepath.Join(node.Dir, "cgroups")); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoMachine, err)
	}
	if err := m.boot(ctx, node, root); err != nil {
		return nil, errors.Join(err, m.Close()) //nolint:contextcheck // its context may have ended
	}
	return m, nil
}

// boot starts the machine's systemd.
func (m *Machine) boot(ctx context.Context, node *Node, root string) error {
	dir := filepath.Join(node.Dir, "machine")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	m.upper = filepath.Join(dir, "upper")
	cmd := node.Command(context.WithoutCancel(ctx), "sh", "-c",
		`echo $$ >"$3/cgroup.procs" && exec unshare --cgroup --mount --uts --ipc --pid --fork --kill-child sh -c "$0" boot "$@"`,
		machineScript, dir, root, m.cgroup)
	var err error
	if m.proc, err = startProcess("machine", cmd, m.log); err != nil {
		return err
	}
	if err := WaitFor(ctx, "systemd to take commands", m.booted); err != nil {
		log, _ := os.ReadFile(m.log) // it only says more
		return fmt.Errorf("%w: %s", err, log)
	}
	return nil
}

func canBoot(root string) error {
	uids, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoMachine, err)
	}
	if f := strings.Fields(string(uids)); len(f) != 3 || f[0] != "0" || f[1] != "0" || f[2] == "1" {
		return fmt.Errorf("%w: it needs root", ErrNoMachine)
	}
	if _, err := os.Stat(filepath.Join(root, "lib", "systemd", "systemd")); err != nil {
		return fmt.Errorf("%w: %w", ErrNoMachine, err)
	}
	return nil
}

// makeCgroup makes the cgroup that the machine's systemd takes for its root.
func (m *Machine) makeCgroup(tree string) error {
	if err := os.Mkdir(tree, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("cgroup2", tree, "cgroup2", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mounting cgroup2: %w", err)
	}
	cgroup, err := os.MkdirTemp(tree, "routed-lab-")
	if err != nil {
		return errors.Join(err, unix.Unmount(tree, unix.MNT_DETACH))
	}
	m.cgroup = cgroup
	return nil
}

// booted succeeds when systemd has started all it is to start.
func (m *Machine) booted(ctx context.Context) error {
	if !m.proc.running() {
		return fmt.Errorf("it ended: %w", cmp.Or(m.proc.err, errors.New("status 0")))
	}
	pid := m.proc.cmd.Process.Pid
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", pid))
	if err != nil {
		return err
	}
	if m.pid, err = strconv.Atoi(strings.TrimSpace(string(children))); err != nil {
		return fmt.Errorf("no first process yet: %w", err)
	}
	_, err = output(m.Command(ctx, "systemctl", "is-active", "lab.target"))
	return err
}

// Command prepares a program to run in the machine, beside its services.
func (m *Machine) Command(ctx context.Context, program string, args ...string) *exec.Cmd {
	enter := []string{
		"--target", strconv.Itoa(m.pid), "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd", "--", program,
	}
	cmd := exec.CommandContext(ctx, "nsenter", append(enter, args...)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive", "HOME=/root"}
	return cmd
}

// Run runs a program in the machine to its end and returns all it printed; the error has it too.
func (m *Machine) Run(ctx context.Context, program string, args ...string) (string, error) {
	out, err := m.Command(ctx, program, args...).CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("%s %v: %w: %s", program, args, err, out)
	}
	return string(out), nil
}

// Path is where a file of the machine is as seen from here.
func (m *Machine) Path(name string) string { return fmt.Sprintf("/proc/%d/root%s", m.pid, name) }

// Write puts a file there, and the folders above it.
func (m *Machine) Write(name string, mode os.FileMode, text string) error {
	path := m.Path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		return err
	}
	return os.Chmod(path, mode) // whatever the umask is, and the mode of a file that was there
}

// Changed lists the files that differ from the root the machine was started from, those that are gone included.
func (m *Machine) Changed() ([]string, error) {
	var changed []string
	err := filepath.WalkDir(m.upper, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			changed = append(changed, strings.TrimPrefix(path, m.upper))
		}
		return err
	})
	return changed, err
}

// Close ends everything that runs in the machine, and removes it.
func (m *Machine) Close() error {
	if m.proc.running() {
		_ = m.proc.cmd.Process.Kill() // gone already is as good; --kill-child takes systemd along, and it all others
		<-m.proc.done
	}
	// The cgroup is empty a moment after the last process is dead.
	ctx, cancel := context.WithTimeout(context.Background(), buildTimeout)
	defer cancel()
	err := WaitFor(ctx, "the machine's cgroup to be empty", func(context.Context) error { return removeCgroup(m.cgroup) })
	return errors.Join(err, unix.Unmount(filepath.Dir(m.cgroup), unix.MNT_DETACH))
}

// removeCgroup removes a cgroup and those in it: only folders can be removed there, and only when no process is left.
func removeCgroup(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			err = errors.Join(err, removeCgroup(filepath.Join(dir, e.Name())))
		}
	}
	return errors.Join(err, syscall.Rmdir(dir))
}

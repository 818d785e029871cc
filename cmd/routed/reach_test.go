package main

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"routed/admin"
)

// asOther is the environment variable that makes this binary the command itself: its value is the command line.
const asOther = "ROUTED_TEST_COMMAND"

// TestCommandItself is the command in a process of its own, for an [otherUser].
func TestCommandItself(t *testing.T) {
	line, asked := os.LookupEnv(asOther)
	if !asked {
		t.Skip("for other tests to start")
	}
	os.Exit(execute(t.Context(), strings.Fields(line), os.Stdout, os.Stderr))
}

// nobody is a user and a group that own nothing.
const nobody = 65534

// otherUser runs command lines as another user, with a copy of this binary that the user may read.
type otherUser struct {
	id      uint32
	program string
}

func newOtherUser(t *testing.T, id uint32) otherUser {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(openDir(t), "routed.test")
	if err := errors.Join(os.WriteFile(copied, program, 0o600), os.Chmod(copied, 0o755)); err != nil { //nolint:gosec // somebody else is to run it
		t.Fatal(err)
	}
	return otherUser{id, copied}
}

func (o otherUser) run(t *testing.T, line string) (code int, says string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), o.program, "-test.run", "^TestCommandItself$")
	cmd.Env = []string{asOther + "=" + line}
	cmd.Dir = filepath.Dir(o.program)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: o.id, Gid: o.id}}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// openDir is a folder that everybody may look into; those of the testing package are closed.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "open") //nolint:usetesting // open to others
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // that is the point
		t.Fatal(err)
	}
	return dir
}

// Whoever cannot reach the daemon is told why and what to do, in one line, and the exit status is 2.
func TestUnreachable(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("takes another user's rights: needs root")
	}
	dir := openDir(t)
	listen := func(name string, group int) string {
		socket := filepath.Join(dir, name)
		l, err := admin.Listen(t.Context(), socket)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		go func() {
			for conn, err := l.Accept(); err == nil; conn, err = l.Accept() {
				_ = conn.Close() // that it was reached is enough
			}
		}()
		if err := os.Chown(socket, 0, group); err != nil {
			t.Fatal(err)
		}
		return socket
	}
	closed := filepath.Join(dir, "closed")
	if err := os.Mkdir(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	dead := filepath.Join(dir, "dead")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: dead, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(dead, 0o666), l.Close()); err != nil { //nolint:gosec // it is dead
		t.Fatal(err)
	}
	file := filepath.Join(dir, "file")
	if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Chmod(file, 0o666)); err != nil { //nolint:gosec // for another user
		t.Fatal(err)
	}
	other := newOtherUser(t, nobody)
	for name, c := range map[string]struct {
		socket string
		says   []string
	}{
		"not running":        {filepath.Join(dir, "none"), []string{"there is no such socket", "`systemctl status routed`", "$ROUTED_SOCKET"}},
		"died":               {dead, []string{"nobody listens on it", "`journalctl -u routed`"}},
		"no socket":          {file, []string{"it is no socket", "$ROUTED_SOCKET"}},
		"root's":             {listen("root", 0), []string{"no permission", "group root", "you are nobody", "`sudo`"}},
		"another group's":    {listen("other", 54321), []string{"no permission", "group 54321", "`sudo usermod -aG 54321 nobody`"}},
		"a closed directory": {filepath.Join(closed, "socket"), []string{"its directory is closed to you"}},
	} {
		code, says := other.run(t, "status --socket "+c.socket)
		if code != exitUnreachable || strings.Count(says, "\n") != 1 {
			t.Errorf("%s: exits %d: %s", name, code, says)
		}
		for _, want := range append(c.says, "routed is not reachable", c.socket) {
			if !strings.Contains(says, want) {
				t.Errorf("%s: does not say %q: %s", name, want, says)
			}
		}
	}
	if _, says := other.run(t, "status --socket "+listen("mine", nobody)); strings.Contains(says, "permission") {
		t.Errorf("a member of its group: %s", says)
	}
}

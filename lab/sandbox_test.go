package lab_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"routed/lab"
)

// The sandbox is tested from inside another one: the test program starts itself anew, told by the environment which part
// to play in a sandbox of its own, and looks at what is left when that has ended.
const (
	envPlay  = "LAB_TEST_PLAY"
	envToken = "LAB_TEST_TOKEN" // an argument by which the processes left behind are found
)

func playInSandbox(play string) int {
	code, err := lab.Enter(func() int {
		if err := leaveTraces(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 99
		}
		return act(play)
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 98
	}
	return code
}

// leaveTraces makes everything that has to be gone afterwards: a whole network and processes nobody waits for, one of
// them an orphan that PID 1 inherits.
func leaveTraces() error {
	ctx := context.Background()
	net, err := lab.Build(ctx, lab.Seed())
	if err != nil {
		return err
	}
	sleep := `for i in 1 2 3 4 5 6 7 8 9; do sleep 100; done # ` + os.Getenv(envToken)
	if err := exec.Command("sh", "-c", sleep).Start(); err != nil {
		return err
	}
	orphan := exec.Command("sh", "-c", `(sh -c "$0" >/dev/null 2>&1 &)`, sleep)
	if err := orphan.Run(); err != nil {
		return err
	}
	return net.Nodes()[0].Command(ctx, "sh", "-c", sleep).Start()
}

func act(play string) int {
	switch play {
	case "exit":
		return 3
	case "panic":
		panic("on purpose") //nolint:forbidigo // what is left after it is the question
	case "await-signal":
		got := make(chan os.Signal, 1)
		signal.Notify(got, syscall.SIGTERM)
		fmt.Println("waiting")
		<-got
		return 7
	default: // hang
		fmt.Println("waiting")
		select {}
	}
}

// troupe is a run of the test program in a part.
type troupe struct {
	cmd   *exec.Cmd
	token string
	out   *os.File
}

func perform(t *testing.T, play string, attr *syscall.SysProcAttr) troupe {
	t.Helper()
	lab.Need(t)
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	token := fmt.Sprintf("token-%s-%d", play, time.Now().UnixNano())
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), envPlay+"="+play, envToken+"="+token, "ROUTED_LAB_STAGE=")
	cmd.Stdout = in
	cmd.SysProcAttr = attr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in.Close()
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return troupe{cmd: cmd, token: token, out: out}
}

// ready waits for the part to be played as far as its waiting.
func (p troupe) ready(t *testing.T) {
	t.Helper()
	buf := make([]byte, 64)
	n, err := p.out.Read(buf)
	if err != nil || string(buf[:n]) != "waiting\n" {
		t.Fatalf("the program said %q, %v", buf[:n], err)
	}
	if len(p.traces(t)) == 0 {
		t.Fatal("no trace to be found while it runs: the test would prove nothing")
	}
}

// traces lists the living processes with the token on their command line.
func (p troupe) traces(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(data), p.token) {
			found = append(found, path)
		}
	}
	return found
}

// wantClean checks that the run left nothing and ended with the status.
func (p troupe) wantClean(t *testing.T, status int, before string) {
	t.Helper()
	err := p.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if got := p.cmd.ProcessState.ExitCode(); got != status {
		t.Errorf("exit status %d, want %d", got, status)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	err = lab.WaitFor(ctx, "the traces to go", func(context.Context) error {
		if left := p.traces(t); len(left) > 0 {
			return fmt.Errorf("left behind: %v", left)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if after := surroundings(t); after != before {
		t.Errorf("links, namespaces and mounts before:\n%s\nafter:\n%s", before, after)
	}
}

// surroundings is everything of the host that a lab could have changed.
func surroundings(t *testing.T) string {
	t.Helper()
	var s strings.Builder
	for _, args := range [][]string{{"-o", "link"}, {"netns"}, {"route", "show", "table", "all"}, {"rule"}} {
		out, err := exec.Command("ip", args...).CombinedOutput()
		if err != nil {
			t.Fatal(err)
		}
		s.Write(out)
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	s.Write(mounts)
	return s.String()
}

func TestSandboxPassesExitStatus(t *testing.T) {
	lab.Need(t)
	before := surroundings(t)
	perform(t, "exit", nil).wantClean(t, 3, before)
}

func TestSandboxAfterPanic(t *testing.T) {
	lab.Need(t)
	before := surroundings(t)
	perform(t, "panic", nil).wantClean(t, 2, before)
}

func TestSandboxPassesSignals(t *testing.T) {
	lab.Need(t)
	before := surroundings(t)
	p := perform(t, "await-signal", nil)
	p.ready(t)
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.wantClean(t, 7, before)
}

func TestSandboxAfterInterrupt(t *testing.T) {
	lab.Need(t)
	before := surroundings(t)
	p := perform(t, "hang", nil)
	p.ready(t)
	if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	p.wantClean(t, 128+int(syscall.SIGINT), before)
}

func TestSandboxAfterKill(t *testing.T) {
	lab.Need(t)
	before := surroundings(t)
	p := perform(t, "hang", nil)
	p.ready(t)
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	p.wantClean(t, -1, before)
}

// An ordinary user gets the same sandbox, and the same certainty that nothing is left after SIGKILL.
func TestSandboxOfAnOrdinaryUser(t *testing.T) {
	lab.Need(t)
	nobody := &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if err := userNamespaces(nobody); err != nil {
		t.Skipf("an ordinary user may not have a user namespace here: %v", err)
	}
	before := surroundings(t)
	t.Run("exit", func(t *testing.T) { perform(t, "exit", nobody).wantClean(t, 3, before) })
	t.Run("kill", func(t *testing.T) {
		p := perform(t, "hang", nobody)
		p.ready(t)
		if err := p.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		p.wantClean(t, -1, before)
	})
}

func userNamespaces(attr *syscall.SysProcAttr) error {
	cmd := exec.Command("unshare", "--user", "--map-root-user", "--mount", "--net", "mount", "-t", "tmpfs", "none", "/run")
	cmd.SysProcAttr = attr
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// What a process in a namespace of the lab sends reaches nobody outside: there is no way out.
func TestSandboxHasNoUplink(t *testing.T) {
	lab.Need(t)
	out, err := exec.Command("ip", "-o", "link").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		if !strings.Contains(line, ": lo: ") {
			t.Errorf("a link besides loopback: %s", line)
		}
	}
	routes, err := exec.Command("ip", "route").Output()
	if err != nil {
		t.Fatal(err)
	}
	if len(routes) > 0 {
		t.Errorf("routes: %s", routes)
	}
}

package bgp

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// aloneEnv names, in a process that a test started for itself, that test.
const aloneEnv = "ROUTED_TEST_BGP_ALONE"

// alone tells whether this is the process in which the test is to run: one of its own, beside those of other tests. A GoBGP
// that starts writes what others of its process read. When it is not, it runs the test in such a one and reports what
// became of it. Root gets a network namespace of its own with it, whose loopback is up.
//
//	if !alone(t) { return }
func alone(t *testing.T) bool {
	t.Helper()
	if os.Getenv(aloneEnv) == t.Name() {
		if os.Geteuid() == 0 {
			ip(t, "link", "set", "lo", "up")
		}
		return true
	}
	t.Parallel()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var name []string
	for part := range strings.SplitSeq(t.Name(), "/") {
		name = append(name, "^"+regexp.QuoteMeta(part)+"$")
	}
	cmd := exec.CommandContext(t.Context(), exe, "-test.run="+strings.Join(name, "/"), "-test.v")
	cmd.Env = append(os.Environ(), aloneEnv+"="+t.Name(), "GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() == 0 {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWNET
	}
	var said bytes.Buffer
	cmd.Stdout = io.MultiWriter(t.Output(), &said)
	cmd.Stderr = cmd.Stdout
	if err := cmd.Run(); err != nil {
		t.Fatalf("in its own process: %v", err)
	}
	if strings.Contains(said.String(), "--- SKIP: "+t.Name()) {
		t.Skip("SKIPPED in its own process")
	}
	return false
}

// inNamespace is alone for a test that changes its network namespace.
func inNamespace(t *testing.T) bool {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("ROUTED_LAB_REQUIRED") != "" {
			t.Fatal("needs root, to make a network namespace")
		}
		t.Skip("SKIPPED: needs root, to make a network namespace")
	}
	return alone(t)
}

func ip(t *testing.T, words ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "ip", words...).CombinedOutput(); err != nil {
		t.Fatalf("ip %v: %v: %s", words, err, out)
	}
}

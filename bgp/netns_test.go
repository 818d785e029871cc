package bgp

import (
	"os"
	"os/exec"
	"regexp"
	"syscall"
	"testing"
)

// nsEnv names, in a process that a test started in a network namespace of its own, that test.
const nsEnv = "ROUTED_TEST_BGP_NETNS"

// inNamespace tells whether this is the process in which the test is to run: one with a network namespace of its own,
// whose loopback is up. When it is not, it runs the test in such a one and reports what became of it.
//
//	if !inNamespace(t) { return }
func inNamespace(t *testing.T) bool {
	t.Helper()
	if os.Getenv(nsEnv) == t.Name() {
		ip(t, "link", "set", "lo", "up")
		return true
	}
	if os.Geteuid() != 0 {
		if os.Getenv("ROUTED_LAB_REQUIRED") != "" {
			t.Fatal("needs root, to make a network namespace")
		}
		t.Skip("SKIPPED: needs root, to make a network namespace")
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, "-test.run=^"+regexp.QuoteMeta(t.Name())+"$", "-test.v")
	cmd.Env = append(os.Environ(), nsEnv+"="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	if err := cmd.Run(); err != nil {
		t.Fatalf("in its network namespace: %v", err)
	}
	return false
}

func ip(t *testing.T, words ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "ip", words...).CombinedOutput(); err != nil {
		t.Fatalf("ip %v: %v: %s", words, err, out)
	}
}

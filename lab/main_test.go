package lab_test

import (
	"fmt"
	"os"
	"testing"

	"routed/lab"
)

func TestMain(m *testing.M) {
	if play := os.Getenv(envPlay); play != "" {
		os.Exit(playInSandbox(play))
	}
	// A program with the race detector sleeps for a second when it ends, and the tests run hundreds of commands.
	if err := os.Setenv("GORACE", "atexit_sleep_ms=0 "+os.Getenv("GORACE")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(lab.Main(m, lab.BIRD16, lab.BIRD2, lab.FRR, lab.GoBGP, lab.Ping, lab.NFT, lab.Prometheus, lab.Chromium,
		lab.SSH, lab.SSHD, lab.ShellCheck, lab.Bubblewrap))
}

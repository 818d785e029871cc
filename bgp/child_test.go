package bgp

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"routed/peering"
)

// childEnv holds, in a child process, its own address, its peer's and the port of both.
const childEnv = "ROUTED_TEST_BGP_CHILD"

// child is another daemon: this test binary again, in a process that can be killed.
type child struct{ cmd *exec.Cmd }

func startChild(t *testing.T, n, peer node) *child {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := &child{cmd: exec.Command(exe)}
	c.cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %d", childEnv, n.addr, peer.addr, n.port))
	c.cmd.Stderr = t.Output()
	in, err := c.cmd.StdinPipe() // its end ends the child, should we die
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Close(); c.kill() })
	return c
}

func (c *child) kill() {
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
}

// childMain is a daemon with one session and one block, until its standard input ends.
func childMain() bool {
	f := strings.Fields(os.Getenv(childEnv))
	if len(f) != 3 {
		return false
	}
	if err := childRun(f[0], f[1], f[2]); err != nil {
		fmt.Fprintln(os.Stderr, "child:", err)
		os.Exit(1)
	}
	return true
}

func childRun(own, peer, portText string) error {
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return err
	}
	a, b := node{addr(own), 64512, uint16(port)}, node{addr(peer), 64512, uint16(port)}
	s, err := NewSpeaker(a.config())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	go func() {
		_, _ = os.Stdin.Read(make([]byte, 1))
		cancel()
	}()
	updates := make(chan peering.Update)
	go func() {
		for u := range updates {
			_ = u // only to let the speaker go on
		}
	}()
	go func() {
		_ = s.SetAdvertised(ctx, []netip.Prefix{prefix("10.2.0.0/26")})
		_ = s.SetPeers(ctx, []peering.Peer{b.as(a, peering.IPv4)})
	}()
	return s.Run(ctx, updates)
}

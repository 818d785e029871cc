package bgp

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"routed/peering"
)

// birds lists the BIRD daemons to test with, 1.6 and 2: paths separated by colons, as `go run ./lab/fetch` prints them.
func birds(t *testing.T) []string {
	t.Helper()
	list := os.Getenv("ROUTED_TEST_BIRDS")
	switch {
	case list != "":
		return strings.Split(list, ":")
	case os.Getenv("ROUTED_LAB_REQUIRED") != "":
		t.Fatal("no BIRD: $ROUTED_TEST_BIRDS is empty")
	default:
		t.Skip("no BIRD: set ROUTED_TEST_BIRDS to what `go run ./lab/fetch` prints")
	}
	return nil
}

// libraries is the environment of an unpacked program: where the libraries are that the host lacks.
func libraries(program string) []string {
	root := filepath.Join(filepath.Dir(program), "..", "..")
	var dirs []string
	for _, pattern := range []string{"lib/*-linux-*", "usr/lib/*-linux-*"} {
		found, _ := filepath.Glob(filepath.Join(root, pattern))
		dirs = append(dirs, found...)
	}
	return append(os.Environ(), "LD_LIBRARY_PATH="+strings.Join(dirs, ":"))
}

// bird is a BIRD as Calico configures it, on loopback addresses, without a kernel protocol.
type bird struct {
	path, dir string
	two       bool
	nodeIP    netip.Addr
	listen    uint16 // BIRD's BGP port
	dials     uint16 // our port, which BIRD dials; 0: 179, where nobody listens
	secret    string // the password; empty: none
	cmd       *exec.Cmd
}

func newBIRD(t *testing.T, path string, nodeIP netip.Addr, dials uint16, secret string) *bird {
	t.Helper()
	ask := exec.CommandContext(t.Context(), path, "--version")
	ask.Env = libraries(path)
	version, _ := ask.CombinedOutput()
	b := &bird{
		path: path, dir: t.TempDir(), two: bytes.Contains(version, []byte("version 2")),
		nodeIP: nodeIP, listen: freePort(t), dials: dials, secret: secret,
	}
	b.start(t)
	t.Cleanup(func() { b.kill() })
	return b
}

func (b *bird) config(blocks ...string) string {
	var routes strings.Builder
	for _, p := range blocks {
		fmt.Fprintf(&routes, "route %s blackhole; ", p)
	}
	port := ""
	if b.dials != 0 {
		port = fmt.Sprintf(" port %d", b.dials)
	}
	password := ""
	if b.secret != "" {
		password = fmt.Sprintf("password %q; ", b.secret)
	}
	if b.two {
		return fmt.Sprintf(`log %q all; router id %[2]s; protocol device {}
protocol static { ipv4; %[3]s }
protocol bgp routed { local port %[4]d as 64512; neighbor 127.0.0.1%[5]s as 64512; multihop; source address %[2]s;
 graceful restart; %[6]sipv4 { import all; export all; add paths on; gateway recursive; }; }
`, filepath.Join(b.dir, "log"), b.nodeIP, routes.String(), b.listen, port, password)
	}
	return fmt.Sprintf(`log %q all; router id %[2]s; listen bgp port %[4]d; protocol device {}
protocol static { %[3]s }
protocol bgp routed { local as 64512; neighbor 127.0.0.1%[5]s as 64512; multihop; source address %[2]s;
 gateway recursive; add paths on; graceful restart; %[6]simport all; export all; }
`, filepath.Join(b.dir, "log"), b.nodeIP, routes.String(), b.listen, port, password)
}

func (b *bird) start(t *testing.T) {
	t.Helper()
	conf := filepath.Join(b.dir, "conf")
	if err := os.WriteFile(conf, []byte(b.config("10.1.47.128/26", "10.1.48.0/26")), 0o600); err != nil {
		t.Fatal(err)
	}
	b.cmd = exec.Command(b.path, "-f", "-R", "-c", conf, "-s", filepath.Join(b.dir, "ctl"), "-P", filepath.Join(b.dir, "pid"))
	b.cmd.Env = libraries(b.path)
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
}

func (b *bird) kill() {
	_ = b.cmd.Process.Kill()
	_ = b.cmd.Wait()
}

func (b *bird) log() string {
	text, _ := os.ReadFile(filepath.Join(b.dir, "log"))
	return string(text)
}

// TestBIRD holds the session with a real BIRD in every way there is, through restarts of either side.
func TestBIRD(t *testing.T) {
	t.Parallel()
	for i, path := range birds(t) {
		for j, tc := range []struct {
			name              string
			birdDials, weDial bool
			target            netip.Addr // where we dial; invalid: the node address
			limit             time.Duration
			secret            string
		}{
			{"we dial the node address", false, true, netip.Addr{}, 4 * time.Second, ""},
			{"we dial 127.0.0.1", false, true, addr("127.0.0.1"), 4 * time.Second, ""},
			{"BIRD dials", true, false, netip.Addr{}, 20 * time.Second, ""},
			{"both dial", true, true, netip.Addr{}, 4 * time.Second, ""},
			{"we dial, with a password", false, true, netip.Addr{}, 4 * time.Second, "secret"},
			{"BIRD dials, with a password", true, false, netip.Addr{}, 20 * time.Second, "secret"},
		} {
			t.Run(fmt.Sprintf("%d %s", i, tc.name), func(t *testing.T) {
				if !alone(t) {
					return
				}
				us := node{addr("127.0.0.1"), 64512, freePort(t)}
				nodeIP := addr(fmt.Sprintf("127.8.%d.%d", i+1, j+1))
				var dials uint16
				if tc.birdDials {
					dials = us.port
				}
				b := newBIRD(t, path, nodeIP, dials, tc.secret)
				if b.two && tc.target.IsValid() {
					t.Skip("BIRD 2 takes connections to its source address only")
				}
				p := peering.Peer{
					Addr: nodeIP, Role: peering.RoleBIRD, ASN: us.asn, Local: us.addr,
					Families: peering.IPv4, HoldTime: 90 * time.Second, Password: peering.NewPassword(tc.secret),
				}
				if tc.target.IsValid() {
					p.Addr = tc.target
				}
				if tc.weDial {
					p.DialPort = b.listen
				}
				testBIRD(t, b, us, p, tc.limit)
			})
		}
	}
}

func testBIRD(t *testing.T, b *bird, us node, p peering.Peer, limit time.Duration) {
	t.Helper()
	cfg := us.config()
	cfg.RouterID = addr("127.7.7.7")
	fed := func(r *rig, times int, what string) {
		t.Helper()
		began := time.Now()
		within(t, limit, what, func() bool {
			return r.flaps(p.Addr) == times && len(r.from(p.Addr)) == 2 && r.heardEnd(p.Addr) == peering.IPv4
		})
		t.Logf("%s after %s", what, time.Since(began))
	}
	r := start(t, cfg)
	r.advertise(t, "10.99.0.0/26")
	r.peers(t, p)
	fed(r, 1, "blocks and End-of-RIB there")
	for block, a := range r.from(p.Addr) {
		if a.NextHop != b.nodeIP || a.ASPath == nil || len(a.ASPath) != 0 {
			t.Errorf("%s: %+v, want next hop %s and an empty AS path", block, a, b.nodeIP)
		}
	}
	b.kill()
	eventually(t, "down", func() bool { return !r.isUp(p.Addr) })
	b.start(t)
	fed(r, 2, "BIRD killed and back")
	r.stop(t)
	r = start(t, cfg)
	r.advertise(t, "10.99.0.0/26")
	r.peers(t, p)
	fed(r, 1, "we stopped and are back")
	birdc := exec.CommandContext(t.Context(), filepath.Join(filepath.Dir(b.path), "birdc"),
		"-s", filepath.Join(b.dir, "ctl"), "show", "route")
	birdc.Env = libraries(b.path)
	out, err := birdc.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("10.1.48.0/26")) || bytes.Contains(out, []byte("10.99.0.0/26")) {
		t.Errorf("BIRD's routes (%v), want its own only:\n%s", err, out)
	}
	if t.Failed() {
		t.Log(b.log())
	}
}

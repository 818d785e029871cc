package guard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"routed/lab"
)

// These tests run a Keeper against a real kernel. The sandbox's own network namespace is the node; around it are
//
//	far     a neighbour with two addresses, of a peer and of a stranger, that also forwards for …
//	behind  … a peer two hops away
//	pod     a pod of the node
const (
	far, behind, pod = "far", "behind", "pod"

	bgpPort = 1790

	// patience is until a test gives up on what should happen, silence how long it waits for what should not. The tests
	// that something is dropped have their counterpart that it passes without the guard, or from another address.
	patience = 10 * time.Second
	silence  = 300 * time.Millisecond
)

// ends are the addresses of the topology in one family.
type ends struct {
	node, peer, stranger, behind, pod, nodeToPod netip.Addr
}

func endsOf(f family) ends {
	if f == ipv6 {
		return ends{addr("fd09::1"), addr("fd09::2"), addr("fd09::3"), addr("fd08::2"), addr("fd01::9"), addr("fd01::1")}
	}
	return ends{addr("10.9.0.1"), addr("10.9.0.2"), addr("10.9.0.3"), addr("10.8.0.2"), addr("10.1.0.9"), addr("10.1.0.1")}
}

// network builds the topology, and takes it down with the test.
func network(t *testing.T) {
	t.Helper()
	lab.Need(t, lab.NFT)
	run(t, "", "ip", "-batch", "-", `netns add far
netns add behind
netns add pod
link add near type veth peer name eth0 netns far
link add cali type veth peer name eth0 netns pod
address add 10.9.0.1/24 dev near
address add fd09::1/64 dev near nodad
address add 10.1.0.1/24 dev cali
address add fd01::1/64 dev cali nodad
link set near up
link set cali up
route add 10.8.0.0/24 via 10.9.0.2
route add fd08::/64 via fd09::2`)
	t.Cleanup(func() {
		run(t, "", "ip", "-batch", "-", "link del near\nlink del cali\nnetns del far\nnetns del behind\nnetns del pod")
	})
	run(t, far, "ip", "-batch", "-", `link add toBehind type veth peer name eth0 netns behind
address add 10.9.0.2/24 dev eth0
address add 10.9.0.3/24 dev eth0
address add fd09::2/64 dev eth0 nodad
address add fd09::3/64 dev eth0 nodad
address add 10.8.0.1/24 dev toBehind
address add fd08::1/64 dev toBehind nodad
link set lo up
link set eth0 up
link set toBehind up
route add 10.1.0.0/24 via 10.9.0.1
route add fd01::/64 via fd09::1`)
	run(t, behind, "ip", "-batch", "-", `address add 10.8.0.2/24 dev eth0
address add fd08::2/64 dev eth0 nodad
link set eth0 up
route add default via 10.8.0.1
route add default via fd08::1`)
	run(t, pod, "ip", "-batch", "-", `address add 10.1.0.9/24 dev eth0
address add fd01::9/64 dev eth0 nodad
link set lo up
link set eth0 up
route add default via 10.1.0.1
route add default via fd01::1`)
	for _, ns := range []string{"", far} {
		run(t, ns, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding")
	}
}

// run runs a program in a namespace (empty: the node), with the last argument as its input when the one before is "-".
func run(t *testing.T, ns string, program string, args ...string) string {
	t.Helper()
	out, err := command(ns, program, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func command(ns, program string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	input := ""
	if n := len(args); n > 1 && args[n-2] == "-" {
		args, input = args[:n-1], args[n-1]
	}
	cmd := exec.CommandContext(ctx, program, args...)
	if ns != "" {
		cmd = lab.Namespace(ns).Command(ctx, program, args...)
	}
	cmd.Stdin = strings.NewReader(input)
	if found, err := lab.NFT.Find(); err == nil {
		cmd.Env = append(os.Environ(), found.Env()...)
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s %v: %w: %s", program, args, err, out)
	}
	return string(out), nil
}

// nft runs nft in the node's namespace.
func nft(t *testing.T, args ...string) string {
	t.Helper()
	found, err := lab.NFT.Find()
	if err != nil {
		t.Fatal(err)
	}
	return run(t, "", found.Path("usr/sbin/nft"), args...)
}

// within runs f in a namespace, or here.
func within(ns string, f func() error) error {
	if ns == "" {
		return f()
	}
	return lab.Namespace(ns).Do(f)
}

// withTTL sets the TTL of what a socket sends.
func withTTL(ttl int) func(network, address string, c syscall.RawConn) error {
	return func(network, _ string, c syscall.RawConn) error {
		var err error
		outer := c.Control(func(fd uintptr) {
			if strings.HasSuffix(network, "6") {
				err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, ttl)
			} else {
				err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TTL, ttl)
			}
		})
		return errors.Join(outer, err)
	}
}

// server listens and remembers who came.
type server struct {
	net.Listener
	mu   sync.Mutex
	from []netip.Addr
}

// serve listens in a namespace and sends each that comes a byte.
func serve(t *testing.T, ns string, at netip.Addr, port uint16, ttl int) *server {
	t.Helper()
	s := &server{}
	err := within(ns, func() error {
		var err error
		lc := net.ListenConfig{Control: withTTL(ttl)}
		s.Listener, err = lc.Listen(t.Context(), "tcp", netip.AddrPortFrom(at, port).String())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	t.Cleanup(func() { s.Close(); <-ended })
	go func() {
		defer close(ended)
		var open []net.Conn
		defer func() {
			for _, c := range open {
				c.Close()
			}
		}()
		for {
			c, err := s.Accept()
			if err != nil {
				return
			}
			open = append(open, c)
			s.mu.Lock()
			s.from = append(s.from, c.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap())
			s.mu.Unlock()
			_, _ = c.Write([]byte("x")) // the client sees whether it arrives
		}
	}()
	return s
}

// came tells who came since the last call.
func (s *server) came() []netip.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.from
	s.from = nil
	return out
}

// connect opens a connection and waits for a byte.
func connect(ns string, from, to netip.Addr, port uint16, ttl int, wait time.Duration) error {
	var c net.Conn
	err := within(ns, func() error {
		d := net.Dialer{Timeout: wait, Control: withTTL(ttl), LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))}
		var err error
		c, err = d.Dial("tcp", netip.AddrPortFrom(to, port).String())
		return err
	})
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return err
	}
	_, err = c.Read(make([]byte, 1))
	return err
}

func wantConnected(t *testing.T, ns string, from, to netip.Addr, port uint16, ttl int) {
	t.Helper()
	if err := connect(ns, from, to, port, ttl, patience); err != nil {
		t.Errorf("from %s to %s port %d with TTL %d: %v", from, to, port, ttl, err)
	}
}

func wantSilence(t *testing.T, ns string, from, to netip.Addr, ttl int) {
	t.Helper()
	err := connect(ns, from, to, bgpPort, ttl, silence)
	var timeout net.Error
	if !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("from %s to %s with TTL %d: %v, want no answer", from, to, ttl, err)
	}
}

// start runs a Keeper until the test ends, and waits until it is active. The table goes with the test.
func start(t *testing.T, s State) *Keeper {
	t.Helper()
	k := NewKeeper(Config{Mode: NFTables, Interval: time.Hour})
	k.Set(s)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- k.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if _, err := Flush(); err != nil {
			t.Error(err)
		}
	})
	select {
	case <-k.Tried():
	case <-time.After(patience):
		t.Fatal("nothing was tried")
	}
	if st := k.Status(); st.Condition != Active {
		t.Fatalf("status %+v", st)
	}
	return k
}

// setAndWait changes what a Keeper wants, and waits until the kernel has it.
func setAndWait(t *testing.T, k *Keeper, s State) {
	t.Helper()
	want := build(s)
	k.Set(s)
	eventually(t, "the kernel to have the new state", func() error {
		have, err := kernelTables{}.read()
		if err != nil {
			return err
		}
		if c := compare(want, have, nil); c.why != "" {
			return errors.New(c.why)
		}
		return nil
	})
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, met func() error) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := met()
		if err == nil {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("not within %v: %s: %v", patience, what, err)
		case <-tick.C:
		}
	}
}

// testState is the node's, with the peers that are given as address and hops.
func testState(e ends, hops map[netip.Addr]uint8) State {
	s := State{Port: bgpPort, Listen: []netip.Addr{e.node, e.nodeToPod}, BIRD: []netip.Addr{e.node}}
	for a, n := range hops {
		s.Peers = append(s.Peers, Peer{Addr: a, Port: bgpPort, MaxHops: n})
	}
	return s
}

func TestKernelWhoMayConnect(t *testing.T) {
	for _, f := range families() {
		t.Run("IPv"+f.digit(), func(t *testing.T) {
			e := endsOf(f)
			network(t)
			s := serve(t, "", e.node, bgpPort, 255)
			other := serve(t, "", e.node, 22, 64)
			// Without the guard all of them get through: it is the guard that the rest of this test sees at work.
			wantConnected(t, far, e.peer, e.node, bgpPort, 254)
			wantConnected(t, far, e.stranger, e.node, bgpPort, 255)
			wantConnected(t, behind, e.behind, e.node, bgpPort, 255)
			s.came()

			k := start(t, testState(e, map[netip.Addr]uint8{e.peer: 1, e.behind: 1}))
			wantConnected(t, far, e.peer, e.node, bgpPort, 255)
			if got := s.came(); len(got) != 1 || got[0] != e.peer {
				t.Errorf("came: %v, want the peer", got)
			}
			wantSilence(t, far, e.peer, e.node, 254)
			wantSilence(t, far, e.stranger, e.node, 255)
			wantSilence(t, behind, e.behind, e.node, 255) // two hops away: it arrives with 254
			if got := s.came(); len(got) != 0 {
				t.Errorf("came: %v, want nobody", got)
			}
			wantConnected(t, far, e.stranger, e.node, 22, 64)
			wantConnected(t, behind, e.behind, e.node, 22, 64)
			other.came()

			setAndWait(t, k, testState(e, map[netip.Addr]uint8{e.peer: 2, e.behind: 2}))
			wantConnected(t, far, e.peer, e.node, bgpPort, 254)
			wantConnected(t, behind, e.behind, e.node, bgpPort, 255)
			wantSilence(t, behind, e.behind, e.node, 254)
			wantSilence(t, far, e.stranger, e.node, 255)

			setAndWait(t, k, testState(e, map[netip.Addr]uint8{e.behind: 2})) // a peer leaves the roster
			wantSilence(t, far, e.peer, e.node, 255)
		})
	}
}

// A pod is masqueraded to its node's address when it sends to an address outside of its cluster, and its node is a peer
// of the one that it sends to.
func TestKernelForwardedPackets(t *testing.T) {
	for _, f := range families() {
		t.Run("IPv"+f.digit(), func(t *testing.T) {
			e := endsOf(f)
			network(t)
			nft(t, "-f", "-", `table ip masq { chain post { type nat hook postrouting priority 100; ip saddr 10.1.0.0/24 masquerade; }; }
			table ip6 masq { chain post { type nat hook postrouting priority 100; ip6 saddr fd01::/64 masquerade; }; }`)
			t.Cleanup(func() { nft(t, "-f", "-", "delete table ip masq\ndelete table ip6 masq") })
			s := serve(t, far, e.peer, bgpPort, 255)
			same, next := serve(t, far, e.stranger, bgpPort, 64), serve(t, far, e.peer, bgpPort+1, 64)
			wantConnected(t, pod, e.pod, e.peer, bgpPort, 64)
			if got := s.came(); len(got) != 1 || got[0] != e.node {
				t.Fatalf("came: %v, want the pod in the guise of its node, or this test proves nothing", got)
			}

			start(t, testState(e, map[netip.Addr]uint8{e.peer: 1}))
			wantSilence(t, pod, e.pod, e.peer, 64)
			wantSilence(t, pod, e.pod, e.peer, 255)
			if got := s.came(); len(got) != 0 {
				t.Errorf("came: %v, want nobody", got)
			}
			wantConnected(t, pod, e.pod, e.peer, bgpPort+1, 64)   // another port of the peer
			wantConnected(t, pod, e.pod, e.stranger, bgpPort, 64) // the same port of somebody else
			wantConnected(t, "", e.node, e.peer, bgpPort, 255)    // the node itself
			if got := s.came(); len(got) != 1 || len(same.came()) != 1 || len(next.came()) != 1 {
				t.Errorf("came to the peer: %v, want the node", got)
			}
		})
	}
}

// Pods may use the port for something else.
func TestKernelPodsUseThePortToo(t *testing.T) {
	for _, f := range families() {
		t.Run("IPv"+f.digit(), func(t *testing.T) {
			e := endsOf(f)
			network(t)
			serve(t, pod, e.pod, bgpPort, 64)
			start(t, testState(e, map[netip.Addr]uint8{e.peer: 1}))
			wantConnected(t, far, e.stranger, e.pod, bgpPort, 64)
			wantConnected(t, "", e.nodeToPod, e.pod, bgpPort, 64)
		})
	}
}

func TestKernelTheLocalBIRD(t *testing.T) {
	network(t)
	e := endsOf(ipv4)
	state := testState(e, map[netip.Addr]uint8{e.peer: 1})
	state.Listen = append(state.Listen, addr("127.0.0.1"))
	serve(t, "", addr("127.0.0.1"), bgpPort, 64)
	wantConnected(t, "", addr("127.0.0.1"), addr("127.0.0.1"), bgpPort, 64)
	start(t, state)
	wantConnected(t, "", e.node, addr("127.0.0.1"), bgpPort, 64)
	wantSilence(t, "", addr("127.0.0.1"), addr("127.0.0.1"), 64)
}

// A pod that takes the node's address for its own must not pass for the node's BIRD. For IPv6 the kernel itself does not
// mind such a packet; the answer would not reach the pod, so what is looked at is what the guard counts.
func TestKernelAPodPosesAsBIRD(t *testing.T) {
	network(t)
	e := endsOf(ipv6)
	serve(t, "", e.nodeToPod, bgpPort, 64)
	start(t, testState(e, map[netip.Addr]uint8{e.peer: 1}))
	link, err := net.InterfaceByName("cali")
	if err != nil {
		t.Fatal(err)
	}
	run(t, pod, "ip", "-batch", "-", fmt.Sprintf("address add %s/128 dev lo nodad\nneighbour replace %s lladdr %s dev eth0",
		e.node, e.nodeToPod, link.HardwareAddr)) // the node would not answer a solicitation from its own address
	before := dropped(t)
	wantSilence(t, pod, e.node, e.nodeToPod, 255)
	if after := dropped(t); after == before {
		t.Error("the guard dropped nothing")
	}
}

// dropped is how many packets were dropped at the speaker's port.
func dropped(t *testing.T) int {
	t.Helper()
	var listing struct {
		NFTables []struct {
			Rule struct {
				Comment string
				Expr    []struct{ Counter struct{ Packets int } }
			}
		}
	}
	if err := json.Unmarshal([]byte(nft(t, "-j", "list", "chain", "inet", "routed", "speaker")), &listing); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, one := range listing.NFTables {
		for _, e := range one.Rule.Expr {
			n += e.Counter.Packets
		}
	}
	return n
}

// Sessions that we dial ourselves are held to the same distance, once they are sessions.
func TestKernelAnswersFromTooFar(t *testing.T) {
	for _, f := range families() {
		t.Run("IPv"+f.digit(), func(t *testing.T) {
			e := endsOf(f)
			network(t)
			serve(t, far, e.peer, bgpPort, 254)
			serve(t, far, e.stranger, bgpPort, 255)
			wantConnected(t, "", e.node, e.peer, bgpPort, 255)
			k := start(t, testState(e, map[netip.Addr]uint8{e.peer: 1, e.stranger: 1}))
			wantConnected(t, "", e.node, e.stranger, bgpPort, 255)
			wantSilence(t, "", e.node, e.peer, 255)
			setAndWait(t, k, testState(e, map[netip.Addr]uint8{e.peer: 2}))
			wantConnected(t, "", e.node, e.peer, bgpPort, 255)

			// Nobody listens: a host says so with its default TTL, and we should hear it.
			err := connect("", e.node, e.behind, bgpPort, 255, patience)
			if !errors.Is(err, unix.ECONNREFUSED) {
				t.Errorf("a peer without a daemon: %v, want connection refused", err)
			}
		})
	}
}

package probe

import (
	"context"
	"net/netip"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"routed/lab"
)

// These tests probe over a real kernel. The sandbox's own network namespace is the node; around it are
//
//	far     a neighbour over a link of MTU 1500, which forwards over a link of MTU 1300 to …
//	behind  … a node two hops away
//	hole    a neighbour that drops what is larger than 1420, without a word: a veth of MTU 1416 takes 4 bytes more (room
//	        for a VLAN tag, is_skb_forwardable in net/core/dev.c)
const patience = 15 * time.Second // until a test gives up on what should happen

type placesOf struct{ node, far, behind, hole, nobody netip.Addr }

func places(six bool) placesOf {
	a := netip.MustParseAddr
	if six {
		return placesOf{a("fd09::1"), a("fd09::2"), a("fd08::2"), a("fd07::2"), a("fd09::99")}
	}
	return placesOf{a("10.9.0.1"), a("10.9.0.2"), a("10.8.0.2"), a("10.7.0.2"), a("10.9.0.99")}
}

func network(t *testing.T) {
	t.Helper()
	lab.Need(t)
	ip(t, "", `netns add far
netns add behind
netns add hole
link add near mtu 1500 type veth peer name eth0 netns far
link add toHole mtu 1500 type veth peer name eth0 netns hole
link add cali1 mtu 1480 type veth peer name podEnd
address add 10.9.0.1/24 dev near
address add fd09::1/64 dev near nodad
address add 10.7.0.1/24 dev toHole
address add fd07::1/64 dev toHole nodad
link set podEnd mtu 1200
link set near up
link set toHole up
link set cali1 up
route add 10.8.0.0/24 via 10.9.0.2
route add fd08::/64 via fd09::2`)
	t.Cleanup(func() {
		ip(t, "", "link del near\nlink del toHole\nlink del cali1\nnetns del far\nnetns del behind\nnetns del hole")
	})
	ip(t, "far", `link add toBehind mtu 1300 type veth peer name eth0 mtu 1300 netns behind
address add 10.9.0.2/24 dev eth0
address add fd09::2/64 dev eth0 nodad
address add 10.8.0.1/24 dev toBehind
address add fd08::1/64 dev toBehind nodad
link set eth0 up
link set toBehind up`)
	ip(t, "behind", `address add 10.8.0.2/24 dev eth0
address add fd08::2/64 dev eth0 nodad
link set eth0 up
route add default via 10.8.0.1
route add default via fd08::1`)
	ip(t, "hole", `link set eth0 mtu 1416
address add 10.7.0.2/24 dev eth0
address add fd07::2/64 dev eth0 nodad
link set eth0 up
route add default via 10.7.0.1
route add default via fd07::1`)
	command(t, "far", "", "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding")
}

func ip(t *testing.T, ns, batch string) { t.Helper(); command(t, ns, batch, "ip", "-batch", "-") }

func command(t *testing.T, ns, input, program string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	if ns != "" {
		cmd = lab.Namespace(ns).Command(ctx, program, args...)
	}
	cmd.Stdin = strings.NewReader(input)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v: %s", program, args, err, out)
	}
}

// probing runs a Prober against targets until the test ends.
func probing(t *testing.T, local []netip.Addr, targets ...netip.Addr) *Prober {
	t.Helper()
	p := New(Config{Local: local, PodDevices: "cali"})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() { cancel(); equal(t, nil, <-done) })
	p.Configure(Settings{Interval: 200 * time.Millisecond, Timeout: 150 * time.Millisecond, PathMTU: true, PacketsPerSecond: 500})
	all := make([]Target, len(targets))
	for i, a := range targets {
		all[i] = Target{Addr: a, Kind: NextHop, NextHop: a}
	}
	p.SetTargets(all)
	return p
}

// eventually waits for what a Prober knows of a target to be as it should.
func eventually(t *testing.T, p *Prober, a netip.Addr, what string, met func(TargetStatus) bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		s, _ := p.Target(a)
		if met(s) {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("not within %s: %s %s; it is %+v, %s", patience, a, what, s, p.Status().Err)
		case <-tick.C:
		}
	}
}

func measures(mtu int) func(TargetStatus) bool {
	return func(s TargetStatus) bool { return s.State == Answering && s.MTU == mtu && s.RTT > 0 }
}

func TestProbesOverRealLinks(t *testing.T) {
	network(t)
	four, six := places(false), places(true)
	local := []netip.Addr{four.node, six.node}
	var all []netip.Addr
	for _, at := range []placesOf{four, six} {
		all = append(all, at.far, at.behind, at.hole, at.nobody)
	}
	p := probing(t, local, all...)
	other := probing(t, local, all...) // which is shown the same answers as p, and must take none for its own
	for _, one := range []*Prober{p, other} {
		for _, at := range []placesOf{four, six} {
			eventually(t, one, at.far, "is measured to the MTU of the device", measures(1500))
			eventually(t, one, at.behind, "is measured as the router says", measures(1300))
			eventually(t, one, at.hole, "is measured by what arrives", measures(1420))
			eventually(t, one, at.nobody, "fails", func(s TargetStatus) bool { return s.State == Failing })
		}
		equal(t, 1480, one.Status().PodMTU)
	}
	command(t, "far", "", "sh", "-c", "echo 1 >/proc/sys/net/ipv4/icmp_echo_ignore_all")
	eventually(t, p, four.far, "fails", func(s TargetStatus) bool { return s.State == Failing && s.Reason != "" })
	command(t, "far", "", "sh", "-c", "echo 0 >/proc/sys/net/ipv4/icmp_echo_ignore_all")
	eventually(t, p, four.far, "answers again", measures(1500))
	ip(t, "", "link set near down")
	eventually(t, p, four.behind, "fails", func(s TargetStatus) bool { return s.State == Failing && s.Reason != "" })
}

// Whoever may not open a raw socket is told which capability it takes.
func TestWithoutTheCapability(t *testing.T) {
	lab.Need(t)
	failed := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine, and its capabilities with it
		failed <- withoutRaw(func() error {
			_, err := openSocket(netip.MustParseAddr("127.0.0.1"))
			return err
		})
	}()
	err := <-failed
	check(t, err != nil && strings.Contains(err.Error(), "CAP_NET_RAW"), err)
}

// withoutRaw runs f without CAP_NET_RAW in this thread.
func withoutRaw(f func() error) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return err
	}
	data[0].Effective &^= 1 << unix.CAP_NET_RAW
	if err := unix.Capset(&header, &data[0]); err != nil {
		return err
	}
	return f()
}

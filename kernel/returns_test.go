package kernel

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// TestKernelReturns sends packets of remote pods to a node whose reverse path filter is strict: the kernel drops those for
// which two devices are told, and no others.
func TestKernelReturns(t *testing.T) {
	n := newTestNet(t)
	n.addVeth("near2", "far2", "198.51.100.1/24")
	n.addVeth("cali1", "pod")
	for _, words := range []string{
		"route add 20.1.0.0/26 via 192.0.2.77 table 1790 proto 114",
		"route add 20.1.0.64/26 via 198.51.100.77 table 1790 proto 114",
		"route add 20.1.0.128/26 via 198.51.100.77 table 1790 proto 114",
		"rule add to 20.1.0.0/16 lookup 1790 priority 1790",
		"route add 10.1.0.9 dev cali1", "route add 10.1.0.10 dev cali1",
		"rule add to 10.1.0.10 lookup 1790 priority 9", "route add 10.1.0.10 via 192.0.2.9 table 1790",
		"route add 10.1.0.64/26 via 192.0.2.9",
		"route add blackhole 10.1.0.128/26 proto bird", "route add blackhole 10.1.0.192/26 proto static", "route add blackhole 30.1.0.0/26 proto bird",
		"neigh add 192.0.2.77 lladdr 02:00:00:00:00:01 dev near nud permanent",
	} {
		if out, err := exec.CommandContext(t.Context(), "ip", strings.Fields(words)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", words, err, out)
		}
	}
	hops, err := Hops(t.Context(), testConfig(), n.fib)
	n.must(err)
	own, err := LocalBlocks(t.Context(), n.fib, prefixes("10.1.0.0/16"))
	if err != nil || !slices.Equal(own, prefixes("10.1.0.128/26")) {
		t.Errorf("%v, %v", own, err)
	}
	neighbors, err := n.fib.Neighbors(t.Context())
	known := Neighbor{Device: int32(n.near.Attrs().Index), Addr: hops[0].Addr, State: unix.NUD_PERMANENT}
	if err != nil || !slices.Contains(neighbors, known) {
		t.Errorf("%+v, %v", neighbors, err)
	}
	var blocks []netip.Prefix
	for _, h := range hops {
		blocks = append(blocks, h.Block)
	}
	if len(hops) != 2 || hops[0].Device != "near" || hops[1].Device != "near2" || hops[1].Addr.String() != "198.51.100.77" {
		t.Fatalf("%+v", hops)
	}
	got, err := ReturnPaths(t.Context(), n.fib, netip.MustParseAddr("192.0.2.1"), append(blocks, prefixes("2001:db8:20::/64")...), prefixes("10.1.0.0/16"))
	n.must(err)
	slices.SortFunc(got, func(a, b ReturnPath) int { return a.From.Compare(b.From) })
	want := []ReturnPath{
		{From: prefixes("10.1.0.9/32")[0], Arrives: "cali1", Answers: "cali1", Here: true},
		{From: prefixes("10.1.0.10/32")[0], Arrives: "cali1", Answers: "near", Here: true},
		{From: prefixes("20.1.0.0/26")[0], Arrives: "near", Answers: "near"},
		{From: prefixes("20.1.0.64/26")[0], Arrives: "near", Answers: "near2"},
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
	if elsewhere, err := ReturnPaths(t.Context(), n.fib, netip.MustParseAddr("192.0.2.2"), blocks, nil); err != nil || elsewhere != nil {
		t.Errorf("the node's address is nowhere: %+v, %v", elsewhere, err)
	}

	n.must(os.WriteFile("/proc/sys/net/ipv4/conf/near/rp_filter", []byte("1"), 0o644))
	n.must(os.WriteFile("/proc/sys/net/ipv4/conf/all/rp_filter", []byte("0"), 0o644))
	dropped := n.filtered()
	n.sendFrom("20.1.0.1", "far", "near")
	n.sendFrom("20.1.0.65", "far", "near")
	eventually(t, "the packet for which there are two devices is dropped", func() bool { return n.filtered() == dropped+1 })
	never(t, "the other one is dropped too", func() bool { return n.filtered() != dropped+1 })
}

// filtered is how many packets the reverse path filter has dropped in this namespace.
func (n *testNet) filtered() int {
	n.t.Helper()
	text, err := os.ReadFile("/proc/thread-self/net/netstat")
	n.must(err)
	var names []string
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if fields[0] != "TcpExt:" {
			continue
		}
		if i := slices.Index(names, "IPReversePathFilter"); i >= 0 {
			count, err := strconv.Atoi(fields[i])
			n.must(err)
			return count
		}
		names = fields
	}
	n.t.Fatal("the kernel does not count")
	return 0
}

// sendFrom sends a packet with a source address to 192.0.2.1, through one end of a link.
func (n *testNet) sendFrom(source, from, to string) {
	n.t.Helper()
	out, err := n.eye.LinkByName(from)
	n.must(err)
	in, err := n.eye.LinkByName(to)
	n.must(err)
	const headers = 20 + 8
	p := slices.Concat(in.Attrs().HardwareAddr, out.Attrs().HardwareAddr, []byte{8, 0}, make([]byte, headers))
	ip := p[len(p)-headers:]
	ip[0], ip[3], ip[8], ip[9] = 0x45, headers, 64, unix.IPPROTO_UDP
	copy(ip[12:], net.ParseIP(source).To4())
	copy(ip[16:], net.ParseIP("192.0.2.1").To4())
	var sum uint32
	for i := 0; i < 20; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(ip[i:]))
	}
	binary.BigEndian.PutUint16(ip[10:], ^uint16(sum+sum>>16))
	ip[25] = 8 // the length of UDP: there is nothing in it
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	n.must(err)
	n.must(unix.Sendto(fd, p, 0, &unix.SockaddrLinklayer{Ifindex: out.Attrs().Index}))
	n.must(unix.Close(fd))
}

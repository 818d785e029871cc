package doctor

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

// What this kernel says of a listener and a connection of this process.
func TestSocketsOfThisHost(t *testing.T) {
	for _, network := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, err := net.Listen("tcp", network)
		if err != nil {
			t.Skip(err)
		}
		defer l.Close()
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		at := netip.MustParseAddrPort(l.Addr().String())
		proc := os.DirFS("/proc")
		sockets, err := readSockets(proc)
		if err != nil {
			t.Fatal(err)
		}
		nameOwners(proc, sockets, []uint16{at.Port()})
		comm, err := os.ReadFile("/proc/self/comm")
		if err != nil {
			t.Fatal(err)
		}
		listens := func(s Socket) bool { return s.serves(at) && s.Owner == strings.TrimSpace(string(comm)) }
		connected := func(s Socket) bool { return !s.Listens && s.Remote == at && s.Local.String() == c.LocalAddr().String() }
		if !slices.ContainsFunc(sockets, listens) || !slices.ContainsFunc(sockets, connected) {
			t.Errorf("%s: %+v", at, sockets)
		}
	}
}

func TestReadSockets(t *testing.T) {
	const heading = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
	proc := fstest.MapFS{"net/tcp": {Data: []byte(heading +
		"   0: 00000000:00B3 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0\n" +
		"   1: 00000000:1234 00000000:0000 06 00000000:00000000 00:00000000 00000000     0        0 0 1 0 100 0 0 10 0\n" +
		"   2: broken 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 100 0 0 10 0\n")}}
	got, err := readSockets(proc)
	want := []Socket{{
		Local: netip.MustParseAddrPort("0.0.0.0:179"), Remote: netip.MustParseAddrPort("0.0.0.0:0"), Listens: true, Inode: "4711",
	}}
	same := cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })
	if diff := cmp.Diff(want, got, same); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	if _, err := readSockets(fstest.MapFS{}); err == nil {
		t.Error("no /proc/net/tcp, and no error")
	}
}

// A socket of all addresses serves each, one of all IPv4 addresses none of IPv6.
func TestServes(t *testing.T) {
	for _, c := range []struct {
		local, to string
		want      bool
	}{
		{"127.0.0.1:179", "127.0.0.1:179", true},
		{"127.0.0.1:179", "127.0.0.1:180", false},
		{"9.9.9.9:179", "127.0.0.1:179", false},
		{"0.0.0.0:179", "127.0.0.1:179", true},
		{"0.0.0.0:179", "[::1]:179", false},
		{"[::]:179", "[::1]:179", true},
		{"[::]:179", "127.0.0.1:179", true},
	} {
		s := Socket{Local: netip.MustParseAddrPort(c.local), Listens: true}
		if got := s.serves(netip.MustParseAddrPort(c.to)); got != c.want {
			t.Errorf("%s serves %s: %v", c.local, c.to, got)
		}
	}
}

// Whatever /proc/net/tcp says, an address that was read is one.
func FuzzSockets(f *testing.F) {
	f.Add("   0: 0100007F:00B3 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, s := range parseSockets(text) {
			if !s.Local.IsValid() || !s.Remote.IsValid() || s.Inode == "" {
				t.Errorf("%+v", s)
			}
		}
	})
}

package bgp

import (
	"net"
	"net/netip"
	"os"
	"testing"

	"routed/peering"
)

// listenTCP listens on an address; not for Multipath TCP, which knows no signatures.
func listenTCP(t *testing.T, at netip.Addr) (net.Listener, listeners) {
	t.Helper()
	var lc net.ListenConfig
	lc.SetMultipathTCP(false)
	l, err := lc.Listen(t.Context(), "tcp", netip.AddrPortFrom(at, 0).String())
	if err != nil {
		t.Fatal(err)
	}
	bound := netip.MustParseAddrPort(l.Addr().String())
	ls, err := openListeners([]netip.Addr{bound.Addr()}, bound.Port())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l, ls
}

func TestHasKey(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: needs root, to ask the kernel for keys")
	}
	for _, at := range []netip.Addr{addr("127.9.44.1"), netip.IPv6Loopback()} {
		l, ls := listenTCP(t, at)
		bound := netip.MustParseAddrPort(l.Addr().String())
		asked := func(local, remote netip.AddrPort) bool {
			t.Helper()
			keyed, err := hasKey(local, remote)
			if err != nil {
				t.Fatal(err)
			}
			return keyed
		}
		anybody := netip.AddrPortFrom(unspecified(at), 0)
		if asked(bound, anybody) {
			t.Errorf("%s: a listener without keys has one", at)
		}
		c, err := new(net.Dialer).DialContext(t.Context(), "tcp", bound.String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		if err := ls.setKey(at, peering.NewPassword("secret")); err != nil {
			t.Fatal(err)
		}
		if !asked(bound, anybody) {
			t.Errorf("%s: a listener with a key has none", at)
		}
		if asked(netip.MustParseAddrPort(c.LocalAddr().String()), bound) {
			t.Errorf("%s: a connection without a key has one", at)
		}
		_ = l.Close()
		ls.close()
		if _, err := hasKey(bound, anybody); err == nil {
			t.Errorf("%s: the kernel answers for a socket that is not there", at)
		}
	}
}

package doctor

import (
	"net/netip"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"routed/config"
	"routed/kernel"
)

// Of what is wrong on a host only what touches the way to one address is told.
func TestPath(t *testing.T) {
	cfg := &config.Config{Remotes: []config.Remote{{PodCIDRs: prefixes("20.1.0.0/16", "30.1.0.0/16", "2001:db8:20::/48")}}}
	byHand := func(prefix string) kernel.FIBRoute {
		return kernel.FIBRoute{Prefix: prefixes(prefix)[0], Gateway: netip.MustParseAddr("9.111.255.77"), Device: 2, Protocol: 3, Type: 1}
	}
	rule := func(to string, table uint32) kernel.Rule {
		return kernel.Rule{Priority: 1790, Table: table, To: prefixes(to)[0], Protocol: 114, IPv6: prefixes(to)[0].Addr().Is6()}
	}
	fib := stillFIB{
		tables: map[uint32][]kernel.FIBRoute{config.TableMain: {byHand("20.1.47.128/26"), byHand("20.1.48.0/26"), byHand("0.0.0.0/0")}},
		rules:  []kernel.Rule{rule("20.1.0.0/16", 1790), rule("40.1.0.0/16", 1790)},
	}
	ahead := rule("20.1.47.0/24", config.TableMain)
	ahead.Priority = 7
	elsewhere := rule("20.1.99.0/24", config.TableMain)
	fib.rules = append(fib.rules, ahead, elsewhere)
	proc := fstest.MapFS{
		"sys/net/ipv4/ip_forward":             {Data: []byte("1\n")},
		"sys/net/ipv4/conf/eth0.7/forwarding": {Data: []byte("0\n")},
	}
	look := func(address, device string) []string {
		var found []string
		for _, c := range ExaminePath(LookOnPath(t.Context(), sources(cfg, fib, proc), netip.MustParseAddr(address), device)) {
			found = append(found, c.Name+" "+string(c.Result)+": "+c.Why)
		}
		return found
	}
	for _, c := range []struct {
		address, device string
		want            []string
	}{
		{"20.1.47.150", "eth0.7", []string{
			"ip-forwarding failed: net/ipv4/conf/eth0.7/forwarding is 0: packets of pods are dropped",
			"rules warning: a rule of somebody else decides before those of routed: 7: to 20.1.47.0/24 lookup main",
			"hand-made-routes warning: main has 20.1.47.128/26 via 9.111.255.77 dev eth0.7 proto boot; the mesh does not hold the block yet",
		}},
		{"20.1.50.1", "", nil},
		{"30.1.0.1", "", []string{"rules failed: no rule leads lookups of 30.1.0.0/16 to table 1790"}},
	} {
		if diff := cmp.Diff(c.want, look(c.address, c.device)); diff != "" {
			t.Errorf("%s: %s", c.address, diff)
		}
	}
}

// What drops or changes packets on the way is told of the way that they take.
func TestPathOfPackets(t *testing.T) {
	cfg := &config.Config{
		Cluster: config.Cluster{PodCIDRs: prefixes("10.1.0.0/16")}, Node: config.Node{Address: netip.MustParseAddr("9.111.255.21")},
		Remotes: []config.Remote{{PodCIDRs: prefixes("20.1.0.0/16")}},
	}
	rule := kernel.Rule{Priority: 1790, Table: 1790, To: prefixes("20.1.0.0/16")[0], Protocol: 114}
	fib := stillFIB{rules: []kernel.Rule{rule}, addresses: []kernel.Address{
		{Device: 3, Local: cfg.Node.Address, Subnet: prefixes("9.111.255.0/24")[0]},
	}}
	proc := fstest.MapFS{
		"sys/net/ipv4/ip_forward":             {Data: []byte("1\n")},
		"sys/net/ipv4/conf/eth0.7/forwarding": {Data: []byte("1\n")},
		"sys/net/ipv4/conf/all/rp_filter":     {Data: []byte("1\n")},
		"sys/net/ipv4/conf/eth1/rp_filter":    {Data: []byte("0\n")},
	}
	from := sources(cfg, fib, proc)
	got := ExaminePath(LookOnPath(t.Context(), from, netip.MustParseAddr("20.1.47.150"), "eth0.7"))
	want := []Check{{
		Name: "rp-filter", Result: Failed,
		Why: "net/ipv4/conf/all/rp_filter is strict, and packets of remote pods (20.1.47.150/32) come in by eth1 while answers " +
			"leave by eth0.7: they are dropped",
		Fix: "let both ways use one device, or: sysctl -w net/ipv4/conf/eth1/rp_filter=2, and the same in a file in /etc/sysctl.d",
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

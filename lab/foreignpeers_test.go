package lab_test

import (
	"context"
	"fmt"
	"net/netip"

	"routed/lab"
)

// foreignPeer is a BGP daemon of somebody else as a node of a cluster of its own, with two blocks.
type foreignPeer struct {
	*lab.Reflector
	kept, extra netip.Prefix
	config      func(restart bool) string   // with graceful restart, or with as little of it as it can
	withdraw    func(context.Context) error // of extra
	table       []string                    // what it is asked, to tell what it has learned
	endOfRIB    map[bool]bool               // whether it sends one, with graceful restart and without
}

func foreignFRR(n *lab.Network) *foreignPeer {
	frr := &foreignPeer{
		kept: netip.MustParsePrefix("30.1.0.0/26"), extra: netip.MustParsePrefix("30.1.1.0/26"),
		config: func(restart bool) string {
			mode := "bgp graceful-restart-disable"
			if restart {
				mode = "bgp graceful-restart\n bgp graceful-restart preserve-fw-state"
			}
			return fmt.Sprintf(`router bgp 64513
 bgp router-id 9.111.255.30
 no bgp ebgp-requires-policy
 no bgp network import-check
 %s
 neighbor %[2]s remote-as 64512
 neighbor %[2]s port 1790
 neighbor %[2]s timers 3 9
 neighbor %[2]s timers connect 1
 neighbor %[2]s ttl-security hops 1
 address-family ipv4 unicast
  network 30.1.0.0/26
  network 30.1.1.0/26
 exit-address-family
`, mode, ourNode)
		},
		table:    []string{"show bgp ipv4 unicast"},
		endOfRIB: map[bool]bool{true: true, false: true},
	}
	frr.Reflector = n.Node("frr").Foreign(lab.FRR, "")
	frr.withdraw = func(ctx context.Context) error {
		_, err := frr.Ask(ctx, "configure terminal", "router bgp 64513", "address-family ipv4 unicast", "no network 30.1.1.0/26")
		return err
	}
	return frr
}

func foreignBIRD(n *lab.Network) *foreignPeer {
	bird := &foreignPeer{
		kept: netip.MustParsePrefix("40.1.0.0/26"), extra: netip.MustParsePrefix("40.1.1.0/26"),
		config: func(restart bool) string {
			return fmt.Sprintf(`router id 9.111.255.40;
protocol device {}
protocol direct { ipv4; }
protocol static kept { ipv4; route 40.1.0.0/26 blackhole; }
protocol static extra { ipv4; route 40.1.1.0/26 blackhole; }
protocol bgp ours { local 9.111.255.40 as 64512; neighbor %s port 1790 as 64512; direct; ttl security on; hold time 9; connect retry time 2;
 connect delay time 1; graceful restart %s; ipv4 { import all; export where source = RTS_STATIC; next hop self; }; }
`, ourNode, map[bool]string{true: "on", false: "off"}[restart])
		},
		table:    []string{"show", "route"},
		endOfRIB: map[bool]bool{true: true},
	}
	bird.Reflector = n.Node("bird").Foreign(lab.BIRD2, "")
	bird.withdraw = func(ctx context.Context) error {
		_, err := bird.Ask(ctx, "disable", "extra")
		return err
	}
	return bird
}

func foreignGoBGP(n *lab.Network) *foreignPeer {
	gobgp := &foreignPeer{
		kept: netip.MustParsePrefix("50.1.0.0/26"), extra: netip.MustParsePrefix("50.1.1.0/26"),
		config: func(restart bool) string {
			return fmt.Sprintf(`[global.config]
  as = 4200000050
  router-id = "9.111.255.50"
[[neighbors]]
  [neighbors.config]
    neighbor-address = %q
    peer-as = 64512
  [neighbors.transport.config]
    remote-port = 1790
  [neighbors.timers.config]
    hold-time = 9
    connect-retry = 2
  [neighbors.ttl-security.config]
    enabled = true
    ttl-min = 255
  [neighbors.graceful-restart.config]
    enabled = %t
    restart-time = 20
  [[neighbors.afi-safis]]
    [neighbors.afi-safis.config]
      afi-safi-name = "ipv4-unicast"
    [neighbors.afi-safis.mp-graceful-restart.config]
      enabled = %[2]t
`, ourNode, restart)
		},
		table:    []string{"global", "rib"},
		endOfRIB: map[bool]bool{true: true},
	}
	gobgp.Reflector = n.Node("gobgp").Foreign(lab.GoBGP, "")
	gobgp.withdraw = func(ctx context.Context) error {
		_, err := gobgp.Ask(ctx, "global", "rib", "del", gobgp.extra.String())
		return err
	}
	return gobgp
}

// begin starts the daemon, and tells gobgpd its blocks, which are in no configuration of it.
func (f *foreignPeer) begin(ctx context.Context, restart bool) error {
	f.Spec.Config = f.config(restart)
	if err := f.Start(ctx); err != nil || f.Spec.Tool != lab.GoBGP {
		return err
	}
	return lab.WaitFor(ctx, "gobgpd to answer", func(ctx context.Context) error {
		for _, p := range []netip.Prefix{f.kept, f.extra} {
			if _, err := f.Ask(ctx, "global", "rib", "add", p.String(), "nexthop", f.Spec.Addr.String()); err != nil {
				return err
			}
		}
		return nil
	})
}

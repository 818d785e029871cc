package main

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"routed/guard"
)

// Who may connect is who the configuration and the hosts say are peers, each from as far as its session allows.
func TestGuardState(t *testing.T) {
	cfg := parse(t, "{accept: 127.0.0.1}", "{addresses: [9.111.255.77, 198.51.100.9]}")
	roster, err := resolve(t, cfg, seedHost())
	if err != nil {
		t.Fatal(err)
	}
	addr := netip.MustParseAddr
	want := guard.State{
		Port: 1790, Listen: []netip.Addr{addr("9.111.255.21"), addr("127.0.0.1")}, BIRD: []netip.Addr{addr("9.111.255.21")},
		Peers: []guard.Peer{
			{Addr: addr("9.111.255.77"), Port: 1790, MaxHops: 1}, {Addr: addr("198.51.100.9"), Port: 1790, MaxHops: farHops},
		},
	}
	sorted := cmpopts.SortSlices(netip.Addr.Less)
	if diff := cmp.Diff(want, guardState(cfg, roster), cmpopts.EquateComparable(netip.Addr{}), sorted); diff != "" {
		t.Error(diff)
	}
	if got := guardConfig(cfg, nil); got.Mode != guard.Auto || got.Interval != cfg.Kernel.ResyncInterval {
		t.Errorf("%+v", got)
	}
}

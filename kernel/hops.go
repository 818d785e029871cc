package kernel

import (
	"context"
	"maps"
	"net/netip"
	"slices"
)

// Hop is one next hop of the table.
type Hop struct {
	Addr   netip.Addr
	Device string       // by which it is reached
	Block  netip.Prefix // one of those behind it
}

// Hops lists the next hops of our routes, by address. Its cost is that of a dump, its result that of the hops.
func Hops(ctx context.Context, cfg Config, fib FIB) ([]Hop, error) {
	topology, err := fib.Topology(ctx)
	if err != nil {
		return nil, err
	}
	o := cfg.owner()
	found := make(map[netip.Addr]Hop)
	_, err = readRoutes(ctx, fib, cfg.Table, func(r FIBRoute) bool {
		if _, seen := found[r.Gateway]; !seen && o.owns(r) && r.Gateway.IsValid() {
			found[r.Gateway] = Hop{Addr: r.Gateway, Device: topology.DeviceName(r.Device), Block: r.Prefix}
		}
		return false
	})
	if err != nil {
		return nil, err
	}
	return slices.SortedFunc(maps.Values(found), func(a, b Hop) int { return a.Addr.Compare(b.Addr) }), nil
}

package kernel

import (
	"context"
	"net/netip"

	"golang.org/x/sys/unix"
)

// ReturnPath is where packets of some pods come in, and by which device the kernel would answer: what the reverse path
// filter of IPv4 compares (fib_validate_source in net/ipv4/fib_frontend.c).
type ReturnPath struct {
	From    netip.Prefix
	Arrives string // the device that they come in by
	Answers string // the device by which packets to them leave; empty: they do not
	Here    bool   // they are pods of this node
}

// maxReturns bounds what is looked up of each.
const maxReturns = 1024

// ReturnPaths looks at the return paths of some IPv4 blocks of remote pods, and of those of this node's own pods that main
// has a route to; own are their ranges. Packets of remote pods are taken to come in by the device whose subnet the node's
// address is in: that address is what the others have as next hop. Where it is on no subnet they are left out.
func ReturnPaths(ctx context.Context, fib FIB, node netip.Addr, remote, own []netip.Prefix) ([]ReturnPath, error) {
	topology, err := fib.Topology(ctx)
	if err != nil {
		return nil, err
	}
	paths, err := podReturns(ctx, fib, topology, own)
	if err != nil {
		return nil, err
	}
	if arrives := topology.subnetOf(node); arrives != "" {
		for _, p := range remote[:min(len(remote), maxReturns)] {
			if !isIPv6(p) {
				paths = append(paths, ReturnPath{From: p, Arrives: arrives})
			}
		}
	}
	addrs := make([]netip.Addr, len(paths))
	for i, p := range paths {
		addrs[i] = p.From.Addr()
	}
	for i, a := range fib.Lookup(addrs) {
		if a.Err == nil {
			paths[i].Answers = topology.DeviceName(a.Route.Device)
		}
	}
	return paths, nil
}

// subnetOf is the device by which an address of ours has a subnet, if any.
func (t Topology) subnetOf(own netip.Addr) string {
	for _, a := range t.Addresses {
		if a.Local == own && !a.Subnet.IsSingleIP() && !t.Links[a.Device].Loopback {
			return t.DeviceName(a.Device)
		}
	}
	return ""
}

// podReturns are those of the pods that main has a route to, without the answer.
func podReturns(ctx context.Context, fib FIB, t Topology, own []netip.Prefix) ([]ReturnPath, error) {
	if len(own) == 0 {
		return nil, nil
	}
	routes, err := readRoutes(ctx, fib, mainTable, func(r FIBRoute) bool {
		isPod := r.Prefix.IsSingleIP() && !isIPv6(r.Prefix) && !r.Gateway.IsValid() && r.Device != 0 && r.Type == unix.RTN_UNICAST
		return isPod && within(r.Prefix, own)
	})
	var paths []ReturnPath
	for _, r := range routes[:min(len(routes), maxReturns)] {
		paths = append(paths, ReturnPath{From: r.Prefix, Arrives: t.DeviceName(r.Device), Here: true})
	}
	return paths, err
}

package doctor

import (
	"context"
	"net/netip"
	"slices"

	"routed/kernel"
)

// LookRunning reads of the host what a running daemon looks at again and again: what breaks pod traffic while every session
// and every route is as it should be.
func LookRunning(ctx context.Context, s Sources) Host {
	h := Host{Owned: s.Owned, Lookups: s.Config.RemotePodCIDRs()}
	h.readWay(ctx, s)
	return h
}

// ExamineRunning runs the checks of what [LookRunning] reads.
func ExamineRunning(h Host) Report {
	return examine(h, checkForwarding, checkRPFilter, checkMasquerade)
}

// readWay reads what meets packets on their way between pods of this node and remote ones.
func (h *Host) readWay(ctx context.Context, s Sources) {
	hops, err := kernel.Hops(ctx, s.Owned, s.FIB)
	h.Hops = fact(hops, err)
	h.To = h.Lookups
	blocks := make([]netip.Prefix, 0, len(hops))
	for _, hop := range hops {
		blocks = append(blocks, hop.Block)
		if !slices.Contains(h.Leave, hop.Device) {
			h.Leave = append(h.Leave, hop.Device)
		}
	}
	h.readForwarding(s.Proc, h.Leave)
	h.Returns = fact(kernel.ReturnPaths(ctx, s.FIB, s.Config.Node.Address, blocks, s.Config.Cluster.PodCIDRs))
	h.readRPFilter(s.Proc)
	h.readSourceNAT(ctx, s)
}

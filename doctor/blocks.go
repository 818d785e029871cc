package doctor

// checkBlocks looks for the traces that Calico leaves of this node's own blocks, by which a daemon knows them before BIRD speaks.
func checkBlocks(h Host) []Check {
	const name = "own-blocks"
	ranges := list(h.OwnRanges)
	switch blocks := h.Blocks.Value; {
	case h.Blocks.Err != nil:
		return []Check{unknown(name, h.Blocks.Err, "look at them with `ip route show type blackhole`")}
	case len(blocks) > 0:
		return []Check{good(name, "the kernel has %d blocks of this node inside %s, such as %s", len(blocks), ranges, blocks[0])}
	}
	return []Check{{
		Name: name, Result: Warning,
		Why: "the kernel has no block of this node inside " + ranges + " (a blackhole route of BIRD or Felix): without a session with BIRD there is nothing to announce",
		Fix: "see that calico-node runs here and a pod does, and that cluster.podCIDRs is Calico's pool (`calicoctl ipam show --show-blocks`); blocks of /32 leave no trace",
	}}
}

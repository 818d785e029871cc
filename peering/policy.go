package peering

// Reason says why an announcement was refused; a closed set, the metrics label `reason`.
type Reason string

// The reasons of the import policy.
const (
	ReasonNoNextHop    Reason = "no_next_hop"       // the UPDATE carries no NEXT_HOP
	ReasonNoASPath     Reason = "no_as_path"        // the UPDATE carries no AS_PATH
	ReasonOutsideRange Reason = "outside_pod_cidrs" // not inside what the cluster may announce
	ReasonLength       Reason = "prefix_length"     // a length the cluster may not announce
	ReasonNextHop      Reason = "next_hop_not_peer" // the next hop is not the peer (for BIRD: not this node)
	ReasonOwnAddress   Reason = "own_address"       // the next hop or the prefix is an address of ours
	ReasonOwnRange     Reason = "own_pod_cidrs"     // it overlaps our own pod ranges
	ReasonFirstAS      Reason = "first_as_not_peer" // eBGP: the first AS is not the peer's
	ReasonASLoop       Reason = "as_loop"           // our own AS is in the path
	ReasonLimitNode    Reason = "limit_prefixes_per_node"
	ReasonLimitCluster Reason = "limit_prefixes"
)

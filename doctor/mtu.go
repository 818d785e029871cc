package doctor

import (
	"fmt"
	"slices"
	"strings"

	"routed/kernel"
)

// PodDevices is how the names of the devices begin that Calico gives to pods, unless it is told otherwise
// (FELIX_INTERFACEPREFIX).
const PodDevices = "cali"

// checkMTU looks at whether what a pod may send fits the devices by which it leaves to remote pods.
func checkMTU(h Host) []Check {
	const name = "mtu"
	if h.Topology.Err != nil {
		return []Check{unknown(name, h.Topology.Err, "look at them with `ip link`")}
	}
	var pod kernel.Link // the one that may send most
	for _, l := range h.Topology.Value.Links {
		if strings.HasPrefix(l.Name, PodDevices) && (l.MTU > pod.MTU || l.MTU == pod.MTU && l.Name < pod.Name) {
			pod = l
		}
	}
	if pod.MTU == 0 {
		return []Check{good(name, "no pod of Calico is on this node yet")}
	}
	var checks []Check
	for _, l := range h.Topology.Value.Links {
		if slices.Contains(h.Leave, l.Name) && l.MTU < pod.MTU {
			checks = append(checks, Check{
				Name: name, Result: Warning,
				Why: fmt.Sprintf("pods may send %d bytes at once (%s), and %s, by which they leave to remote pods, takes %d", pod.MTU, pod.Name, l.Name, l.MTU),
				Fix: fmt.Sprintf("give pods an MTU of at most %d (mtu in FelixConfiguration and the CNI configuration), or raise that of %s", l.MTU, l.Name),
			})
		}
	}
	slices.SortFunc(checks, func(a, b Check) int { return strings.Compare(a.Why, b.Why) })
	if len(checks) == 0 {
		checks = []Check{good(name, "what pods may send, %d bytes (%s), fits the devices to remote pods", pod.MTU, pod.Name)}
	}
	return checks
}

// checkTunnels looks at what tunnels need beside routes.
func checkTunnels(h Host) []Check {
	const name, ipip = "ipip-sources", "tunl0"
	switch {
	case h.Hops.Err != nil:
		return []Check{unknown(name, h.Hops.Err, fmt.Sprintf("look at them with `ip route show table %d`", h.Owned.Table))}
	case slices.ContainsFunc(h.Hops.Value, func(hop kernel.Hop) bool { return hop.Device == ipip }):
		return []Check{{
			Name: name, Result: Unknown, Why: "routes to remote pods leave by " + ipip + ", and Felix drops tunnelled packets from nodes that it does not know",
			Fix: "see that the remote nodes are in its set (`ipset list cali40all-hosts-net`): externalNodesList in FelixConfiguration",
		}}
	}
	return []Check{good(name, "no tunnel leads to remote pods, so that Felix's list of tunnel sources does not matter")}
}

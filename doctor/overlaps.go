package doctor

import "fmt"

// checkOverlaps looks for addresses and subnets of this host that lie in the pod ranges of remote clusters.
func checkOverlaps(h Host) []Check {
	const name = "overlaps"
	if h.Topology.Err != nil {
		return []Check{unknown(name, h.Topology.Err, "look at them with `ip address`")}
	}
	var checks []Check
	for _, a := range h.Topology.Value.Addresses {
		device := h.Topology.Value.DeviceName(a.Device)
		for _, p := range h.Lookups {
			c := Check{Name: name, Fix: "give " + device + " another subnet, or the remote cluster another pod range"}
			switch {
			case p.Contains(a.Local):
				c.Result = Failed
				c.Why = fmt.Sprintf("%s has the address %s, in the pod range %s of a remote cluster: a pod with it is not reached", device, a.Local, p)
			case p.Overlaps(a.Subnet):
				c.Result = Warning
				c.Why = fmt.Sprintf("the subnet %s of %s overlaps the pod range %s of a remote cluster: where both have an address, packets go to the pod",
					a.Subnet, device, p)
			default:
				continue
			}
			checks = append(checks, c)
		}
	}
	if len(checks) == 0 {
		checks = []Check{good(name, "no address or subnet of this host lies in %s", list(h.Lookups))}
	}
	return checks
}

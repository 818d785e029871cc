package doctor

import (
	"fmt"
	"net/netip"
)

// Port is an address that a daemon listens at.
type Port struct {
	Key string // of the configuration
	At  netip.AddrPort
}

// ourName is the name that the kernel knows our processes by.
const ourName = "routed"

// checkPorts looks at who has the ports of the daemon.
func checkPorts(h Host) []Check {
	const name = "ports"
	if h.Sockets.Err != nil {
		return []Check{unknown(name, h.Sockets.Err, "look at them with `ss -ltnp`")}
	}
	var checks []Check
	for _, p := range h.Ports {
		for _, s := range h.Sockets.Value {
			if !s.serves(p.At) || s.Owner == ourName {
				continue
			}
			c := Check{
				Name: name, Result: Failed, Why: fmt.Sprintf("%s (%s) is taken by %s", p.At, p.Key, s.Owner),
				Fix: fmt.Sprintf("stop it, or choose another port (%s; the nodes of the other clusters must know)", p.Key),
			}
			if s.Owner == "" {
				c.Result, c.Why, c.Fix = Unknown, fmt.Sprintf("%s (%s) is taken, and by whom cannot be seen from here", p.At, p.Key),
					fmt.Sprintf("see as root, on the host: ss -ltnp 'sport = :%d'", p.At.Port())
			}
			checks = append(checks, c)
			break
		}
	}
	if len(checks) == 0 {
		checks = []Check{good(name, "the ports of routed are its own, or free")}
	}
	return checks
}

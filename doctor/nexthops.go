package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"strconv"
	"strings"

	"routed/kernel"
)

// neighborRoom are the parameters that bound how many neighbours the kernel knows at once.
func neighborRoom(ipv6 bool) string {
	if ipv6 {
		return "net/ipv6/neigh/default/gc_thresh3"
	}
	return "net/ipv4/neigh/default/gc_thresh3"
}

func (h *Host) readNeighborRoom(proc fs.FS) {
	told := make(map[bool]bool)
	for _, hop := range h.Hops.Value {
		if six := hop.Addr.Is6(); !told[six] {
			told[six] = true
			key := neighborRoom(six)
			h.NeighborRoom = append(h.NeighborRoom, Sysctl{Key: key, Value: fact(readSysctl(proc, key))})
		}
	}
}

// namedHops is how many next hops are named before the others are counted.
const namedHops = 3

// checkNextHops looks at whether the next hops of the table can be reached, as the kernel knows by now. Nobody is asked.
func checkNextHops(h Host) []Check {
	const name = "next-hops"
	for _, err := range []error{h.Hops.Err, h.Topology.Err, h.Neighbors.Err} {
		if err != nil {
			return []Check{unknown(name, err, "look at them with `ip neigh` and `ip link`")}
		}
	}
	checks := append(h.devicesOfHops(name), h.silentHops(name)...)
	checks = append(checks, h.crowdedHops(name)...)
	if len(checks) == 0 {
		checks = []Check{good(name, "none of the %d next hops is known not to answer", len(h.Hops.Value))}
	}
	return checks
}

func (h Host) devicesOfHops(name string) []Check {
	var checks []Check
	told := make(map[string]bool)
	links := make(map[string]kernel.Link)
	for _, l := range h.Topology.Value.Links {
		links[l.Name] = l
	}
	for _, hop := range h.Hops.Value {
		l, known := links[hop.Device]
		if told[hop.Device] || !known || l.Up && l.Running {
			continue
		}
		told[hop.Device] = true
		c := Check{
			Name: name, Result: Failed, Why: fmt.Sprintf("%s, by which %s is reached, has no carrier", l.Name, hop.Addr),
			Fix: "see its cable, or its other end (`ip link show " + l.Name + "`)",
		}
		if !l.Up {
			c.Why, c.Fix = fmt.Sprintf("%s, by which %s is reached, is down", l.Name, hop.Addr), "ip link set "+l.Name+" up"
		}
		checks = append(checks, c)
	}
	return checks
}

func (h Host) silentHops(name string) []Check {
	states := make(map[netip.Addr]kernel.NeighborState)
	for _, n := range h.Neighbors.Value {
		states[n.Addr] = n.State
	}
	var silent, asked []string
	for _, hop := range h.Hops.Value {
		switch states[hop.Addr] {
		case kernel.NeighborFailed:
			silent = append(silent, hop.Addr.String()+" on "+hop.Device)
		case kernel.NeighborIncomplete:
			asked = append(asked, hop.Addr.String()+" on "+hop.Device)
		default: // known, or not used yet
		}
	}
	var checks []Check
	if len(silent) > 0 {
		checks = append(checks, Check{
			Name: name, Result: Failed, Why: "next hops do not answer: " + some(silent),
			Fix: "see that those nodes are up and on the link (`ip neigh`, `ping`)",
		})
	}
	if len(asked) > 0 {
		checks = append(checks, Check{
			Name: name, Result: Warning, Why: "next hops are being asked for and have not answered yet: " + some(asked),
			Fix: "look again in a few seconds; then see that those nodes are up and on the link (`ip neigh`, `ping`)",
		})
	}
	return checks
}

// some names the first of a list, and counts the others.
func some(words []string) string {
	text := strings.Join(words[:min(len(words), namedHops)], ", ")
	if more := len(words) - namedHops; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// crowdedHops is whether the kernel has a place for every neighbour.
func (h Host) crowdedHops(name string) []Check {
	var checks []Check
	for _, s := range h.NeighborRoom {
		if errors.Is(s.Value.Err, fs.ErrNotExist) {
			continue // a network namespace of its own, which goes by the host's
		}
		if s.Value.Err != nil {
			checks = append(checks, unknown(name, s.Value.Err, "look at it with `sysctl "+s.Key+"`"))
			continue
		}
		room, err := strconv.Atoi(s.Value.Value)
		if err != nil {
			checks = append(checks, unknown(name, fmt.Errorf("sysctl %s is %q", s.Key, s.Value.Value), "look at it with `sysctl "+s.Key+"`"))
			continue
		}
		all := make(map[netip.Addr]bool)
		for _, n := range h.Neighbors.Value {
			all[n.Addr] = true
		}
		for _, hop := range h.Hops.Value {
			all[hop.Addr] = true
		}
		n := 0
		for a := range all {
			if neighborRoom(a.Is6()) == s.Key {
				n++
			}
		}
		if n >= room {
			checks = append(checks, Check{
				Name: name, Result: Warning,
				Why: fmt.Sprintf("%s is %d, and there are %d neighbours with the next hops: the kernel has no place for more, and drops packets", s.Key, room, n),
				Fix: fmt.Sprintf("sysctl -w %s=%d, and the same in a file in /etc/sysctl.d", s.Key, 2*n),
			})
		}
	}
	return checks
}

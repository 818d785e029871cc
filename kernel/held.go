package kernel

import "net/netip"

// held is the routes that our table has for one prefix, in the kernel's order. There is one for every prefix, and nearly
// always it is of no route or of one: so the first lies in place, and none repeats the prefix.
type held struct {
	first slot
	some  bool    // first is a route
	rest  *[]slot // those behind the first; nil: there are none
}

// slot is a FIBRoute without its prefix.
type slot struct {
	gateway  netip.Addr
	device   int32
	metric   uint32
	protocol uint8
	typ      uint8
	tos      uint8
	flags    RouteFlags
}

func slotOf(r FIBRoute) slot {
	return slot{
		gateway: r.Gateway, device: r.Device, metric: r.Metric,
		protocol: r.Protocol, typ: r.Type, tos: r.TOS, flags: r.Flags,
	}
}

func (s slot) route(p netip.Prefix) FIBRoute {
	return FIBRoute{
		Prefix: p, Gateway: s.gateway, Device: s.device, Metric: s.metric,
		Protocol: s.protocol, Type: s.typ, TOS: s.tos, Flags: s.flags,
	}
}

// set makes h hold routes, all of one prefix. It keeps no reference to the slice.
func (h *held) set(routes []FIBRoute) {
	*h = held{}
	if len(routes) == 0 {
		return
	}
	h.first, h.some = slotOf(routes[0]), true
	if len(routes) == 1 {
		return
	}
	rest := make([]slot, len(routes)-1)
	for i, r := range routes[1:] {
		rest[i] = slotOf(r)
	}
	h.rest = &rest
}

func (h *held) len() int {
	switch {
	case !h.some:
		return 0
	case h.rest == nil:
		return 1
	}
	return 1 + len(*h.rest)
}

// at is the slot of one route; i is less than len.
func (h *held) at(i int) slot {
	if i == 0 {
		return h.first
	}
	return (*h.rest)[i-1]
}

// ridesOn says whether a route leaves by a device.
func (h *held) ridesOn(device int32) bool {
	for i := range h.len() {
		if h.at(i).device == device {
			return true
		}
	}
	return false
}

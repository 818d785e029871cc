package lab

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Route is one route as `ip route` prints it. Routes are comparable.
type Route struct {
	Type   string // unicast, blackhole, local, …
	Dst    netip.Prefix
	Via    netip.Addr // invalid: none
	Dev    string
	Proto  string // by name or number, as printed
	Table  string // main when none is printed
	Metric int
	Flags  string // onlink, linkdown, … separated by blanks
}

// ParseRoute reads one line of `ip route` output.
func ParseRoute(line string) (Route, error) {
	words := strings.Fields(line)
	r := Route{Type: "unicast", Table: "main"}
	if len(words) > 0 && slices.Contains(routeTypes(), words[0]) {
		r.Type, words = words[0], words[1:]
	}
	if len(words) == 0 {
		return Route{}, fmt.Errorf("lab: no route in %q", line)
	}
	dst, err := parseDst(words[0])
	if err != nil {
		return Route{}, fmt.Errorf("lab: %q: %w", line, err)
	}
	r.Dst = dst
	if err := r.parseAttributes(words[1:]); err != nil {
		return Route{}, fmt.Errorf("lab: %q: %w", line, err)
	}
	if words[0] == "default" && r.Via.Is6() {
		r.Dst = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	return r, nil
}

func (r *Route) parseAttributes(words []string) (err error) {
	var flags []string
	for len(words) > 0 {
		if slices.Contains(routeFlags(), words[0]) {
			flags, words = append(flags, words[0]), words[1:]
			continue
		}
		if len(words) < 2 {
			return fmt.Errorf("%q has no value", words[0])
		}
		switch value := words[1]; words[0] {
		case "via":
			r.Via, err = netip.ParseAddr(value)
		case "dev":
			r.Dev = value
		case "proto":
			r.Proto = value
		case "table":
			r.Table = value
		case "metric":
			r.Metric, err = strconv.Atoi(value)
		}
		if err != nil {
			return err
		}
		words = words[2:]
	}
	r.Flags = strings.Join(flags, " ")
	return nil
}

func parseDst(word string) (netip.Prefix, error) {
	if word == "default" {
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0), nil
	}
	if addr, err := netip.ParseAddr(word); err == nil {
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	return netip.ParsePrefix(word)
}

func routeTypes() []string {
	return []string{"unicast", "local", "broadcast", "anycast", "multicast", "blackhole", "unreachable", "prohibit", "throw"}
}

func routeFlags() []string {
	return []string{"onlink", "linkdown", "dead", "offload", "trap", "rt_trap", "pervasive", "notify", "cache"}
}

// RouteText is what `ip route show table TABLE` prints on the node, and `ip -6 route` when it has an IPv6 address; empty for
// a table that does not exist.
func (node *Node) RouteText(ctx context.Context, table string) (string, error) {
	var all strings.Builder
	for _, a := range node.Spec.Addrs() {
		out, err := node.IP(ctx, familyFlag(a), "route", "show", "table", table)
		if err != nil && !strings.Contains(err.Error(), "FIB table does not exist") {
			return "", err
		}
		all.WriteString(out)
	}
	return all.String(), nil
}

// familyFlag tells `ip` the family of an address.
func familyFlag(a netip.Addr) string {
	if a.Is6() {
		return "-6"
	}
	return "-4"
}

// RouteTable is RouteText parsed.
func (node *Node) RouteTable(ctx context.Context, table string) ([]Route, error) {
	out, err := node.RouteText(ctx, table)
	if err != nil {
		return nil, err
	}
	var routes []Route
	for line := range strings.Lines(out) {
		r, err := ParseRoute(line)
		if err != nil {
			return nil, err
		}
		r.Table = table
		routes = append(routes, r)
	}
	return routes, nil
}

// NextHops maps the destinations of the unicast routes in a table of the node to their gateways.
func (node *Node) NextHops(ctx context.Context, table string) (map[netip.Prefix]netip.Addr, error) {
	routes, err := node.RouteTable(ctx, table)
	if err != nil {
		return nil, err
	}
	hops := map[netip.Prefix]netip.Addr{}
	for _, r := range routes {
		if r.Type == "unicast" {
			hops[r.Dst] = r.Via
		}
	}
	return hops, nil
}

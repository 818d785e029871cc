package kernel

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// OpKind is what an Op does.
type OpKind uint8

// The operations. None of them can overwrite or remove what belongs to somebody else, however old the view of the
// table is that they were made from: adds are exclusive, deletes name our protocol, and a replacement is made of those.
const (
	OpAddRoute     OpKind = iota // fails with EEXIST when the place is taken
	OpReplaceRoute               // puts Route in the place of Old; fails with EEXIST when another holds it by then
	OpDeleteRoute
	OpAddRule
	OpDeleteRule
)

// ofRoute says whether it is about a route, not a rule.
func (k OpKind) ofRoute() bool { return k == OpAddRoute || k == OpReplaceRoute || k == OpDeleteRoute }

// String is the metrics label `op`.
func (k OpKind) String() string {
	switch k {
	case OpAddRoute:
		return "add"
	case OpReplaceRoute:
		return "replace"
	case OpDeleteRoute:
		return "delete"
	case OpAddRule:
		return "rule-add"
	case OpDeleteRule:
		return "rule-delete"
	}
	return "unknown"
}

// Op is one change to the kernel: of a route or of a rule, by its kind.
type Op struct {
	Kind       OpKind
	Table      uint32 // of a route
	Route      FIBRoute
	Old        FIBRoute // of OpReplaceRoute: the route of ours that Route takes the place of
	Rule       Rule
	DeviceName string // of Route.Device, for people
}

// String is the operation as an iproute2 command.
func (o Op) String() string {
	switch o.Kind {
	case OpAddRoute:
		return o.routeCommand("add")
	case OpReplaceRoute:
		return o.routeCommand("change")
	case OpDeleteRoute:
		return o.routeCommand("delete")
	case OpAddRule:
		return ruleCommand("add", o.Rule)
	case OpDeleteRule:
		return ruleCommand("delete", o.Rule)
	}
	return ""
}

func (o Op) routeCommand(verb string) string {
	var b strings.Builder
	b.WriteString("ip ")
	if isIPv6(o.Route.Prefix) {
		b.WriteString("-6 ")
	}
	b.WriteString("route " + verb + " ")
	b.WriteString(routeText(o.Route, o.DeviceName))
	if o.Table != mainTable {
		fmt.Fprintf(&b, " table %d", o.Table)
	}
	return b.String()
}

// routeText is a route in iproute2's words, without its table.
func routeText(r FIBRoute, device string) string {
	var b strings.Builder
	if t := typeText(r.Type); t != "" {
		b.WriteString(t + " ")
	}
	b.WriteString(r.Prefix.String())
	if r.Gateway.IsValid() {
		b.WriteString(" via " + r.Gateway.String())
	}
	if device != "" {
		b.WriteString(" dev " + device)
	}
	b.WriteString(" proto " + protocolText(r.Protocol))
	if r.Metric != 0 {
		fmt.Fprintf(&b, " metric %d", r.Metric)
	}
	if r.TOS != 0 {
		fmt.Fprintf(&b, " tos %#x", r.TOS)
	}
	if r.Flags&FlagOnlink != 0 {
		b.WriteString(" onlink")
	}
	return b.String()
}

func ruleCommand(verb string, r Rule) string {
	family := ""
	if r.IPv6 {
		family = "-6 "
	}
	return fmt.Sprintf("ip %srule %s to %s lookup %d pref %d protocol %d",
		family, verb, r.To, r.Table, r.Priority, r.Protocol)
}

// typeText names the route types that differ from a plain route.
func typeText(t uint8) string {
	switch t {
	case unix.RTN_BLACKHOLE:
		return "blackhole"
	case unix.RTN_UNREACHABLE:
		return "unreachable"
	case unix.RTN_PROHIBIT:
		return "prohibit"
	case unix.RTN_THROW:
		return "throw"
	}
	return ""
}

// protocolText names the protocols of /etc/iproute2/rt_protos that iproute2 always knows.
func protocolText(p uint8) string {
	switch p {
	case unix.RTPROT_KERNEL:
		return "kernel"
	case unix.RTPROT_BOOT:
		return "boot"
	case unix.RTPROT_STATIC:
		return "static"
	case unix.RTPROT_ZEBRA:
		return "zebra"
	case unix.RTPROT_BIRD:
		return "bird"
	case unix.RTPROT_DHCP:
		return "dhcp"
	}
	return strconv.Itoa(int(p))
}

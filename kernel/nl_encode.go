package kernel

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// encoder appends netlink messages to one buffer, so that a batch is one buffer and one send.
type encoder struct {
	buf   []byte
	start int // of the message being written
}

func (e *encoder) reset() { e.buf = e.buf[:0] }

func (e *encoder) begin(typ, flags uint16, seq uint32) {
	e.start = len(e.buf)
	e.buf = binary.NativeEndian.AppendUint32(e.buf, 0) // the length, known at end
	e.buf = binary.NativeEndian.AppendUint16(e.buf, typ)
	e.buf = binary.NativeEndian.AppendUint16(e.buf, flags)
	e.buf = binary.NativeEndian.AppendUint32(e.buf, seq)
	e.buf = binary.NativeEndian.AppendUint32(e.buf, 0) // from: the kernel knows our port id
}

func (e *encoder) end() {
	binary.NativeEndian.PutUint32(e.buf[e.start:], uint32(len(e.buf)-e.start))
}

// acknowledge asks for an answer to the message being written even when all is well.
func (e *encoder) acknowledge() {
	flags := binary.NativeEndian.Uint16(e.buf[e.start+6:])
	binary.NativeEndian.PutUint16(e.buf[e.start+6:], flags|unix.NLM_F_ACK)
}

func (e *encoder) attribute(typ uint16, length int) {
	e.buf = binary.NativeEndian.AppendUint16(e.buf, uint16(unix.SizeofRtAttr+length))
	e.buf = binary.NativeEndian.AppendUint16(e.buf, typ)
}

func (e *encoder) uint32(typ uint16, v uint32) {
	e.attribute(typ, 4)
	e.buf = binary.NativeEndian.AppendUint32(e.buf, v)
}

func (e *encoder) addr(typ uint16, a netip.Addr) {
	if a.Is4() {
		b := a.As4()
		e.attribute(typ, len(b))
		e.buf = append(e.buf, b[:]...)
		return
	}
	b := a.As16()
	e.attribute(typ, len(b))
	e.buf = append(e.buf, b[:]...)
}

// op writes one operation on a route as one message.
func (e *encoder) op(o Op, seq uint32) {
	switch o.Kind {
	case OpAddRoute:
		e.begin(unix.RTM_NEWROUTE, unix.NLM_F_REQUEST|unix.NLM_F_CREATE|unix.NLM_F_EXCL, seq)
		e.route(o)
	case OpReplaceRoute: // the first step of it
		o.Route = standIn(o.Route)
		e.begin(unix.RTM_NEWROUTE, unix.NLM_F_REQUEST|unix.NLM_F_CREATE|unix.NLM_F_EXCL, seq)
		e.route(o)
	case OpDeleteRoute:
		e.begin(unix.RTM_DELROUTE, unix.NLM_F_REQUEST, seq)
		e.route(o)
	case OpAddRule, OpDeleteRule: // are never in a batch
	}
	e.end()
}

// route writes struct rtmsg and its attributes. A delete names the protocol and the metric always, and the next
// hop where that is a single plain one: it matches our route or nothing.
func (e *encoder) route(o Op) {
	r := o.Route
	scope := uint8(unix.RT_SCOPE_UNIVERSE)
	if o.Kind == OpDeleteRoute {
		scope = unix.RT_SCOPE_NOWHERE // any
	}
	var flags uint32
	if r.Flags&FlagOnlink != 0 {
		flags = unix.RTNH_F_ONLINK
	}
	e.buf = append(e.buf, familyOf(r.Prefix), uint8(r.Prefix.Bits()), 0, r.TOS,
		shortTable(o.Table), r.Protocol, scope, r.Type)
	e.buf = binary.NativeEndian.AppendUint32(e.buf, flags)
	e.addr(unix.RTA_DST, r.Prefix.Addr())
	e.uint32(unix.RTA_TABLE, o.Table)
	if r.Metric != 0 {
		e.uint32(unix.RTA_PRIORITY, r.Metric)
	}
	if o.Kind == OpDeleteRoute && !namesNextHop(r) {
		return
	}
	if r.Gateway.IsValid() {
		e.addr(unix.RTA_GATEWAY, r.Gateway)
	}
	if r.Device != 0 {
		e.uint32(unix.RTA_OIF, uint32(r.Device))
	}
}

// namesNextHop says whether a delete of r can name the next hop. That of IPv6 always does: without one the kernel
// would remove the whole multipath bundle.
func namesNextHop(r FIBRoute) bool {
	return isIPv6(r.Prefix) || r.Flags&(FlagMultipath|FlagOther) == 0
}

// shortTable is the table for the header's one byte; RTA_TABLE carries the full number.
func shortTable(table uint32) uint8 {
	if table < 256 {
		return uint8(table)
	}
	return unix.RT_TABLE_COMPAT
}

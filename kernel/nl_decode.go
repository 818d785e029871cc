package kernel

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// eachAttribute walks attributes (struct rtattr); a malformed rest is left out. nl.ParseRouteAttr makes a slice of
// them, which costs several allocations a route.
func eachAttribute(b []byte, handle func(typ uint16, value []byte)) {
	for len(b) >= unix.SizeofRtAttr {
		length := int(binary.NativeEndian.Uint16(b))
		if length < unix.SizeofRtAttr || length > len(b) {
			return
		}
		typ := binary.NativeEndian.Uint16(b[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
		handle(typ, b[unix.SizeofRtAttr:length])
		b = b[min(align(length), len(b)):]
	}
}

func uint32Of(b []byte) uint32 {
	if len(b) < 4 {
		return 0
	}
	return binary.NativeEndian.Uint32(b)
}

func addrOf(b []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(b)
	return a
}

// tableRoute is a decoded route message: the route, and what is not part of its value.
type tableRoute struct {
	FIBRoute
	table   uint32
	prefSrc netip.Addr
	foreign bool // of a kind we do not deal with: another family, source-specific, or a cache entry
}

// decodeRoute reads RTM_NEWROUTE and RTM_DELROUTE (struct rtmsg).
func decodeRoute(b []byte) (tableRoute, error) {
	if len(b) < unix.SizeofRtMsg {
		return tableRoute{}, fmt.Errorf("netlink: a route message of %d bytes", len(b))
	}
	header := nl.DeserializeRtMsg(b)
	r := tableRoute{
		FIBRoute: FIBRoute{TOS: header.Tos, Protocol: header.Protocol, Type: header.Type},
		table:    uint32(header.Table),
		foreign:  header.Src_len != 0 || header.Flags&unix.RTM_F_CLONED != 0,
	}
	if header.Flags&unix.RTNH_F_ONLINK != 0 {
		r.Flags |= FlagOnlink
	}
	dst, ok := anyAddr(header.Family)
	if !ok {
		r.foreign = true
		return r, nil
	}
	eachAttribute(b[unix.SizeofRtMsg:], func(typ uint16, value []byte) {
		if typ == unix.RTA_DST {
			dst = addrOf(value)
			return
		}
		r.attribute(typ, value)
	})
	r.Prefix = netip.PrefixFrom(dst, int(header.Dst_len))
	if !r.Prefix.IsValid() {
		return r, fmt.Errorf("netlink: a route to %s/%d", dst, header.Dst_len)
	}
	return r, nil
}

func anyAddr(family uint8) (netip.Addr, bool) {
	switch family {
	case unix.AF_INET:
		return netip.IPv4Unspecified(), true
	case unix.AF_INET6:
		return netip.IPv6Unspecified(), true
	}
	return netip.Addr{}, false
}

func (r *tableRoute) attribute(typ uint16, value []byte) {
	switch typ {
	case unix.RTA_TABLE:
		r.table = uint32Of(value)
	case unix.RTA_GATEWAY:
		r.Gateway = addrOf(value)
	case unix.RTA_OIF:
		r.Device = int32(uint32Of(value))
	case unix.RTA_PRIORITY:
		r.Metric = uint32Of(value)
	case unix.RTA_MULTIPATH:
		r.Flags |= FlagMultipath
		r.firstNextHop(value)
	case unix.RTA_PREFSRC:
		r.prefSrc = addrOf(value)
		r.Flags |= FlagOther
	case unix.RTA_CACHEINFO, unix.RTA_PREF, unix.RTA_TTL_PROPAGATE:
		// in every IPv6 route, and says nothing about where it leads
	default:
		r.Flags |= FlagOther
	}
}

// firstNextHop reads the first struct rtnexthop of RTA_MULTIPATH: length, flags, hops, interface index, attributes.
func (r *tableRoute) firstNextHop(b []byte) {
	if len(b) < unix.SizeofRtNexthop {
		return
	}
	length := int(binary.NativeEndian.Uint16(b))
	if length < unix.SizeofRtNexthop || length > len(b) {
		return
	}
	r.Device = int32(binary.NativeEndian.Uint32(b[4:]))
	eachAttribute(b[unix.SizeofRtNexthop:length], func(typ uint16, value []byte) {
		if typ == unix.RTA_GATEWAY {
			r.Gateway = addrOf(value)
		}
	})
}

// decodeRule reads RTM_NEWRULE and RTM_DELRULE (struct fib_rule_hdr, which is laid out as struct rtmsg is, with the
// action in the place of the type).
func decodeRule(b []byte) (Rule, bool) {
	if len(b) < unix.SizeofRtMsg {
		return Rule{}, false
	}
	header := nl.DeserializeRtMsg(b)
	to, ok := anyAddr(header.Family)
	if !ok {
		return Rule{}, false
	}
	inverted := header.Flags&unix.FIB_RULE_INVERT != 0
	r := Rule{
		Table:    uint32(header.Table),
		Unsigned: true,
		IPv6:     header.Family == unix.AF_INET6,
		Other:    header.Src_len != 0 || header.Tos != 0 || header.Type != unix.FR_ACT_TO_TBL || inverted,
		Narrow:   header.Src_len != 0 || header.Tos != 0,
	}
	eachAttribute(b[unix.SizeofRtMsg:], func(typ uint16, value []byte) {
		if typ == unix.FRA_DST {
			to = addrOf(value)
			return
		}
		r.attribute(typ, value)
	})
	if header.Dst_len > 0 {
		r.To = netip.PrefixFrom(to, int(header.Dst_len))
	}
	r.Narrow = r.Narrow && !inverted // `not from X` is for nearly everybody, `not fwmark M` for nearly every packet
	return r, true
}

func (r *Rule) attribute(typ uint16, value []byte) {
	switch typ {
	case unix.FRA_PRIORITY:
		r.Priority = uint32Of(value)
	case unix.FRA_TABLE:
		r.Table = uint32Of(value)
	case unix.FRA_PROTOCOL:
		r.Unsigned = false
		if len(value) > 0 {
			r.Protocol = value[0]
		}
	case unix.FRA_SUPPRESS_PREFIXLEN:
		// in every rule of an IPv4 or IPv6 dump; -1 is "no"
		if uint32Of(value) != ^uint32(0) {
			r.Other = true
		}
	case unix.FRA_SUPPRESS_IFGROUP, unix.FRA_GOTO:
		r.Other = true
	default:
		r.Other, r.Narrow = true, true
	}
}

// decodeLink reads RTM_NEWLINK and RTM_DELLINK (struct ifinfomsg). Messages of a single family are not about the
// link: a port that leaves a bridge is an RTM_DELLINK of AF_BRIDGE. netlink.LinkDeserialize reads everything that there
// is to know of a link of any kind, and panics where an attribute is cut short.
func decodeLink(b []byte) (Link, bool) {
	if len(b) < unix.SizeofIfInfomsg {
		return Link{}, false
	}
	header := nl.DeserializeIfInfomsg(b)
	if header.Family != unix.AF_UNSPEC {
		return Link{}, false
	}
	l := Link{
		Index:    header.Index,
		Up:       header.Flags&unix.IFF_UP != 0,
		Running:  header.Flags&unix.IFF_RUNNING != 0,
		Loopback: header.Flags&unix.IFF_LOOPBACK != 0,
	}
	eachAttribute(b[unix.SizeofIfInfomsg:], func(typ uint16, value []byte) {
		switch typ {
		case unix.IFLA_IFNAME:
			l.Name = unix.ByteSliceToString(value)
		case unix.IFLA_MTU:
			l.MTU = uint32Of(value)
		}
	})
	return l, true
}

// decodeAddress reads RTM_NEWADDR and RTM_DELADDR (struct ifaddrmsg). IFA_LOCAL is the address itself and
// IFA_ADDRESS the peer's, where both are there; else IFA_ADDRESS is it.
func decodeAddress(b []byte) (Address, bool) {
	if len(b) < unix.SizeofIfAddrmsg {
		return Address{}, false
	}
	header := nl.DeserializeIfAddrmsg(b)
	a := Address{Device: int32(header.Index)}
	var address netip.Addr
	eachAttribute(b[unix.SizeofIfAddrmsg:], func(typ uint16, value []byte) {
		switch typ {
		case unix.IFA_ADDRESS:
			address = addrOf(value)
		case unix.IFA_LOCAL:
			a.Local = addrOf(value)
		}
	})
	if !a.Local.IsValid() {
		a.Local = address
	}
	if !address.IsValid() {
		address = a.Local
	}
	a.Subnet = netip.PrefixFrom(address, int(header.Prefixlen)).Masked()
	return a, a.Local.IsValid() && a.Subnet.IsValid()
}

// lasts says of an address that decodeAddress reads that it is to stay: it is not temporary (RFC 8981; for IPv4 the flag is that
// of a secondary address), not deprecated, and nobody else has it (RFC 4862).
func lasts(b []byte) bool {
	return nl.DeserializeIfAddrmsg(b).Flags&(unix.IFA_F_TEMPORARY|unix.IFA_F_DEPRECATED|unix.IFA_F_DADFAILED) == 0
}

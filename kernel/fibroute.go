package kernel

import (
	"net/netip"

	"golang.org/x/sys/unix"
)

// mainTable is the table every host has and everybody writes to (RT_TABLE_MAIN).
const mainTable = unix.RT_TABLE_MAIN

// ipv6Metric is what the kernel makes of an IPv6 route without a metric (IP6_RT_PRIO_USER, net/ipv6_route.h).
// We name it in every message, so that what we send is what comes back.
const ipv6Metric = 1024

// RouteFlags says what is special about a FIBRoute.
type RouteFlags uint8

const (
	// FlagOnlink is RTNH_F_ONLINK: the next hop is taken to be on the link without looking.
	FlagOnlink RouteFlags = 1 << iota
	// FlagMultipath marks a route with several next hops; Gateway and Device are those of the first.
	FlagMultipath
	// FlagOther marks a route with attributes that we never set (a preferred source, metrics, an encapsulation,
	// a next-hop object …): it is not what we want even when everything else agrees.
	FlagOther
)

// FIBRoute is one route as a kernel table holds it. It is comparable; equal values are the same route.
type FIBRoute struct {
	Prefix   netip.Prefix
	Gateway  netip.Addr // zero when there is none
	Device   int32      // interface index; 0 when there is none
	Metric   uint32
	Protocol uint8 // RTPROT_*: who put it there
	Type     uint8 // RTN_*
	TOS      uint8
	Flags    RouteFlags
}

// sameKey says whether a and b are one place in the table. The kernel's identity of a route is its prefix, TOS
// and metric; the protocol is no part of it (fib_find_alias in net/ipv4/fib_trie.c).
func sameKey(a, b FIBRoute) bool {
	return a.Prefix == b.Prefix && a.Metric == b.Metric && a.TOS == b.TOS
}

func isIPv6(p netip.Prefix) bool { return p.Addr().Is6() }

// familyOf is the address family of a prefix, as messages carry it.
func familyOf(p netip.Prefix) uint8 {
	if isIPv6(p) {
		return unix.AF_INET6
	}
	return unix.AF_INET
}

// ownMetric is the metric our routes have.
func ownMetric(p netip.Prefix) uint32 {
	if isIPv6(p) {
		return ipv6Metric
	}
	return 0
}

// Rule is one policy routing rule. It is comparable.
type Rule struct {
	Priority uint32
	Table    uint32
	Protocol uint8 // who put it there; 0 is "unspecified"
	Unsigned bool  // the kernel keeps no protocol for rules (before Linux 4.17)
	IPv6     bool
	To       netip.Prefix // zero: any destination
	Other    bool         // it selects by, or does, more than `to PREFIX lookup TABLE`
	Narrow   bool         // it selects by more than the destination, so that a packet from this host may pass it by
}

// owner is what marks a route or rule as ours.
type owner struct {
	table    uint32
	protocol uint8
	priority uint32
}

// owns says whether a route of our table is ours.
func (o owner) owns(r FIBRoute) bool { return r.Protocol == o.protocol }

// serves says whether a rule leads lookups for its prefix to our table, whoever put it there.
func (o owner) serves(r Rule) bool {
	return !r.Other && r.To.IsValid() && r.Table == o.table && r.Priority == o.priority
}

// ownsRule says whether we put a rule there. A kernel that keeps no protocol for rules leaves the priority and
// the table to know it by.
func (o owner) ownsRule(r Rule) bool {
	return o.serves(r) && (r.Unsigned || r.Protocol == o.protocol)
}

func familyOfAddr(a netip.Addr) uint8 {
	if a.Is6() {
		return unix.AF_INET6
	}
	return unix.AF_INET
}

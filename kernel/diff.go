package kernel

import (
	"net/netip"
	"slices"
)

// target is the route we want in the kernel for a prefix, once its next hop is resolved.
func (o owner) target(prefix netip.Prefix, hop netip.Addr, by way) FIBRoute {
	r := FIBRoute{
		Prefix:   prefix,
		Gateway:  hop,
		Device:   by.device,
		Metric:   ownMetric(prefix),
		Protocol: o.protocol,
		Type:     typeUnicast,
	}
	if by.onlink {
		r.Flags = FlagOnlink
	}
	return r
}

// typeUnicast is RTN_UNICAST: a route that leads somewhere.
const typeUnicast = 1

// step is what has to be done about one prefix, and how it stands until that is done.
type step struct {
	state   State    // of the wanted route; meaningless when none is wanted
	holder  FIBRoute // what is in the route's place; the zero FIBRoute when nothing is
	put     OpKind   // OpAddRoute or OpReplaceRoute, when puts
	puts    bool
	deletes []FIBRoute // ours and not wanted
}

// diff compares what is wanted for one prefix with all that our table has for it, in the kernel's order. It is
// pure. want is nil when the prefix must have no route of ours; keep holds back every delete. The wanted route
// behind a foreign one is left there: it takes over the moment the foreign one goes.
func (o owner) diff(want *FIBRoute, have []FIBRoute, keep bool) step {
	var s step
	place := -1
	if want != nil {
		place = slices.IndexFunc(have, func(r FIBRoute) bool { return sameKey(r, *want) })
		s.state, s.put, s.puts = o.judge(*want, have, place)
		if place >= 0 {
			s.holder = have[place]
		}
	}
	if keep {
		return s
	}
	for i, r := range have {
		if i != place && o.owns(r) && (want == nil || !deleteHits(r, *want)) {
			s.deletes = append(s.deletes, r)
		}
	}
	return s
}

// deleteHits says whether an operation that deletes r would match the wanted route as well. Such an r can only be
// a second route in the same place, which has no effect behind the wanted one and goes when that goes.
func deleteHits(r, want FIBRoute) bool {
	return sameKey(r, want) && (!namesNextHop(r) || r.Gateway == want.Gateway && r.Device == want.Device)
}

// judge says how a wanted route stands, given which route of the table is in its place (-1: none).
func (o owner) judge(want FIBRoute, have []FIBRoute, place int) (State, OpKind, bool) {
	switch {
	case place < 0:
		return StateMissing, OpAddRoute, true
	case have[place] == want:
		return StateInstalled, 0, false
	case !o.replaceable(have[place]):
		return StateConflict, 0, false
	default:
		return StateMismatched, OpReplaceRoute, true
	}
}

// replaceable says whether a route can be overwritten without touching anything foreign. An IPv6 multipath route
// is a bundle of routes with a protocol each, of which the kernel shows one: it may be foreign in part.
func (o owner) replaceable(r FIBRoute) bool {
	return o.owns(r) && (!isIPv6(r.Prefix) || r.Flags&FlagMultipath == 0)
}

// diffRules compares the prefixes whose lookups should go to our table with the rules the kernel has. It is pure.
func (o owner) diffRules(want []netip.Prefix, have []Rule, keep bool) (add, remove []Rule) {
	served := make(map[netip.Prefix]bool, len(have))
	for _, r := range have {
		if o.serves(r) {
			served[r.To] = true
		}
	}
	for _, p := range want {
		if !served[p] {
			add = append(add, o.rule(p))
		}
	}
	if keep {
		return add, nil
	}
	for _, r := range have {
		if o.ownsRule(r) && !slices.Contains(want, r.To) {
			remove = append(remove, r)
		}
	}
	return add, remove
}

// rule is the rule that leads lookups for a prefix to our table.
func (o owner) rule(p netip.Prefix) Rule {
	return Rule{Priority: o.priority, Table: o.table, Protocol: o.protocol, IPv6: isIPv6(p), To: p}
}

package kernel

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// PathSurvey is how the kernel stands to one address, from the table to the link. Wanted is the zero value where no route
// is wanted.
type PathSurvey struct {
	Wanted   RouteStatus // against the table as it is now
	Holds    []string    // what the table has to the address, in iproute2's words, the most specific first; where that is as wanted, it alone
	Leads    bool        // a rule leads the lookup of the address to the table
	Decision Decision
	Link     Link     // by which the packet leaves; zero: it does not
	Neighbor Neighbor // that it leaves to; zero: the link or the answer has none

	Rules  RuleSurvey // of those that decide lookups of the address; Unwanted ones are in the way of nobody, and left out
	Strays []Stray    // that hold the address, where a route is wanted
}

// Decision is what the kernel does with a packet from this host to an address, and why.
type Decision struct {
	Answer Answer
	Match  FIBRoute // the route of Answer.Table that won; zero: not told, by an old kernel or since no packet gets there
	Ours   bool     // it is one of ours, in our table
	Rule   Rule     // that led to Answer.Table; the zero Table: which is not clear
	Ahead  []Rule   // of others, which are looked at before those to our table
	Text   string   // the route in iproute2's words, or the kernel's refusal
}

// SurveyPath reads, once, what becomes of packets to an address, and how that stands to the route that is wanted; the zero
// Route: none is. lookups are the ranges whose lookups should go to the table. Where the kernel answers with the wanted route
// the table, which may be large, is not read.
func SurveyPath(ctx context.Context, cfg Config, n *Netlink, addr netip.Addr, want Route, lookups []netip.Prefix) (PathSurvey, error) {
	topology, err := n.Topology(ctx)
	if err != nil {
		return PathSurvey{}, err
	}
	rules, err := readRules(ctx, n)
	if err != nil {
		return PathSurvey{}, err
	}
	o := cfg.owner()
	lookups = slices.DeleteFunc(slices.Clone(lookups), func(p netip.Prefix) bool { return !p.Contains(addr) })
	s := PathSurvey{
		Leads: o.leads(rules, addr), Rules: o.surveyRules(rules, lookups),
		Decision: o.decision(rules, addr, n.Lookup([]netip.Addr{addr})[0], n.Match(addr), topology),
	}
	s.Rules.Unwanted, s.Rules.Ahead = nil, s.Decision.Ahead
	if want.NextHop.IsValid() {
		err = s.surveyWanted(ctx, o, n, addr, want, lookups, topology)
	}
	s.Link = topology.Links[s.Decision.Answer.Route.Device]
	if err == nil && s.Link.Index > 0 && !s.Link.Loopback {
		s.Neighbor, err = n.Neighbor(ctx, s.Link.Index, cmp.Or(s.Decision.Answer.Route.Gateway, addr))
	}
	return s, err
}

// surveyWanted reads how the tables stand to the wanted route.
func (s *PathSurvey) surveyWanted(
	ctx context.Context, o owner, fib FIB, addr netip.Addr, want Route, lookups []netip.Prefix, t Topology,
) error {
	inMain, err := routesHolding(ctx, fib, mainTable, addr)
	if err != nil {
		return err
	}
	table := []FIBRoute{s.Decision.Match}
	s.Wanted = o.planRoutes(t, []Route{want}, table, true).Routes[0]
	s.Strays = o.strays(table, inMain, lookups, t)
	if !s.Decision.Ours || s.Wanted.State != StateInstalled || len(s.Strays) > 0 { // only the table can tell
		if table, err = routesHolding(ctx, fib, o.table, addr); err != nil {
			return err
		}
		s.Wanted = o.planRoutes(t, []Route{want}, table, true).Routes[0]
		s.Strays = o.strays(table, inMain, lookups, t)
	}
	for _, r := range table {
		s.Holds = append(s.Holds, routeText(r, t.DeviceName(r.Device)))
	}
	return nil
}

// routesHolding reads the routes of a table to prefixes that hold an address, the most specific first.
func routesHolding(ctx context.Context, fib FIB, table uint32, addr netip.Addr) ([]FIBRoute, error) {
	found, err := readRoutes(ctx, fib, table, func(r FIBRoute) bool { return r.Prefix.Contains(addr) })
	slices.SortStableFunc(found, func(a, b FIBRoute) int { return cmp.Compare(b.Prefix.Bits(), a.Prefix.Bits()) })
	return found, err
}

// leads says whether a rule leads the lookup of an address to our table.
func (o owner) leads(rules []Rule, addr netip.Addr) bool {
	return o.table == mainTable || slices.ContainsFunc(rules, func(r Rule) bool { return o.serves(r) && r.To.Contains(addr) })
}

// decision joins the kernel's answers with the rule that they come from: the first that leads to the table of the answer.
// One that looks at more than the destination may have been passed by, so it is left out.
func (o owner) decision(rules []Rule, addr netip.Addr, answer, match Answer, t Topology) Decision {
	d := Decision{Answer: answer}
	if match.Err == nil && answer.Err == nil {
		d.Match = match.Route
	}
	rules = slices.Clone(rules)
	slices.SortStableFunc(rules, func(a, b Rule) int { return cmp.Compare(a.Priority, b.Priority) })
	host := []netip.Prefix{netip.PrefixFrom(addr, addr.BitLen())}
	for _, r := range rules {
		meets := r.IPv6 == addr.Is6() && !r.Narrow && (!r.To.IsValid() || r.To.Contains(addr))
		if meets && o.outranks(r, host) {
			d.Ahead = append(d.Ahead, r)
		}
		if answer.Err == nil && d.Rule.Table == 0 && meets && r.Table == answer.Table {
			d.Rule = r
		}
	}
	matched := d.Match.Prefix.IsValid()
	d.Ours = answer.Err == nil && answer.Table == o.table && (!matched || o.owns(d.Match))
	switch {
	case answer.Err != nil:
		d.Text = refusalText(answer.Err)
	case matched:
		d.Text = routeText(d.Match, t.DeviceName(d.Match.Device))
	default:
		d.Text = routeText(answer.Route, t.DeviceName(answer.Route.Device))
	}
	return d
}

// refusalText says what stands behind the errno of a lookup (fib_props in net/ipv4/fib_semantics.c).
func refusalText(err error) string {
	switch {
	case errors.Is(err, unix.ENETUNREACH):
		return "there is no route"
	case errors.Is(err, unix.EINVAL):
		return "a blackhole drops it"
	case errors.Is(err, unix.EHOSTUNREACH):
		return "an unreachable route refuses it"
	case errors.Is(err, unix.EACCES):
		return "a prohibit route refuses it"
	}
	return err.Error()
}

// Table is the table of the answer in iproute2's words.
func (d Decision) Table() string { return tableText(d.Answer.Table) }

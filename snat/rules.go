package snat

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Rules is a picture of all source NAT of a host. It is a value: nobody changes it once it is made.
type Rules struct {
	tables []table
	Gaps   []Gap // what could not be read: nothing found does not mean that there is nothing
}

// Gap is a part of the rules that could not be read.
type Gap struct {
	What string // such as "the rules of iptables-legacy"
	Err  error
	Look string // a command that shows them
}

// family is a family of tables (NFPROTO_*, linux/netfilter.h).
type family uint8

const (
	familyInet family = 1 // both
	familyIPv4 family = 2
	familyIPv6 family = 10
)

func (f family) String() string {
	switch f {
	case familyInet:
		return "inet"
	case familyIPv6:
		return "ip6"
	default:
		return "ip"
	}
}

func (f family) holds(a netip.Addr) bool { return f == familyInet || (f == familyIPv6) == a.Is6() }

// backend is who keeps a table.
type backend uint8

const (
	nfTables backend = iota
	iptablesLegacy
)

// table is the part of one table that packets meet after routing.
type table struct {
	backend backend
	family  family
	name    string
	base    []string // the chains that the kernel itself calls for source NAT
	chains  map[string][]rule
}

// show is a command that lists one chain.
func (t table) show(chain string) string {
	switch {
	case t.backend == nfTables:
		return fmt.Sprintf("nft list chain %s %s %s", t.family, t.name, chain)
	case t.family == familyIPv6:
		return "ip6tables-legacy -t nat -S " + chain
	default:
		return "iptables-legacy -t nat -S " + chain
	}
}

// rule is one rule: when all of its conditions are true, its verdict is.
type rule struct {
	conditions []condition
	verdict    verdict
	target     string // the chain, of a jump; the name, of an action that is not understood
}

// verdict is what a rule does.
type verdict uint8

const (
	pass     verdict = iota // nothing that ends the way
	mark                    // changes the packet's mark
	accept                  // ends the way through this base chain; so does a drop, as far as source NAT goes
	giveBack                // RETURN
	jump
	leap      // goto: a jump that does not come back
	translate // changes the source address
	unclear   // may be any of them
)

// subject is what a condition looks at.
type subject uint8

const (
	anything   subject = iota // what is not understood: text says what
	source                    // address
	target                    // address: the destination
	device                    // by which the packet leaves
	protocol                  // of layer 4
	packetMark                // the mark, under mask
	netFamily                 // NFPROTO_*
	sourceIs                  // what the routing table says of the source: a bit (1 << RTN_*) each
	targetIs
)

// condition is one of a rule. Which fields count depends on the subject.
type condition struct {
	of    subject
	not   bool
	addrs *addrSet // source, target
	text  string   // device: the name, or with a * at its end how it begins; anything: what it is
	value uint32   // the others; of the mark under mask
	mask  uint32
}

// String is for people.
func (c condition) String() string {
	is := "is "
	if c.not {
		is = "is not "
	}
	switch c.of {
	case source:
		return "the source " + is + c.addrs.String()
	case target:
		return "the destination " + is + c.addrs.String()
	case device:
		return "the device " + is + c.text
	case protocol:
		return fmt.Sprintf("the protocol %s%d", is, c.value)
	case packetMark:
		return fmt.Sprintf("the mark %s%#x/%#x", is, c.value, c.mask)
	case netFamily:
		return fmt.Sprintf("the family %s%s", is, family(c.value))
	case sourceIs:
		return "the source " + is + addressType(c.value)
	case targetIs:
		return "the destination " + is + addressType(c.value)
	default:
		return c.text
	}
}

// typeLocal is an address of this host (RTN_LOCAL, linux/rtnetlink.h), typeUnicast one that is routed elsewhere.
const (
	typeUnicast = 1
	typeLocal   = 2
)

func addressType(mask uint32) string {
	if mask == 1<<typeLocal {
		return "of this host"
	}
	return fmt.Sprintf("of type %#x", mask)
}

// text is the conditions, for people.
func (r rule) text() string {
	words := make([]string, 0, len(r.conditions))
	for _, c := range r.conditions {
		words = append(words, c.String())
	}
	if len(words) == 0 {
		return "always"
	}
	return "where " + strings.Join(words, ", ")
}

// addrRange is the addresses of one family from the first to the last, both included.
type addrRange struct{ first, last netip.Addr }

func (r addrRange) contains(a netip.Addr) bool {
	return a.Is4() == r.first.Is4() && r.first.Compare(a) <= 0 && a.Compare(r.last) <= 0
}

func rangeOf(p netip.Prefix) addrRange {
	p = p.Masked()
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	last, _ := netip.AddrFromSlice(b)
	return addrRange{p.Addr(), last}
}

// addrSet is what an address is compared with.
type addrSet struct {
	name   string // of a set that has one
	ranges []addrRange
	unread string // why its members are not known; empty: they are
}

func prefixSet(p netip.Prefix) *addrSet { return &addrSet{ranges: []addrRange{rangeOf(p)}} }

func (s *addrSet) contains(a netip.Addr) truth {
	switch {
	case slices.ContainsFunc(s.ranges, func(r addrRange) bool { return r.contains(a) }):
		return yes
	case s.unread != "":
		return maybe
	}
	return no
}

// namedRanges is how many ranges of a set without a name are told.
const namedRanges = 3

func (s *addrSet) String() string {
	if s.name != "" {
		return "in " + s.name
	}
	words := make([]string, 0, namedRanges)
	for _, r := range s.ranges[:min(len(s.ranges), namedRanges)] {
		words = append(words, r.String())
	}
	if len(s.ranges) > namedRanges {
		words = append(words, "…")
	}
	return strings.Join(words, " or ")
}

// String is the range as a prefix where it is one.
func (r addrRange) String() string {
	for bits := range r.first.BitLen() + 1 {
		if p := netip.PrefixFrom(r.first, bits); rangeOf(p) == r {
			return p.String()
		}
	}
	return r.first.String() + "-" + r.last.String()
}

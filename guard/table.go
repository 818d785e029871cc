package guard

import (
	"net/netip"

	"golang.org/x/sys/unix"
)

// This file is nf_tables in values: what a table holds, whether wanted or found, can be compared with ==.

const (
	tableName = "routed"

	chainInput   = "input"
	chainForward = "forward"
	chainSpeaker = "speaker" // packets to the speaker's port

	// priority puts our chains before those of others (raw, the first that people use, is -300): what is dropped here
	// costs nobody else anything. Connection tracking has seen the packet already, at the prerouting hook, but forgets
	// a connection whose first packet does not arrive.
	priority = -310

	// mark begins the comment of every rule of ours, and is what tells our table from somebody else's of that name.
	mark = "routed: "
)

// family is an IP version, by netfilter's number for it (meta nfproto).
type family uint8

const (
	ipv4 family = unix.NFPROTO_IPV4
	ipv6 family = unix.NFPROTO_IPV6
)

func families() []family { return []family{ipv4, ipv6} }

func familyOf(a netip.Addr) family {
	if a.Is4() {
		return ipv4
	}
	return ipv6
}

// digit ends or begins the names of what belongs to a family.
func (f family) digit() string {
	if f == ipv4 {
		return "4"
	}
	return "6"
}

// table is the content of one nf_tables table.
type table struct {
	chains []chain
	sets   []set
	rules  []rule // chain by chain, in the order of evaluation
}

// chain is a base chain, or an ordinary one when it has no hook.
type chain struct {
	name     string
	hook     hook
	priority int32
	kind     string // filter for our base chains, empty for others
	drops    bool   // what no rule decides is dropped, not accepted
}

// hook is where a base chain is called from.
type hook uint8

const (
	hookNone hook = iota
	hookInput
	hookForward
	hookOther
)

// set is a set of addresses.
type set struct {
	name   string
	family family // of its elements; 0: it is not a plain set of addresses, so none of ours
	addrs  []netip.Addr
}

// rule is a program that a packet runs through in a chain.
type rule struct {
	chain   string
	comment string
	program []instruction
}

// instruction is one expression of a rule. Each loads into, or looks at, the one register that our rules use.
type instruction struct {
	op     op
	source source // loadMeta, loadPayload
	data   string // compare: with what, in the byte order of the register; mask: the bits that stay
	name   string // lookup: the set; jumpTo: the chain
}

type op uint8

const (
	opForeign op = iota // one that our rules do not use
	opLoad              // load a field of the packet, or one about it
	opMask              // clear all bits of the register but these
	opEqual             // go on only if the register is equal …
	opLess              // … less …
	opAtLeast           // … not less
	opLookup            // go on only if the register is in the set
	opCount             // count the packet
	opAccept            // leave the chain, and the table
	opDrop              // the packet ends here
	opGoto              // go on in another chain, for good

)

// source is what can be loaded.
type source uint8

const (
	srcForeign source = iota
	srcInputInterface
	srcFamily
	srcProtocol
	srcSourcePort
	srcDestinationPort
	srcTCPFlags
	srcSource4
	srcSource6
	srcDestination4
	srcDestination6
	srcTTL
	srcHopLimit
)

package guard

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

const (
	loopbackIndex = 1 // of lo in every network namespace (LOOPBACK_IFINDEX, net/core/dev.c)

	// controlBits are FIN, SYN and RST, in the flags of a TCP header (RFC 9293 section 3.1).
	controlBits = "\x07"
)

// build makes the table that a state wants.
func build(s State) table {
	b := builder{state: s, groups: s.groups()}
	b.chains = []chain{
		{name: chainInput, hook: hookInput, priority: priority, kind: kindFilter},
		{name: chainForward, hook: hookForward, priority: priority, kind: kindFilter},
		{name: chainSpeaker},
	}
	b.listenSets()
	for _, g := range b.groups {
		b.sets = append(b.sets, set{name: g.set(), family: g.family, addrs: g.addrs})
	}
	b.input()
	b.forward()
	b.speaker()
	return b.table
}

const kindFilter = "filter"

type builder struct {
	table
	state  State
	groups []group
	listen []family // that the speaker listens in
}

// listenSets adds what the speaker listens on, and where BIRD connects from.
func (b *builder) listenSets() {
	for _, f := range families() {
		addrs := ofFamily(b.state.Listen, f)
		if len(addrs) == 0 {
			continue
		}
		b.listen = append(b.listen, f)
		b.sets = append(b.sets, set{name: listenSet(f), family: f, addrs: addrs})
		if bird := ofFamily(b.state.BIRD, f); len(bird) > 0 {
			b.sets = append(b.sets, set{name: birdSet(f), family: f, addrs: bird})
		}
	}
}

// Set names have at most 15 characters: kernels before 4.14 take no longer ones.

func listenSet(f family) string { return "listen" + f.digit() }

func birdSet(f family) string { return "bird" + f.digit() }

// set names the group's set by what its rules go by: the port and the lowest TTL.
func (g group) set() string { return fmt.Sprintf("peer%s_%d_%d", g.family.digit(), g.port, g.ttl) }

func (b *builder) add(chain, comment string, parts ...[]instruction) {
	b.rules = append(b.rules, rule{chain: chain, comment: mark + comment, program: slices.Concat(parts...)})
}

// input leads packets to the speaker's port into a chain of their own, and drops answers to what we dialled that come
// from too far. Of those, segments with FIN, SYN or RST pass at any distance: a host sends them with its default TTL
// where there is no session yet or any more, and GoBGP's IPv6 listeners answer a SYN so. All else is of a session.
func (b *builder) input() {
	for _, f := range b.listen {
		b.add(chainInput, "to the speaker",
			destinationPort(b.state.Port), destination(f, listenSet(f)), goTo(chainSpeaker))
	}
	for _, g := range b.groups {
		if g.port != 0 {
			b.add(chainInput, "answers from too far",
				sourcePort(g.port), from(g.family, g.set()), noControlBits(), ttlBelow(g.family, g.ttl), drop())
		}
	}
}

// forward keeps what is not from this host itself away from our port and from the peers': a pod that is masqueraded to
// its node's address would be that node to its peers.
func (b *builder) forward() {
	for _, f := range b.listen {
		b.add(chainForward, "never forwarded to the speaker",
			destinationPort(b.state.Port), destination(f, listenSet(f)), drop())
	}
	for _, g := range b.groups {
		if g.port != 0 {
			b.add(chainForward, "never forwarded to a peer",
				destinationPort(g.port), destination(g.family, g.set()), drop())
		}
	}
}

// speaker says who may: the local BIRD, by the loopback interface, which no pod can send through; and each peer from as
// far as it may be. To accept ends our table only; what others filter they filter still.
func (b *builder) speaker() {
	for _, f := range b.listen {
		if len(ofFamily(b.state.BIRD, f)) > 0 {
			b.add(chainSpeaker, "the local BIRD", byLoopback(), from(f, birdSet(f)), accept())
		}
	}
	for _, g := range b.groups {
		if slices.Contains(b.listen, g.family) {
			b.add(chainSpeaker, fmt.Sprintf("peers with maxHops %d", 256-int(g.ttl)),
				from(g.family, g.set()), ttlAtLeast(g.family, g.ttl), accept())
		}
	}
	b.add(chainSpeaker, "nobody else", drop())
}

// The parts of rules, each as nft writes it, so that `nft list table inet routed` reads it back.

func load(s source) instruction { return instruction{op: opLoad, source: s} }

func is(data string) instruction { return instruction{op: opEqual, data: data} }

func in(set string) instruction { return instruction{op: opLookup, name: set} }

func isTCP() []instruction {
	return []instruction{load(srcProtocol), is(octet(unix.IPPROTO_TCP))}
}

func isFamily(f family) []instruction { return []instruction{load(srcFamily), is(octet(uint8(f)))} }

func destinationPort(p uint16) []instruction {
	return append(isTCP(), load(srcDestinationPort), is(portBytes(p)))
}

func sourcePort(p uint16) []instruction {
	return append(isTCP(), load(srcSourcePort), is(portBytes(p)))
}

func destination(f family, set string) []instruction {
	field := srcDestination4
	if f == ipv6 {
		field = srcDestination6
	}
	return append(isFamily(f), load(field), in(set))
}

func from(f family, set string) []instruction {
	field := srcSource4
	if f == ipv6 {
		field = srcSource6
	}
	return append(isFamily(f), load(field), in(set))
}

// byLoopback goes by the index, the byte order of which is the host's.
func byLoopback() []instruction {
	return []instruction{load(srcInputInterface), is(string(binary.NativeEndian.AppendUint32(nil, loopbackIndex)))}
}

func noControlBits() []instruction {
	return []instruction{load(srcTCPFlags), {op: opMask, data: controlBits}, is(octet(0))}
}

// ttlField is the TTL of a family. The family is known where it is used.
func ttlField(f family) instruction {
	if f == ipv6 {
		return load(srcHopLimit)
	}
	return load(srcTTL)
}

func ttlAtLeast(f family, ttl uint8) []instruction {
	compare := instruction{op: opAtLeast, data: octet(ttl)}
	if ttl == 255 {
		compare.op = opEqual
	}
	return []instruction{ttlField(f), compare}
}

func ttlBelow(f family, ttl uint8) []instruction {
	return []instruction{ttlField(f), {op: opLess, data: octet(ttl)}}
}

func accept() []instruction { return []instruction{{op: opAccept}} }

func drop() []instruction { return []instruction{{op: opCount}, {op: opDrop}} }

func goTo(chain string) []instruction { return []instruction{{op: opGoto, name: chain}} }

func octet(b uint8) string { return string([]byte{b}) }

func portBytes(p uint16) string { return string(binary.BigEndian.AppendUint16(nil, p)) }

// addrOf reads an element of a set of addresses; not valid: it is none.
func addrOf(key []byte, f family) netip.Addr {
	a, _ := netip.AddrFromSlice(key)
	if familyOf(a) != f {
		return netip.Addr{}
	}
	return a
}

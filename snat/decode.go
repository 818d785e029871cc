package snat

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// The kernel has a rule as a program for registers (linux/netfilter/nf_tables.h). The decoding is our own, since the
// library leaves out what it does not know: of a rule with a condition too little we would say too much.

// expression is one instruction: its name and attributes.
type expression struct {
	name  string
	attrs map[uint16][]byte
}

// number is an attribute that is a number, 0 when it is not there: nf_tables has them in network order.
func (e expression) number(attr uint16) uint32 {
	b := e.attrs[attr]
	if len(b) != 4 {
		return 0
	}
	return binary.BigEndian.Uint32(b)
}

func (e expression) text(attr uint16) string {
	return string(bytes.TrimRight(e.attrs[attr], "\x00"))
}

// value is an attribute that is data (NFTA_DATA_VALUE inside).
func (e expression) value(attr uint16) []byte {
	return attributes(e.attrs[attr])[unix.NFTA_DATA_VALUE]
}

// attributes are those of a message or of a nest; what cannot be read is left out.
func attributes(b []byte) map[uint16][]byte {
	found := make(map[uint16][]byte)
	ad, err := netlink.NewAttributeDecoder(b)
	if err != nil {
		return found
	}
	for ad.Next() {
		found[ad.Type()] = ad.Bytes()
	}
	return found
}

// expressions reads NFTA_RULE_EXPRESSIONS.
func expressions(b []byte) []expression {
	var list []expression
	ad, err := netlink.NewAttributeDecoder(b)
	if err != nil {
		return []expression{{name: "unreadable"}}
	}
	for ad.Next() {
		outer := attributes(ad.Bytes())
		e := expression{attrs: attributes(outer[unix.NFTA_EXPR_DATA])}
		e.name = string(bytes.TrimRight(outer[unix.NFTA_EXPR_NAME], "\x00"))
		list = append(list, e)
	}
	if ad.Err() != nil {
		list = append(list, expression{name: "unreadable"})
	}
	return list
}

// loaded is what a register holds.
type loaded struct {
	of     subject
	text   string // of anything
	addr6  bool   // source, target: of an IPv6 packet
	length int    // source, target: of the leading bytes of the address
	mask   []byte // was put over it; nil: none
}

// decoder makes a rule out of expressions.
type decoder struct {
	family    family
	set       func(name string) *addrSet  // of the table
	ipset     func(index uint16) *addrSet // of iptables
	registers map[uint32]loaded           // by their 32-bit numbers
	rule      rule
}

func decodeRule(f family, list []expression, set func(string) *addrSet, ipset func(uint16) *addrSet) rule {
	d := decoder{family: f, set: set, ipset: ipset, registers: make(map[uint32]loaded)}
	for _, e := range list {
		d.decode(e)
	}
	return d.rule
}

func (d *decoder) add(c condition) { d.rule.conditions = append(d.rule.conditions, c) }

func (d *decoder) addUnknown(text string) { d.add(condition{text: text + " agrees"}) }

// act notes what the rule does. What it did before that ends nothing.
func (d *decoder) act(v verdict, target string) { d.rule.verdict, d.rule.target = v, target }

// register is a register by its 32-bit number: the older 128-bit ones lie over four of them each.
func register(n uint32) uint32 {
	if n >= unix.NFT_REG_1 && n <= unix.NFT_REG_4 {
		return unix.NFT_REG32_00 + 4*(n-unix.NFT_REG_1)
	}
	return n
}

func (d *decoder) put(n uint32, v loaded) { d.registers[register(n)] = v }

func (d *decoder) get(n uint32) loaded {
	if v, ok := d.registers[register(n)]; ok {
		return v
	}
	return loaded{text: "a value"}
}

func (d *decoder) decode(e expression) {
	switch e.name {
	case "payload":
		d.payload(e)
	case "meta":
		d.meta(e)
	case "fib":
		d.fib(e)
	case "bitwise":
		d.bitwise(e)
	case "cmp":
		d.cmp(e)
	case "range":
		d.inRange(e)
	case "lookup":
		d.lookup(e)
	case "immediate":
		d.immediate(e)
	case "match":
		d.match(e)
	case "target":
		d.target(e)
	case "masq":
		d.act(translate, "")
	case "nat":
		if e.number(unix.NFTA_NAT_TYPE) == unix.NFT_NAT_SNAT {
			d.act(translate, "")
		}
	case "queue", "reject":
		d.act(accept, "")
	case "counter", "log", "notrack", "objref":
	default:
		d.other(e)
	}
}

// other is an expression that loads what we do not know, or is a condition of its own.
func (d *decoder) other(e expression) {
	if destination := e.number(otherDestination(e.name)); destination != 0 {
		d.put(destination, loaded{text: e.name})
		return
	}
	d.addUnknown(e.name)
}

// otherDestination is the attribute that has the destination register, of expressions that load something.
func otherDestination(name string) uint16 {
	switch name {
	case "ct":
		return unix.NFTA_CT_DREG
	case "exthdr":
		return unix.NFTA_EXTHDR_DREG
	case "hash":
		return unix.NFTA_HASH_DREG
	case "numgen":
		return unix.NFTA_NG_DREG
	case "rt":
		return unix.NFTA_RT_DREG
	}
	return 0
}

// Where addresses and the protocol are in the headers (RFC 791 section 3.1, RFC 8200 section 3).
const (
	source4, target4, protocol4 = 12, 16, 9
	source6, target6, protocol6 = 8, 24, 6
)

// ipv6 is whether the rule sees IPv6 packets only, as far as it has said by now; known: it has.
func (d *decoder) ipv6() (is, known bool) {
	if d.family != familyInet {
		return d.family == familyIPv6, true
	}
	for _, c := range d.rule.conditions {
		if c.of == netFamily && !c.not {
			return family(c.value) == familyIPv6, true
		}
	}
	return false, false
}

func (d *decoder) payload(e expression) {
	v := loaded{text: "the header"}
	offset, length := e.number(unix.NFTA_PAYLOAD_OFFSET), e.number(unix.NFTA_PAYLOAD_LEN)
	six, known := d.ipv6()
	if known && e.number(unix.NFTA_PAYLOAD_BASE) == unix.NFT_PAYLOAD_NETWORK_HEADER {
		src, dst, proto, full := uint32(source4), uint32(target4), uint32(protocol4), uint32(4)
		if six {
			src, dst, proto, full = source6, target6, protocol6, 16
		}
		switch {
		case offset == src && length <= full:
			v = loaded{of: source, addr6: six, length: int(length)}
		case offset == dst && length <= full:
			v = loaded{of: target, addr6: six, length: int(length)}
		case offset == proto && length == 1:
			v = loaded{of: protocol}
		}
	}
	if destination := e.number(unix.NFTA_PAYLOAD_DREG); destination != 0 {
		d.put(destination, v)
	}
}

func (d *decoder) meta(e expression) {
	key := e.number(unix.NFTA_META_KEY)
	if e.number(unix.NFTA_META_DREG) == 0 {
		if key == unix.NFT_META_MARK {
			d.act(mark, "")
		}
		return
	}
	v := loaded{text: "the packet"}
	switch key {
	case unix.NFT_META_OIFNAME:
		v = loaded{of: device}
	case unix.NFT_META_MARK:
		v = loaded{of: packetMark}
	case unix.NFT_META_L4PROTO:
		v = loaded{of: protocol}
	case unix.NFT_META_NFPROTO:
		v = loaded{of: netFamily}
	case unix.NFT_META_OIF:
		v = loaded{text: "the device's index"}
	}
	d.put(e.number(unix.NFTA_META_DREG), v)
}

// fib is what the routing table says of an address.
func (d *decoder) fib(e expression) {
	v := loaded{text: "the routing table"}
	if e.number(unix.NFTA_FIB_RESULT) == unix.NFT_FIB_RESULT_ADDRTYPE {
		switch flags := e.number(unix.NFTA_FIB_FLAGS); {
		case flags&unix.NFTA_FIB_F_SADDR != 0:
			v = loaded{of: sourceIs}
		case flags&unix.NFTA_FIB_F_DADDR != 0:
			v = loaded{of: targetIs}
		}
	}
	d.put(e.number(unix.NFTA_FIB_DREG), v)
}

func (d *decoder) bitwise(e expression) {
	v := d.get(e.number(unix.NFTA_BITWISE_SREG))
	mask, xor := e.value(unix.NFTA_BITWISE_MASK), e.value(unix.NFTA_BITWISE_XOR)
	zero := !slices.ContainsFunc(xor, func(b byte) bool { return b != 0 })
	if v.mask != nil || !zero || len(mask) == 0 {
		v = loaded{text: "a value"}
	}
	v.mask = mask
	d.put(e.number(unix.NFTA_BITWISE_DREG), v)
}

func (d *decoder) cmp(e expression) {
	v, data := d.get(e.number(unix.NFTA_CMP_SREG)), e.value(unix.NFTA_CMP_DATA)
	c := condition{of: v.of, not: e.number(unix.NFTA_CMP_OP) == unix.NFT_CMP_NEQ}
	if v.of == source || v.of == target {
		d.cmpAddress(c, v, e.number(unix.NFTA_CMP_OP), data)
		return
	}
	known := c.not || e.number(unix.NFTA_CMP_OP) == unix.NFT_CMP_EQ
	switch {
	case !known:
		known = false
	case v.of == device && v.mask == nil:
		c.text = deviceName(data)
	case v.of == packetMark && len(data) == 4:
		c.value, c.mask = binary.NativeEndian.Uint32(data), ^uint32(0)
		if len(v.mask) == 4 {
			c.mask = binary.NativeEndian.Uint32(v.mask)
		}
	case (v.of == protocol || v.of == netFamily) && len(data) == 1 && v.mask == nil:
		c.value = uint32(data[0])
	case (v.of == sourceIs || v.of == targetIs) && len(data) == 4 && v.mask == nil:
		c.value = 1 << (binary.NativeEndian.Uint32(data) & 31)
	default:
		known = false
	}
	if !known {
		d.addUnknown(v.String())
		return
	}
	d.add(c)
}

func (v loaded) String() string {
	if v.of == anything {
		return v.text
	}
	return condition{of: v.of, addrs: &addrSet{name: "something"}, text: "something"}.String()
}

// deviceName is a name as rules compare with: its bytes up to a zero, or the first bytes of it.
func deviceName(data []byte) string {
	if name, _, whole := bytes.Cut(data, []byte{0}); whole {
		return string(name)
	}
	return string(data) + "*"
}

func (d *decoder) cmpAddress(c condition, v loaded, op uint32, data []byte) {
	r, ok := v.compared(data)
	first, last := v.borders()
	switch {
	case !ok:
	case op == unix.NFT_CMP_GTE && v.mask == nil:
		r.last = last
	case op == unix.NFT_CMP_LTE && v.mask == nil:
		r.first = first
	default:
		ok = op == unix.NFT_CMP_EQ || op == unix.NFT_CMP_NEQ
	}
	if !ok {
		d.addUnknown(v.String())
		return
	}
	c.addrs = &addrSet{ranges: []addrRange{r}}
	d.add(c)
}

// compared is the addresses whose leading bytes are data, under the mask.
func (v loaded) compared(data []byte) (addrRange, bool) {
	full := 4
	if v.addr6 {
		full = 16
	}
	if len(data) != v.length || v.length > full {
		return addrRange{}, false
	}
	bits := len(data) * 8
	if v.mask != nil {
		ones, ok := leadingOnes(v.mask)
		if !ok || len(v.mask) != len(data) {
			return addrRange{}, false
		}
		bits = ones
	}
	a, ok := netip.AddrFromSlice(append(slices.Clone(data), make([]byte, full-len(data))...))
	if !ok {
		return addrRange{}, false
	}
	return rangeOf(netip.PrefixFrom(a, bits)), true
}

func (v loaded) borders() (first, last netip.Addr) {
	all := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	if v.addr6 {
		all = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	r := rangeOf(all)
	return r.first, r.last
}

// leadingOnes is how many ones a mask begins with; not ok: there are more after a zero.
func leadingOnes(mask []byte) (int, bool) {
	ones, ended := 0, false
	for i := range len(mask) * 8 {
		set := mask[i/8]&(0x80>>(i%8)) != 0
		switch {
		case set && ended:
			return 0, false
		case set:
			ones++
		default:
			ended = true
		}
	}
	return ones, true
}

func (d *decoder) inRange(e expression) {
	v := d.get(e.number(unix.NFTA_RANGE_SREG))
	from, okFrom := v.compared(e.value(unix.NFTA_RANGE_FROM_DATA))
	to, okTo := v.compared(e.value(unix.NFTA_RANGE_TO_DATA))
	if v.of != source && v.of != target || v.mask != nil || !okFrom || !okTo {
		d.addUnknown(v.String())
		return
	}
	d.add(condition{
		of: v.of, not: e.number(unix.NFTA_RANGE_OP) == unix.NFT_RANGE_NEQ,
		addrs: &addrSet{ranges: []addrRange{{from.first, to.last}}},
	})
}

func (d *decoder) lookup(e expression) {
	v, name := d.get(e.number(unix.NFTA_LOOKUP_SREG)), e.text(unix.NFTA_LOOKUP_SET)
	_, isMap := e.attrs[unix.NFTA_LOOKUP_DREG]
	full := v.length == 4 && !v.addr6 || v.length == 16 && v.addr6
	switch {
	case isMap && e.number(unix.NFTA_LOOKUP_DREG) == unix.NFT_REG_VERDICT:
		d.act(unclear, "the map "+name)
	case isMap:
		d.put(e.number(unix.NFTA_LOOKUP_DREG), loaded{text: "the map " + name})
	case v.of != source && v.of != target || v.mask != nil || !full:
		d.addUnknown("the set " + name)
	default:
		d.add(condition{of: v.of, not: e.number(unix.NFTA_LOOKUP_FLAGS)&unix.NFT_LOOKUP_F_INV != 0, addrs: d.set(name)})
	}
}

// immediate loads a constant, or is a verdict.
func (d *decoder) immediate(e expression) {
	data := attributes(e.attrs[unix.NFTA_IMMEDIATE_DATA])
	nested, isVerdict := data[unix.NFTA_DATA_VERDICT]
	if !isVerdict {
		d.put(e.number(unix.NFTA_IMMEDIATE_DREG), loaded{text: "a constant"})
		return
	}
	v := expression{attrs: attributes(nested)}
	chain := v.text(unix.NFTA_VERDICT_CHAIN)
	switch int32(v.number(unix.NFTA_VERDICT_CODE)) {
	case unix.NFT_JUMP:
		d.act(jump, chain)
	case unix.NFT_GOTO:
		d.act(leap, chain)
	case unix.NFT_RETURN:
		d.act(giveBack, "")
	case unix.NFT_CONTINUE:
	default: // accept, drop, queue
		d.act(accept, "")
	}
}

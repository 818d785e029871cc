package guard

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// packet is what the rules of a table can look at. It is used to run a table in a test, apart from any kernel.
type packet struct {
	hook           hook
	loopback       bool
	source, target netip.AddrPort
	udp            bool
	flags          uint8
	ttl            uint8
}

// passes runs a packet through the base chains of its hook, as the kernel would.
func (t table) passes(p packet) (bool, error) {
	for _, c := range t.chains {
		if c.hook != p.hook {
			continue
		}
		verdict, err := t.runChain(c.name, p)
		if err != nil {
			return false, err
		}
		if verdict == opDrop || (verdict == opForeign && c.drops) {
			return false, nil
		}
	}
	return true, nil
}

// runChain gives opAccept, opDrop, or opForeign when no rule decided.
func (t table) runChain(name string, p packet) (op, error) {
	for _, r := range t.rulesOf(name) {
		verdict, err := t.runRule(r, p)
		if err != nil || verdict.op == opAccept || verdict.op == opDrop {
			return verdict.op, err
		}
		if verdict.op == opGoto {
			return t.runChain(verdict.name, p)
		}
	}
	return opForeign, nil
}

// runRule gives the verdict of a rule whose conditions all hold, or the zero instruction.
func (t table) runRule(r rule, p packet) (instruction, error) {
	var register string
	for _, i := range r.program {
		holds := true
		switch i.op {
		case opLoad:
			register = p.field(i.source)
			holds = register != "" // the kernel ends a rule that loads what is not there
		case opMask:
			b := []byte(register)
			for n := range b {
				b[n] &= i.data[n]
			}
			register = string(b)
		case opEqual:
			holds = register == i.data
		case opLess:
			holds = register < i.data
		case opAtLeast:
			holds = register >= i.data
		case opLookup:
			a, _ := netip.AddrFromSlice([]byte(register))
			s := t.setNamed(i.name)
			if familyOf(a) != s.family {
				return instruction{}, fmt.Errorf("rule %q looks %v up in %s", r.comment, a, s.name)
			}
			holds = slices.Contains(s.addrs, a)
		case opCount:
		case opAccept, opDrop, opGoto:
			return i, nil
		default:
			return instruction{}, fmt.Errorf("rule %q has %+v", r.comment, i)
		}
		if !holds {
			return instruction{}, nil
		}
	}
	return instruction{}, nil
}

func (p packet) family() family { return familyOf(p.source.Addr()) }

// field is what a load instruction finds. Like the kernel it takes the bytes at the offset, whatever they mean in the
// packet at hand: a rule has to ask for the family first.
func (p packet) field(s source) string {
	if at, ok := payloads()[s]; ok {
		header := p.networkHeader()
		if s == srcSourcePort || s == srcDestinationPort || s == srcTCPFlags {
			header = p.transportHeader()
		}
		if int(at.offset+at.len) > len(header) {
			return ""
		}
		return string(header[at.offset : at.offset+at.len])
	}
	switch s {
	case srcInputInterface:
		index := uint32(7)
		if p.loopback {
			index = 1
		}
		return string(binary.NativeEndian.AppendUint32(nil, index))
	case srcFamily:
		return octet(uint8(p.family()))
	case srcProtocol:
		if p.udp {
			return octet(unix.IPPROTO_UDP)
		}
		return octet(unix.IPPROTO_TCP)
	default:
		return ""
	}
}

func (p packet) networkHeader() []byte {
	if p.family() == ipv4 {
		h := make([]byte, 20)
		h[8] = p.ttl
		copy(h[12:], p.source.Addr().AsSlice())
		copy(h[16:], p.target.Addr().AsSlice())
		return h
	}
	h := make([]byte, 40)
	h[7] = p.ttl
	copy(h[8:], p.source.Addr().AsSlice())
	copy(h[24:], p.target.Addr().AsSlice())
	return h
}

func (p packet) transportHeader() []byte {
	h := make([]byte, 20)
	binary.BigEndian.PutUint16(h, p.source.Port())
	binary.BigEndian.PutUint16(h[2:], p.target.Port())
	h[13] = p.flags
	if p.udp {
		return h[:8]
	}
	return h
}

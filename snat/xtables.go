package snat

import (
	"bytes"
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// The matches and targets of iptables, as iptables-nft leaves them inside rules of nf_tables.

// match is one match of iptables (nft_compat).
func (d *decoder) match(e expression) {
	name, info := e.text(unix.NFTA_MATCH_NAME), e.attrs[unix.NFTA_MATCH_INFO]
	switch revision := e.number(unix.NFTA_MATCH_REV); {
	case name == "comment":
	case name == "set" && revision > 0 && len(info) >= 4:
		d.matchSet(info)
	case name == "addrtype" && revision == 1 && len(info) >= 8:
		d.matchAddressType(info)
	case name == "mark" && revision == 1 && len(info) >= 9:
		d.add(condition{
			of: packetMark, value: binary.NativeEndian.Uint32(info), mask: binary.NativeEndian.Uint32(info[4:]), not: info[8] != 0,
		})
	default:
		d.addUnknown("the match " + name)
	}
}

// matchSet reads struct xt_set_info (linux/netfilter/xt_set.h).
func (d *decoder) matchSet(info []byte) {
	const inverted, isSource = 1 << 0, 1 << 1 // IPSET_INV_MATCH, IPSET_DIM_ONE_SRC
	index, dimensions, flags := binary.NativeEndian.Uint16(info), info[2], info[3]
	c := condition{of: target, not: flags&inverted != 0, addrs: d.ipset(index)}
	if flags&isSource != 0 {
		c.of = source
	}
	if dimensions != 1 {
		d.addUnknown("the set " + c.addrs.name)
		return
	}
	d.add(c)
}

// matchAddressType reads struct xt_addrtype_info_v1 (linux/netfilter/xt_addrtype.h). Whether it looks at one device only
// makes no difference to pods.
func (d *decoder) matchAddressType(info []byte) {
	const notSource, notTarget = 1 << 0, 1 << 1
	flags := binary.NativeEndian.Uint32(info[4:])
	if mask := binary.NativeEndian.Uint16(info); mask != 0 {
		d.add(condition{of: sourceIs, value: uint32(mask), not: flags&notSource != 0})
	}
	if mask := binary.NativeEndian.Uint16(info[2:]); mask != 0 {
		d.add(condition{of: targetIs, value: uint32(mask), not: flags&notTarget != 0})
	}
}

// target is one target of iptables (nft_compat).
func (d *decoder) target(e expression) {
	name := string(bytes.TrimRight(e.attrs[unix.NFTA_TARGET_NAME], "\x00"))
	d.act(verdictOf(name), name)
}

// verdictOf is what a target of iptables does, by its name (iptables-extensions(8)).
func verdictOf(name string) verdict {
	switch name {
	case "":
		return pass
	case "MASQUERADE", "SNAT", "NETMAP":
		return translate
	case "ACCEPT", "DROP", "REJECT", "QUEUE", "NFQUEUE":
		return accept
	case "RETURN":
		return giveBack
	case "MARK", "CONNMARK", "SET", "CONNSECMARK", "SECMARK":
		return mark
	case "LOG", "NFLOG", "TRACE", "ULOG", "AUDIT", "CHECKSUM", "CLASSIFY", "CT", "NOTRACK", "DSCP", "ECN", "TOS", "TCPMSS", "TTL", "HL":
		return pass
	default:
		return unclear
	}
}

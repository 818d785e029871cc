package snat

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// The sets of iptables (linux/netfilter/ipset/ip_set.h). A rule inside nf_tables names one by its index, iptables by its name.
const (
	ipsetProtocol     = 6
	ipsetProtocolLast = 7 // is needed to ask for an index (Linux 4.20)

	ipsetList    = 7
	ipsetByIndex = 15

	ipsetAttrProtocol = 1
	ipsetAttrSetName  = 2
	ipsetAttrTypeName = 3
	ipsetAttrData     = 7
	ipsetAttrADT      = 8
	ipsetAttrIndex    = 11

	ipsetAttrIP      = 1
	ipsetAttrIPTo    = 2
	ipsetAttrCIDR    = 3
	ipsetAttrCADT    = 8  // flags of a member
	ipsetAttrNetmask = 20 // of all members of a hash:ip

	ipsetAttrIPv4 = 1
	ipsetAttrIPv6 = 2

	ipsetNoMatch = 1 << 2 // IPSET_FLAG_NOMATCH: the member is an exception
)

// ipset is a set by its index.
func (k *kernelReader) ipset(index uint16) *addrSet {
	if s, read := k.sets[index]; read {
		return s
	}
	s := &addrSet{name: fmt.Sprintf("ipset %d", index)}
	name, err := k.ipsetName(index)
	if err != nil {
		s.unread = err.Error()
	} else {
		s = k.ipsetNamed(name)
	}
	k.sets[index] = s
	return s
}

func (k *kernelReader) ipsetName(index uint16) (string, error) {
	ae := netlink.NewAttributeEncoder()
	ae.Uint8(ipsetAttrProtocol, ipsetProtocolLast)
	ae.ByteOrder = binary.BigEndian
	ae.Uint16(ipsetAttrIndex|unix.NLA_F_NET_BYTEORDER, index)
	answers, err := k.ask(unix.NFNL_SUBSYS_IPSET, ipsetByIndex, unix.AF_INET, 0, ae)
	if err != nil {
		return "", fmt.Errorf("ask for the name of ipset %d: %w", index, err)
	}
	for _, m := range answers {
		if name := (expression{attrs: attributes(m)}).text(ipsetAttrSetName); name != "" {
			return name, nil
		}
	}
	return "", fmt.Errorf("ask for the name of ipset %d: %w", index, unix.ENOENT)
}

// ipsetNamed reads the members of a set.
func (k *kernelReader) ipsetNamed(name string) *addrSet {
	s := &addrSet{name: name}
	ae := netlink.NewAttributeEncoder()
	ae.Uint8(ipsetAttrProtocol, ipsetProtocol)
	ae.String(ipsetAttrSetName, name)
	answers, err := k.ask(unix.NFNL_SUBSYS_IPSET, ipsetList, unix.AF_INET, netlink.Dump, ae)
	if err != nil {
		s.unread = fmt.Sprintf("list ipset %s: %v", name, err)
		return s
	}
	for _, m := range answers {
		s.addMembers(m)
	}
	return s
}

// addMembers reads one message of a list.
func (s *addrSet) addMembers(message []byte) {
	attrs := attributes(message)
	e := expression{attrs: attrs}
	if kind := e.text(ipsetAttrTypeName); kind != "" && kind != "hash:ip" && kind != "hash:net" && kind != "bitmap:ip" {
		s.unread = "a " + kind + " does not hold plain addresses"
	}
	if _, masked := attributes(attrs[ipsetAttrData])[ipsetAttrNetmask]; masked {
		s.unread = "its members have a netmask"
	}
	ad, err := netlink.NewAttributeDecoder(attrs[ipsetAttrADT])
	if err != nil {
		s.unread = err.Error()
		return
	}
	for ad.Next() {
		r, ok := member(attributes(ad.Bytes()))
		if !ok {
			s.unread = "a member says more than its address"
			continue
		}
		s.ranges = append(s.ranges, r)
	}
}

// member reads one member. Not ok: it is an exception, or no address.
func member(attrs map[uint16][]byte) (addrRange, bool) {
	a := ipsetAddr(attrs[ipsetAttrIP])
	if !a.IsValid() {
		return addrRange{}, false
	}
	if flags := attrs[ipsetAttrCADT]; len(flags) == 4 && binary.BigEndian.Uint32(flags)&ipsetNoMatch != 0 {
		return addrRange{}, false
	}
	if to := ipsetAddr(attrs[ipsetAttrIPTo]); to.IsValid() {
		return addrRange{a, to}, to.Is4() == a.Is4()
	}
	bits := a.BitLen()
	if length := attrs[ipsetAttrCIDR]; len(length) == 1 {
		bits = int(length[0])
	}
	p := netip.PrefixFrom(a, bits)
	if !p.IsValid() {
		return addrRange{}, false
	}
	return rangeOf(p), true
}

func ipsetAddr(nest []byte) netip.Addr {
	attrs := attributes(nest)
	for _, family := range []uint16{ipsetAttrIPv4, ipsetAttrIPv6} {
		if a, ok := netip.AddrFromSlice(attrs[family]); ok {
			return a
		}
	}
	return netip.Addr{}
}

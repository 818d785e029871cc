package config

import (
	"net/netip"

	"routed/peering/roster"
)

// What a remote cluster may hold unless its file says otherwise: Calico's own block sizes and single borrowed
// addresses, for more nodes than Kubernetes supports.
const (
	defaultPrefixesPerNode = 256
	defaultPrefixes        = 100_000
	maxPrefixes            = 1_000_000
	maxAddresses           = 10_000
)

func (v *validator) remote(r rawRemote) Remote {
	out := Remote{
		Name:         v.name(r.Name),
		PodCIDRs:     v.prefixes(r.PodCIDRs),
		ServiceCIDRs: v.prefixes(r.ServiceCIDRs),
		ASN:          v.asn(r.ASN),
		Port:         v.port(r.Port, r.defaultPort()),
		Password:     v.password(r.Password, r.PasswordFile),
		Sessions:     SessionFamilies(v.choice(r.Sessions, string(SessionAddress), string(SessionBoth))),
		MaxHops:      uint8(v.number(r.MaxHops, 0, 1, 255)),
		Limits: Limits{
			PrefixesPerNode: int(v.number(r.Limits.PrefixesPerNode, defaultPrefixesPerNode, 1, maxPrefixes)),
			Prefixes:        int(v.number(r.Limits.Prefixes, defaultPrefixes, 1, maxPrefixes)),
		},
		BlockLengths: BlockLengths{
			IPv4: v.lengths(r.BlockLengths.IPv4, LengthRange{20, 32}, 32),
			IPv6: v.lengths(r.BlockLengths.IPv6, LengthRange{116, 128}, 128),
		},
	}
	if r.reflected() {
		out.Reflectors = v.reflectors(r.Reflectors, out.Port)
	} else {
		out.Nodes = v.nodes(r.Nodes)
	}
	out.NodeCIDRs = v.prefixes(r.NodeCIDRs)
	out.ProbeAddresses = v.probed(r.Probed, out.PodCIDRs)
	v.nodesOrReflectors(r, out.Sessions)
	if len(r.PodCIDRs.items) == 0 {
		v.fail(r.PodCIDRs.place, "missing; list what the pods of this cluster use: it may announce nothing else")
	}
	for i, p := range out.PodCIDRs {
		allowed := out.BlockLengths.IPv6
		if p.Addr().Is4() {
			allowed = out.BlockLengths.IPv4
		}
		if p.Bits() > allowed.Max && len(out.PodCIDRs) == len(r.PodCIDRs.items) {
			v.fail(r.PodCIDRs.items[i].place, "%s can hold no block: blockLengths allows up to /%d", p, allowed.Max)
		}
	}
	return out
}

// reflected says whether the cluster is reached by route reflectors.
func (r rawRemote) reflected() bool { return len(r.Reflectors.items) > 0 }

// listed says whether the file names any source of nodes.
func (r rawNodes) listed() bool {
	return len(r.Addresses.items) > 0 || !r.HostsFile.empty() || r.Kubernetes != nil
}

// nodesOrReflectors: a cluster has the one or the other, and node ranges where a next hop can be another than the peer.
func (v *validator) nodesOrReflectors(r rawRemote, carries SessionFamilies) {
	ranges := len(r.NodeCIDRs.items) > 0
	switch {
	case r.reflected() && r.Nodes.listed():
		v.fail(r.Nodes.place, "set beside %s (line %d); a cluster is reached by its nodes or by reflectors", r.Reflectors.key, r.Reflectors.line)
	case r.reflected() && !ranges:
		v.fail(r.NodeCIDRs.place, "missing; with reflectors it says where the nodes of the cluster are, and no other next hop is believed")
	case !r.reflected() && ranges && carries == SessionAddress:
		v.fail(r.NodeCIDRs.place, "set without reflectors or sessionFamilies: both; a node is believed for itself alone, leave it out")
	}
}

// defaultPort is where daemons listen, or reflectors: those at the port of BGP (RFC 4271 section 8), as any router does.
func (r rawRemote) defaultPort() uint16 {
	if r.reflected() {
		return BGPPort
	}
	return defaultPort
}

// maxReflectors bounds the reflectors of a cluster: two are enough, and each carries every route.
const maxReflectors = 8

// reflectors gives the endpoints of the reflectors: ADDRESS, or ADDRESS:PORT. Two of one address would be one peer twice.
func (v *validator) reflectors(l list, port uint16) []netip.AddrPort {
	v.atMost(l.place, len(l.items), maxReflectors)
	var out []netip.AddrPort
	distinct(v, l.items, func(s scalar) (netip.Addr, bool) {
		ap, ok := v.reflector(s, port)
		if ok {
			out = append(out, ap)
		}
		return ap.Addr(), ok
	})
	return out
}

func (v *validator) reflector(s scalar, port uint16) (netip.AddrPort, bool) {
	text, ok := v.text(s)
	if !ok {
		return netip.AddrPort{}, false
	}
	if a, err := roster.ParseAddr(text); err == nil {
		return netip.AddrPortFrom(a, port), true
	}
	ap, err := netip.ParseAddrPort(text)
	if err != nil || ap.Port() == 0 {
		v.fail(s.place, "%q is not ADDRESS or ADDRESS:PORT, such as 9.111.255.251 or [fd00::251]:179", text)
		return netip.AddrPort{}, false
	}
	if _, err := roster.ParseAddr(ap.Addr().String()); err != nil {
		v.fail(s.place, "%v", err)
		return netip.AddrPort{}, false
	}
	return ap, true
}

func (v *validator) nodes(r rawNodes) Nodes {
	v.atMost(r.Addresses.place, len(r.Addresses.items), maxAddresses)
	n := Nodes{Addresses: distinct(v, r.Addresses.items, v.addr), HostsFile: v.file(r.HostsFile)}
	if r.Kubernetes != nil {
		n.Kubernetes = v.kubernetes(*r.Kubernetes)
	}
	if !r.listed() {
		v.fail(r.place, "missing; list the cluster's nodes in addresses, name a hostsFile or the kubeconfig of an API that does, "+
			"or give reflectors in their place")
	}
	return n
}

// kubernetes gives how to ask an API; what is in its kubeconfig, and the syntax of the selector, is judged by who reads
// them (package kube).
func (v *validator) kubernetes(r rawKubernetes) Kubernetes {
	k := Kubernetes{Kubeconfig: v.file(r.Kubeconfig)}
	if r.Kubeconfig.empty() {
		v.fail(r.Kubeconfig.place, "missing; name a kubeconfig or the manifest of an Istio remote secret")
	}
	k.Context, _ = v.text(r.Context)
	k.LabelSelector, _ = v.text(r.LabelSelector)
	return k
}

// lengths gives a range of prefix lengths, written [shortest, longest].
func (v *validator) lengths(l list, byDefault LengthRange, longest uint64) LengthRange {
	if len(l.items) == 0 {
		return byDefault
	}
	if len(l.items) != 2 {
		v.fail(l.place, "%d lengths; want two, [shortest, longest]", len(l.items))
		return byDefault
	}
	before := len(v.errs)
	out := LengthRange{
		Min: int(v.number(l.items[0], 1, 1, longest)),
		Max: int(v.number(l.items[1], longest, 1, longest)),
	}
	if out.Min > out.Max && len(v.errs) == before {
		v.fail(l.place, "[%d, %d] begins after its end", out.Min, out.Max)
	}
	return out
}

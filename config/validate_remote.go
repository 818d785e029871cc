package config

// What a remote cluster may hold unless its file says otherwise: Calico's own block sizes and single borrowed
// addresses, for more nodes than Kubernetes supports.
const (
	defaultPrefixesPerNode = 256
	defaultPrefixes        = 100_000
	maxPrefixes            = 1_000_000
	maxAddresses           = 10_000
)

func (v *validator) remote(r rawRemote) Remote {
	v.remoteUnsupported(r)
	out := Remote{
		Name:         v.name(r.Name),
		PodCIDRs:     v.prefixes(r.PodCIDRs),
		ServiceCIDRs: v.prefixes(r.ServiceCIDRs),
		ASN:          v.asn(r.ASN),
		Port:         v.port(r.Port, defaultPort),
		Nodes:        v.nodes(r.Nodes),
		Password:     v.password(r.Password, r.PasswordFile),
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

// remoteUnsupported refuses the keys whose features come later.
func (v *validator) remoteUnsupported(r rawRemote) {
	if len(r.Reflectors.items) > 0 {
		v.unsupported(r.Reflectors.place, "list the nodes under nodes")
	}
	if len(r.NodeCIDRs.items) > 0 {
		v.unsupported(r.NodeCIDRs.place, "leave it out")
	}
}

func (v *validator) nodes(r rawNodes) Nodes {
	v.atMost(r.Addresses.place, len(r.Addresses.items), maxAddresses)
	n := Nodes{Addresses: distinct(v, r.Addresses.items, v.nodeAddr), HostsFile: v.file(r.HostsFile)}
	if r.Kubernetes != nil {
		n.Kubernetes = v.kubernetes(*r.Kubernetes)
	}
	if len(r.Addresses.items) == 0 && r.HostsFile.empty() && r.Kubernetes == nil {
		v.fail(r.place, "missing; list the cluster's nodes in addresses, or name a hostsFile or the kubeconfig of an API that does")
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

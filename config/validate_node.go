package config

import (
	"net/netip"
	"slices"
	"strings"
)

// node gives this node. It must have an address of each family that there are pods of, and may have one of the other.
func (v *validator) node(r rawNode, pods []netip.Prefix) Node {
	n := Node{
		Address:  v.ownAddress(r.Address, ownKey{key: "node.address", family: "IPv4"}, pods),
		Address6: v.ownAddress(r.Address6, ownKey{key: "node.address6", family: "IPv6", ipv6: true}, pods),
	}
	if n.Address.IsValid() || n.Address6.IsValid() {
		n.RouterID = v.routerID(r.RouterID, n)
	}
	return n
}

// ownKey is the key of one of this node's two addresses.
type ownKey struct {
	key, family string
	ipv6        bool
}

// ownAddress gives the file's address or, where pods need one, that of $NODE_IP, or else the one that owns the default route.
func (v *validator) ownAddress(s scalar, own ownKey, pods []netip.Prefix) netip.Addr {
	i := slices.IndexFunc(pods, func(p netip.Prefix) bool { return p.Addr().Is6() == own.ipv6 })
	switch {
	case !s.empty():
	case i >= 0:
		s = v.foundAddress(s, own, "; "+pods[i].String()+" needs one")
	case len(pods) == 0 && !own.ipv6: // an error already; pods will mostly be IPv4
		s = v.foundAddress(s, own, "")
	}
	if s.empty() {
		return netip.Addr{}
	}
	v.places[own.key] = s.place
	a, ok := v.addr(s)
	switch {
	case !ok:
		return netip.Addr{}
	case own.ipv6 && a.Is4():
		v.fail(s.place, "%s is not an IPv6 address; an IPv4 address goes into node.address", a)
		return netip.Addr{}
	case !own.ipv6 && a.Is6():
		v.fail(s.place, "%s is not an IPv4 address; an IPv6 address goes into node.address6", a)
		return netip.Addr{}
	default:
		return a
	}
}

// foundAddress gives what the file does not have; absent when there is none, which is an error.
func (v *validator) foundAddress(s scalar, own ownKey, why string) scalar {
	env := v.env.getenv("NODE_IP")
	if ip := nodeIP(env, own.ipv6); ip != "" {
		return scalar{place: place{key: own.key + " ($NODE_IP)"}, kind: kindText, text: ip}
	}
	unset := "$NODE_IP is not set"
	if env != "" {
		unset = "$NODE_IP has no " + own.family + " address"
	}
	if v.env.DefaultAddress == nil {
		v.fail(s.place, "missing, and %s%s", unset, why)
		return s
	}
	a, err := v.env.DefaultAddress(own.ipv6)
	if err != nil {
		v.fail(s.place, "missing, %s, and the %s default route has no address: %v%s", unset, own.family, err, why)
		return s
	}
	return scalar{place: place{key: own.key + " (of the default route)"}, kind: kindText, text: a.String()}
}

// nodeIP gives the address of a family in $NODE_IP: ADDRESS, or both as ADDRESS,ADDRESS, which is how Kubernetes' downward
// API writes status.hostIPs.
func nodeIP(env string, ipv6 bool) string {
	for part := range strings.SplitSeq(env, ",") {
		if part = strings.TrimSpace(part); strings.Contains(part, ":") == ipv6 {
			return part
		}
	}
	return ""
}

func (v *validator) routerID(s scalar, n Node) netip.Addr {
	if s.empty() {
		id, ok := deriveRouterID(n)
		if !ok {
			v.fail(s.place, "missing; none can be derived from %s, which is in 240.0.0.0/4", n.Address)
		}
		return id
	}
	text, ok := v.text(s)
	if !ok {
		return netip.Addr{}
	}
	id, err := netip.ParseAddr(text)
	switch {
	case err != nil || !id.Is4() || id.IsUnspecified():
		v.fail(s.place, "%q is not an identifier in the form of an IPv4 address other than 0.0.0.0", text)
	case id == n.Address:
		v.fail(s.place, "%s is node.address, which the local BIRD uses; choose another or leave it out", id)
	}
	return id
}

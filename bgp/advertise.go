package bgp

import (
	"errors"
	"fmt"
	"net/netip"

	"routed/peering"

	"github.com/osrg/gobgp/v4/pkg/apiutil"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

const originIGP = 0 // RFC 4271 section 5.1.1

// setAdvertised announces what is new in blocks and withdraws what is missing from it.
func (e *engine) setAdvertised(blocks []netip.Prefix) error {
	var errs []error
	wanted := make(map[netip.Prefix]struct{}, len(blocks))
	for _, b := range blocks {
		switch {
		case !b.IsValid() || b != b.Masked() || b.Addr().Is4In6():
			errs = append(errs, fmt.Errorf("block %s: not a prefix without host bits", b))
		case e.nextHop(b).IsValid():
			wanted[b] = struct{}{}
		}
	}
	for b := range e.advertised {
		if _, keep := wanted[b]; keep {
			continue
		}
		if err := e.withdraw(b); err != nil {
			errs = append(errs, err)
			continue
		}
		delete(e.advertised, b)
	}
	for b := range wanted {
		if _, have := e.advertised[b]; have {
			continue
		}
		if err := e.announce(b); err != nil {
			errs = append(errs, err)
			continue
		}
		e.advertised[b] = struct{}{}
	}
	return errors.Join(errs...)
}

func (e *engine) nextHop(b netip.Prefix) netip.Addr {
	if b.Addr().Is4() {
		return e.cfg.NextHop4
	}
	return e.cfg.NextHop6
}

func (e *engine) announce(b netip.Prefix) error {
	p, err := ownPath(b, e.nextHop(b))
	if err == nil {
		_, err = e.srv.AddPath(apiutil.AddPathRequest{Paths: []*apiutil.Path{p}})
	}
	if err != nil {
		return fmt.Errorf("announce %s: %w", b, err)
	}
	return nil
}

func (e *engine) withdraw(b netip.Prefix) error {
	p, err := ownPath(b, e.nextHop(b))
	if err == nil {
		err = e.srv.DeletePath(apiutil.DeletePathRequest{Paths: []*apiutil.Path{p}})
	}
	if err != nil {
		return fmt.Errorf("withdraw %s: %w", b, err)
	}
	return nil
}

// ownPath is a block of this node with its next hop said explicitly: in NEXT_HOP for IPv4, in MP_REACH_NLRI for IPv6
// (RFC 4760 section 3). GoBGP would else derive one from the session, wrongly for IPv6 over an IPv4 session.
func ownPath(b netip.Prefix, nextHop netip.Addr) (*apiutil.Path, error) {
	nlri, err := bgp.NewIPAddrPrefix(b)
	if err != nil {
		return nil, err
	}
	family := gobgpFamily(peering.FamilyOf(b.Addr()))
	var reach bgp.PathAttributeInterface
	if family == bgp.RF_IPv4_UC {
		reach, err = bgp.NewPathAttributeNextHop(nextHop)
	} else {
		reach, err = bgp.NewPathAttributeMpReachNLRI(family, []bgp.PathNLRI{{NLRI: nlri}}, nextHop)
	}
	if err != nil {
		return nil, err
	}
	return &apiutil.Path{
		Family: family,
		Nlri:   nlri,
		Attrs:  []bgp.PathAttributeInterface{bgp.NewPathAttributeOrigin(originIGP), reach},
	}, nil
}

// advertisedCount counts own blocks by family, for Status.
type advertisedCount struct{ ipv4, ipv6 int }

func countAdvertised(blocks map[netip.Prefix]struct{}) *advertisedCount {
	var c advertisedCount
	for b := range blocks {
		if b.Addr().Is4() {
			c.ipv4++
		} else {
			c.ipv6++
		}
	}
	return &c
}

// to is how many of them a peer is told.
func (c *advertisedCount) to(role peering.Role, negotiated peering.Families) int {
	n := 0
	if !role.Remote() {
		return n
	}
	if negotiated.Has(peering.IPv4) {
		n += c.ipv4
	}
	if negotiated.Has(peering.IPv6) {
		n += c.ipv6
	}
	return n
}

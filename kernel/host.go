package kernel

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// ErrNoDefaultRoute is a host without a default route of the family, or whose default route's device has no address.
var ErrNoDefaultRoute = errors.New("no default route with an address")

// DefaultAddress is the address that owns the default route of a family: its preferred source, or else the first
// address of its device, preferably one that is to last: the kernel lists the latest IPv6 address first.
func (n *Netlink) DefaultAddress(ctx context.Context, ipv6 bool) (netip.Addr, error) {
	family := uint8(unix.AF_INET)
	if ipv6 {
		family = unix.AF_INET6
	}
	var best *tableRoute
	err := n.tables.routes(ctx, family, mainTable, unix.RTN_UNICAST, nil, func(r tableRoute) {
		if r.Prefix.Bits() == 0 && (best == nil || r.Metric < best.Metric) {
			best = &r
		}
	})
	if err != nil {
		return netip.Addr{}, fmt.Errorf("find the default route: %w", err)
	}
	if best == nil {
		return netip.Addr{}, ErrNoDefaultRoute
	}
	if best.prefSrc.IsValid() {
		return best.prefSrc, nil
	}
	a, err := n.addressOf(ctx, best.Device, ipv6)
	if err == nil && !a.IsValid() {
		err = fmt.Errorf("%w on interface %d", ErrNoDefaultRoute, best.Device)
	}
	return a, err
}

// addressOf is an address of a device that other hosts can reach; invalid: it has none.
func (n *Netlink) addressOf(ctx context.Context, device int32, ipv6 bool) (netip.Addr, error) {
	var passing, lasting netip.Addr
	err := n.query.addresses(ctx, func(a Address, lasts bool) {
		switch {
		case a.Device != device || a.Local.Is6() != ipv6 || a.Local.IsLinkLocalUnicast():
		case lasts:
			lasting = cmp.Or(lasting, a.Local)
		default:
			passing = cmp.Or(passing, a.Local)
		}
	})
	if err != nil {
		return netip.Addr{}, fmt.Errorf("dump the addresses: %w", err)
	}
	return cmp.Or(lasting, passing), nil
}

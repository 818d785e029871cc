package kernel

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// ErrNoDefaultRoute is a host without a default route of the family, or whose default route's device has no address.
var ErrNoDefaultRoute = errors.New("no default route with an address")

// DefaultAddress is the address that owns the default route of a family: its preferred source, or else the first
// address of its device.
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
	t, err := n.Topology(ctx)
	if err != nil {
		return netip.Addr{}, err
	}
	for _, a := range t.Addresses {
		if a.Device == best.Device && a.Local.Is6() == ipv6 && !a.Local.IsLinkLocalUnicast() {
			return a.Local, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("%w on %s", ErrNoDefaultRoute, t.DeviceName(best.Device))
}

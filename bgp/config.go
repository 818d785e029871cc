package bgp

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
)

// Config is what a Speaker needs to know of this node. It does not change while the speaker runs.
type Config struct {
	ASN      uint32       // our AS number
	RouterID netip.Addr   // our BGP Identifier, an IPv4 address; BIRD uses the node address, so ours must differ
	Listen   []netip.Addr // the addresses peers reach us at; none: we only dial
	Port     uint16       // the TCP port, one for all of Listen

	// NextHop4 and NextHop6 are the next hop of our own blocks. An invalid one: the family is not announced.
	NextHop4, NextHop6 netip.Addr

	Log *slog.Logger // nil: no log
}

func (c Config) validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.ASN == 0 {
		bad("AS number 0 is reserved (RFC 7607)")
	}
	if !c.RouterID.Is4() || c.RouterID.IsUnspecified() {
		bad("router ID %s: want an IPv4 address other than 0.0.0.0 (RFC 4271 section 4.2)", c.RouterID)
	}
	if len(c.Listen) > 0 && c.Port == 0 {
		bad("listening on %v: port 0", c.Listen)
	}
	for i, a := range c.Listen {
		if !a.IsValid() || a.Is4In6() {
			bad("listen address %d: %s is not a plain address", i, a)
		}
	}
	if c.NextHop4.IsValid() && (!c.NextHop4.Is4() || c.NextHop4.IsUnspecified()) {
		bad("IPv4 next hop %s is not an IPv4 address", c.NextHop4)
	}
	if c.NextHop6.IsValid() && (!c.NextHop6.Is6() || c.NextHop6.Is4In6() || c.NextHop6.IsUnspecified()) {
		bad("IPv6 next hop %s is not an IPv6 address", c.NextHop6)
	}
	return errors.Join(errs...)
}

func (c Config) logger() *slog.Logger {
	if c.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return c.Log
}

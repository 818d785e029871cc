package kernel

import (
	"errors"
	"net"
	"net/netip"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// applyRule adds or deletes one rule. There are few rules and they change rarely, so each is a request of its own.
// The event filter does not know the handle's port id: a rule of ours is heard of again, and looked at once more.
func (n *Netlink) applyRule(o Op) error {
	rule := netlinkRule(o.Rule)
	if o.Kind == OpDeleteRule {
		return requestError(n.handle.RuleDel(rule))
	}
	return requestError(n.handle.RuleAdd(rule))
}

func netlinkRule(r Rule) *netlink.Rule {
	rule := netlink.NewRule()
	rule.Family = netlink.FAMILY_V4
	if r.IPv6 {
		rule.Family = netlink.FAMILY_V6
	}
	rule.Priority, rule.Table, rule.Type = int(r.Priority), int(r.Table), unix.FR_ACT_TO_TBL
	if !r.Unsigned {
		rule.Protocol = r.Protocol
	}
	if r.To.IsValid() {
		rule.Dst = ipNet(r.To)
	}
	return rule
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// requestError is the library's error of one request as Apply gives it. The two errnos that the socket itself makes
// mean that the answer did not come, or did not fit.
func requestError(err error) error {
	var errno syscall.Errno
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &errno):
		return &OpError{Errno: unix.EIO, Text: err.Error()}
	case errno == unix.EAGAIN, errno == unix.ENOBUFS:
		return ErrUnknownOutcome
	}
	return &OpError{Errno: errno}
}

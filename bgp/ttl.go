package bgp

import (
	"fmt"
	"iter"
	"net/netip"

	"routed/peering"

	"github.com/osrg/gobgp/v4/api"
	"golang.org/x/sys/unix"
)

const maxTTL = 255

// limitHops makes remote sessions send with TTL 255 and refuse what has come further than MaxHops (GTSM, RFC 5082;
// GoBGP's ttl-security, which works for internal and external peers and sets TTL 255 on listeners too, so that the
// SYN-ACK passes). The local BIRD runs `multihop` with the default TTL and expects nothing of ours.
func limitHops(n *api.Peer, p peering.Peer, ownASN uint32) {
	if p.Role == peering.RoleBIRD {
		if p.ASN != ownASN { // GoBGP would send with TTL 1
			n.EbgpMultihop = &api.EbgpMultihop{Enabled: true, MultihopTtl: maxTTL}
		}
		return
	}
	n.TtlSecurity = &api.TtlSecurity{Enabled: true, TtlMin: minTTL(p)}
}

// minTTL is the lowest TTL (hop limit) a segment of the peer may arrive with; 0: any.
func minTTL(p peering.Peer) uint32 {
	if p.Role == peering.RoleBIRD {
		return 0
	}
	return maxTTL + 1 - uint32(p.MaxHops)
}

// limitHops has the kernel drop what comes to a listening socket from further than any of its peers may be, the first SYN
// included. GoBGP looks at the TTL only of a connection that it has accepted.
func (ls listeners) limitHops(peers iter.Seq[peering.Peer]) error {
	for _, l := range ls {
		lowest := uint32(maxTTL)
		for p := range peers {
			if l.takes(p) {
				lowest = min(lowest, minTTL(p))
			}
		}
		level, option := unix.IPPROTO_IP, unix.IP_MINTTL
		if l.addr.Addr().Is6() {
			level, option = unix.IPPROTO_IPV6, unix.IPV6_MINHOPCOUNT
		}
		if err := unix.SetsockoptInt(l.fd, level, option, int(lowest)); err != nil {
			return fmt.Errorf("minimum TTL %d on the listening socket %s: %w", lowest, l.addr, err)
		}
	}
	return nil
}

// takes tells whether connections of the peer arrive at the listener: GoBGP refuses those to another address of ours.
func (l listener) takes(p peering.Peer) bool { return l.isAt(p.Local.WithZone("")) }

// isAt tells whether connections to an address of ours arrive at the listener.
func (l listener) isAt(local netip.Addr) bool {
	at := l.addr.Addr()
	return at == local || at.IsUnspecified() && at.Is4() == local.Is4()
}

package bgp

import (
	"routed/peering"

	"github.com/osrg/gobgp/v4/api"
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

// minTTL is the lowest TTL a segment of the peer may arrive with. GoBGP (v4.8.0) does not set the hop limit of IPv6
// listeners, so that their SYN-ACK leaves with the system's 64 and a dialler that insists on more never connects: for
// IPv6 sessions the minimum is left open here and has to be enforced in front of the socket.
func minTTL(p peering.Peer) uint32 {
	if p.Addr.Is6() {
		return 1
	}
	return maxTTL + 1 - uint32(p.MaxHops)
}

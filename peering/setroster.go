package peering

import (
	"net/netip"
	"slices"
	"time"
)

// SetRoster takes the full list of clusters and peers. A peer that is no longer in it loses its routes at once; a
// cluster whose bounds changed has everything it announced judged anew; the rest is untouched. The brake has no part in
// this: it doubts peers, not our own administrator.
func (m *Mesh) SetRoster(now time.Time, r Roster) Changes {
	listed := map[netip.Addr]bool{}
	for _, p := range r.BIRD {
		listed[p.Addr] = true
		m.setPeer(p, nil)
	}
	clusters := make(map[string]*cluster, len(r.Clusters))
	var changed []*cluster
	for _, want := range r.Clusters {
		c, boundsChanged := m.setCluster(want)
		clusters[want.Name] = c
		for _, p := range want.Peers {
			listed[p.Addr] = true
			boundsChanged = m.setPeer(p, c) || boundsChanged
		}
		if boundsChanged {
			changed = append(changed, c)
		}
	}
	for addr := range listed {
		m.inherit(now, m.peers[addr], listed)
	}
	for addr, p := range m.peers {
		if !listed[addr] {
			m.removePeer(p)
		}
	}
	m.clusters = clusters
	for _, c := range changed {
		c.forgetFalls()
	}
	m.reconsider(now, changed)
	return m.finish(now)
}

func (m *Mesh) setCluster(want Cluster) (c *cluster, boundsChanged bool) {
	c = m.clusters[want.Name]
	if c == nil {
		return newCluster(want), false
	}
	old := c.Cluster
	c.Cluster = want
	return c, !slices.Equal(old.PodCIDRs, want.PodCIDRs) || !slices.Equal(old.NodeCIDRs, want.NodeCIDRs) ||
		old.Lengths != want.Lengths || old.Limits != want.Limits
}

// setPeer adds a peer or updates what does not change its identity. With another role, cluster or AS it is somebody
// else: what the former one announced goes. It reports whether what the peer announced has to be judged anew. That its
// other address is no longer known is no reason: its session ends with that, and its paths are stale until they come by another.
func (m *Mesh) setPeer(want Peer, c *cluster) (boundsChanged bool) {
	p := m.peers[want.Addr]
	if p != nil && p.Role == want.Role && p.Cluster == want.Cluster && p.ASN == want.ASN {
		boundsChanged = p.Other != want.Other && want.Other.IsValid()
		p.Peer, p.cluster = want, c
		return boundsChanged
	}
	if p != nil {
		m.removePeer(p)
	}
	m.peers[want.Addr] = newPeer(want, c)
	m.ownDirty = m.ownDirty || want.Role == RoleBIRD
	return false
}

// inherit gives a peer, as stale, what the one at its other address had that leaves the roster: two sessions with a node
// become one.
func (m *Mesh) inherit(now time.Time, p *peer, listed map[netip.Addr]bool) {
	old := m.peers[p.Other]
	if old == nil || listed[p.Other] || old.Cluster != p.Cluster {
		return
	}
	for b := range old.blocks {
		if pa := *b.of(old); !pa.held() && b.of(p) == nil {
			m.set(path{peer: p, nextHop: pa.nextHop, left: m.instant(now)}, b.prefix)
		}
	}
	m.expireBy(now.Add(m.cfg.Retention))
}

func (m *Mesh) removePeer(p *peer) {
	for b := range p.blocks {
		m.unset(p, b.prefix)
	}
	delete(m.peers, p.Addr)
	delete(m.limited, p)
	m.ownDirty = m.ownDirty || p.Role == RoleBIRD
}

// plainASPath is the AS_PATH of what the peer itself originates. The paths we keep do not store theirs: the policy has
// accepted it, and neither AS number changes in the life of a peer.
func (m *Mesh) plainASPath(p *peer) []uint32 {
	if p.ASN == m.cfg.ASN {
		return []uint32{}
	}
	return []uint32{p.ASN}
}

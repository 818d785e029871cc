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
		if boundsChanged {
			changed = append(changed, c)
		}
		for _, p := range want.Peers {
			listed[p.Addr] = true
			m.setPeer(p, c)
		}
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
// else: what the former one announced goes.
func (m *Mesh) setPeer(want Peer, c *cluster) {
	p := m.peers[want.Addr]
	if p != nil && p.Role == want.Role && p.Cluster == want.Cluster && p.ASN == want.ASN {
		p.Peer, p.cluster = want, c
		return
	}
	if p != nil {
		m.removePeer(p)
	}
	m.peers[want.Addr] = newPeer(want, c)
	m.ownDirty = m.ownDirty || want.Role == RoleBIRD
}

func (m *Mesh) removePeer(p *peer) {
	for b := range p.blocks {
		m.unset(p, b.prefix)
	}
	delete(m.peers, p.Addr)
	m.ownDirty = m.ownDirty || p.Role == RoleBIRD
}

// reconsider judges anew what the peers of some clusters have announced: what is accepted now may have to go, and then
// what was refused may come.
func (m *Mesh) reconsider(now time.Time, changed []*cluster) {
	for _, step := range []func(time.Time, *peer){m.dismiss, m.admit} {
		for _, p := range m.peers {
			if slices.Contains(changed, p.cluster) {
				step(now, p)
			}
		}
	}
}

// dismiss drops what the policy accepted before and refuses now. Only what the peer announces at this moment counts as
// refused: what it has ceased to announce can not come back by a wider policy.
func (m *Mesh) dismiss(now time.Time, p *peer) {
	for b := range p.blocks {
		pa := *b.of(p)
		a := Announcement{Prefix: b.prefix, NextHop: pa.nextHop, ASPath: m.plainASPath(p)}
		v := m.judge(p, a)
		if v.accepts() {
			continue
		}
		if pa.fresh() {
			m.tellRefused(now, p, a, v)
		}
		m.unset(p, b.prefix)
	}
}

// admit takes what the policy refused before and accepts now.
func (m *Mesh) admit(_ time.Time, p *peer) {
	for _, a := range p.refused {
		if m.judge(p, a).accepts() && p.judgeLimits(m.rib(p)[a.Prefix], a).accepts() {
			delete(p.refused, a.Prefix)
			m.set(path{peer: p, nextHop: a.NextHop}, a.Prefix)
		}
	}
}

// plainASPath is the AS_PATH of what the peer itself originates. The paths we keep do not store theirs: the policy has
// accepted it, and neither AS number changes in the life of a peer.
func (m *Mesh) plainASPath(p *peer) []uint32 {
	if p.ASN == m.cfg.ASN {
		return []uint32{}
	}
	return []uint32{p.ASN}
}

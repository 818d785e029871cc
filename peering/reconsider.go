package peering

import (
	"slices"
	"time"
)

// reconsider judges anew what the peers of some clusters have announced: what is accepted now may have to go, and then
// what was refused may come.
func (m *Mesh) reconsider(now time.Time, changed []*cluster) {
	for _, step := range []func(*peer){func(p *peer) { m.dismiss(now, p) }, m.admit} {
		for _, p := range m.peers {
			if slices.Contains(changed, p.cluster) {
				step(p)
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
func (m *Mesh) admit(p *peer) {
	delete(m.limited, p)
	for _, a := range p.refused.of {
		switch {
		case !m.judge(p, a).accepts():
		case !p.judgeLimits(m.rib(p)[a.Prefix], a).accepts():
			m.limited[p] = struct{}{}
		default:
			p.refused.drop(a.Prefix)
			m.set(path{peer: p, nextHop: a.NextHop}, a.Prefix)
		}
	}
}

// fillUp takes what a limit has kept out where there is room again: nobody would announce it a second time. What it takes
// may take the place of stale paths, which makes room again.
func (m *Mesh) fillUp() {
	for len(m.limited) > 0 {
		for _, t := range m.touched {
			t.block.choose()
		}
		var roomy []*peer
		for p := range m.limited {
			if p.cluster.freed {
				roomy = append(roomy, p)
			}
		}
		if len(roomy) == 0 {
			return
		}
		for _, p := range roomy {
			p.cluster.freed = false
		}
		for _, p := range roomy {
			m.admit(p)
		}
	}
}

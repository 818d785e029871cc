package peering

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// SetEvidence takes the full list of this node's blocks as the kernel's own routes show them (`blackhole … proto
// bird`, or Felix's). Evidence keeps a block alive while BIRD is away and makes it known before BIRD has spoken;
// a BIRD that is up and has sent its End-of-RIB is believed instead.
func (m *Mesh) SetEvidence(now time.Time, blocks []netip.Prefix) Changes {
	clear(m.evidence)
	for _, b := range blocks {
		if within(b, m.cfg.PodCIDRs) {
			m.evidence[b] = true
		}
	}
	m.ownDirty = true
	m.expire(now) // what only evidence kept past its retention may go now
	return m.finish(now)
}

// settleOwn works out the own blocks anew: they are few.
func (m *Mesh) settleOwn(now time.Time) {
	m.ownDirty = false
	found := map[netip.Prefix]OwnSource{}
	var heard Families // families for which BIRD's word is complete
	for _, p := range m.peers {
		if p.Role != RoleBIRD {
			continue
		}
		if p.up {
			heard |= p.eor
		}
	}
	for prefix, b := range m.local {
		found[prefix] = OwnFromStale
		if b.fresh() {
			found[prefix] = OwnFromBIRD
		}
	}
	for prefix := range m.evidence {
		if !heard.Has(FamilyOf(prefix.Addr())) {
			found[prefix] = cmp.Or(found[prefix], OwnFromKernel)
		}
	}
	m.replaceOwn(now, found)
}

func (m *Mesh) replaceOwn(now time.Time, found map[netip.Prefix]OwnSource) {
	before := make(map[netip.Prefix]OwnBlock, len(m.own))
	for _, b := range m.own {
		before[b.Prefix] = b
	}
	own := make([]OwnBlock, 0, len(found))
	added := 0
	for prefix, source := range found {
		b, had := before[prefix]
		if !had {
			added++
		}
		if b.Source != source {
			b = OwnBlock{Prefix: prefix, Source: source, Since: now}
		}
		own = append(own, b)
	}
	slices.SortFunc(own, func(a, b OwnBlock) int { return ComparePrefix(a.Prefix, b.Prefix) })
	removed := len(m.own) + added - len(own)
	m.own = own
	if added+removed == 0 {
		return
	}
	m.ch.OwnChanged = true
	m.event(Event{
		Kind: EventOwnBlocks, Cluster: m.cfg.Cluster, Count: len(own),
		Detail: fmt.Sprintf("%d own blocks: %d new, %d gone", len(own), added, removed),
	})
}

// latchOwnKnown decides when what we tell remote peers, End-of-RIB included, is the truth: when BIRD has told all; when
// BIRD does not answer but something else shows blocks; or when waiting longer serves nobody.
func (m *Mesh) latchOwnKnown(now time.Time) {
	silent, birds := 0, 0
	for _, p := range m.peers {
		if p.Role == RoleBIRD {
			birds++
			if !p.heardAll() {
				silent++
			}
		}
	}
	e := Event{Kind: EventOwnKnown, Cluster: m.cfg.Cluster, Count: len(m.own)}
	switch {
	case birds > 0 && silent == 0:
		e.Detail = "the local BIRD has sent its End-of-RIB"
	case len(m.own) > 0 && !now.Before(m.graceOver()):
		e.Detail = "known without an End-of-RIB of the local BIRD"
	case !now.Before(m.started.Add(m.cfg.ConvergenceDeadline)):
		e.Warn, e.Detail = true, fmt.Sprintf("the local BIRD has not answered within %s", m.cfg.ConvergenceDeadline)
	default:
		return
	}
	m.ownKnown = now
	m.event(e)
}

// graceOver is when BIRD's End-of-RIB is waited for no longer, if the kernel shows blocks.
func (m *Mesh) graceOver() time.Time {
	over := m.started.Add(m.grace)
	var up time.Time // since when every session with BIRD is
	for _, p := range m.peers {
		if p.Role != RoleBIRD {
			continue
		}
		if !p.up {
			return over
		}
		if p.since.After(up) {
			up = p.since
		}
	}
	if spoken := up.Add(m.cfg.OwnGrace); !up.IsZero() && spoken.Before(over) {
		return spoken
	}
	return over
}

// ComparePrefix orders prefixes by address, then by length: the order of every list we print.
func ComparePrefix(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}

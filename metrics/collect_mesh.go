package metrics

import (
	"cmp"
	"iter"
	"maps"
	"slices"
	"time"

	"routed/peering"
)

// session is one series of routed_bgp_session_*.
type session struct {
	role, cluster, peer string
	up                  bool
	established         time.Time // zero: it is not
	flaps               uint64
}

func sessionFrom(p peering.PeerStatus) session {
	s := session{
		role: p.Peer.Role.String(), cluster: p.Peer.Cluster, peer: p.Peer.Addr.String(), up: p.Up, flaps: p.Flaps,
	}
	if p.Up {
		s.established = p.Since
	}
	return s
}

// merge takes in another session of the same role and cluster.
func (s *session) merge(o session) {
	s.up = s.up && o.up
	s.flaps += o.flaps
	if o.established.After(s.established) {
		s.established = o.established
	}
}

func (s session) labels(o Options) []string {
	if o.NoPeerLabel {
		return []string{s.role, s.cluster}
	}
	return []string{s.role, s.cluster, s.peer}
}

func (c *Collector) sessions(e emitter, m peering.Status) {
	for _, s := range sessions(m, c.opts) {
		labels := s.labels(c.opts)
		e.gauge(c.d.sessionUp, number(s.up), labels...)
		e.counter(c.d.sessionFlaps, s.flaps, labels...)
		if !s.established.IsZero() {
			e.gauge(c.d.sessionAt, unix(s.established), labels...)
		}
	}
}

// sessions lists the series: each session, or with no peer label one for each role and cluster.
func sessions(m peering.Status, o Options) []session {
	var out []session
	for p := range peers(m) {
		s := sessionFrom(p)
		same := func(x session) bool { return x.role == s.role && x.cluster == s.cluster }
		if i := slices.IndexFunc(out, same); o.NoPeerLabel && i >= 0 {
			out[i].merge(s)
			continue
		}
		out = append(out, s)
	}
	return out
}

// peers yields every session, the local BIRD's first.
func peers(m peering.Status) iter.Seq[peering.PeerStatus] {
	return func(yield func(peering.PeerStatus) bool) {
		for _, p := range m.BIRD {
			if !yield(p) {
				return
			}
		}
		for _, c := range m.Clusters {
			for _, p := range c.Peers {
				if !yield(p) {
					return
				}
			}
		}
	}
}

// clusterFamily is the key that prefixes and routes are counted by.
type clusterFamily struct {
	cluster string
	family  peering.Families
}

func compareKeys(a, b clusterFamily) int {
	return cmp.Or(cmp.Compare(a.cluster, b.cluster), cmp.Compare(a.family, b.family))
}

// prefixes sums the Adj-RIB-Ins of a cluster's peers; a family that none of them negotiates and none holds is left out.
func (c *Collector) prefixes(e emitter, s Snapshot) {
	received, accepted, advertised := map[clusterFamily]int{}, map[clusterFamily]int{}, map[clusterFamily]int{}
	rejected := map[string]map[peering.Reason]uint64{}
	for _, k := range s.Mesh.Clusters {
		rejected[k.Name] = map[peering.Reason]uint64{}
	}
	for p := range peers(s.Mesh) {
		for i, f := range []peering.Families{peering.IPv4, peering.IPv6} {
			if p.Received[i] > 0 || p.Peer.Families.Has(f) {
				key := clusterFamily{p.Peer.Cluster, f}
				received[key] += p.Received[i]
				accepted[key] += p.Accepted[i]
				advertised[key] += 0
			}
		}
		if rejected[p.Peer.Cluster] == nil {
			rejected[p.Peer.Cluster] = map[peering.Reason]uint64{}
		}
		for reason, n := range p.Rejected {
			rejected[p.Peer.Cluster][reason] += n
		}
	}
	for _, a := range s.Advertised {
		advertised[clusterFamily{a.Cluster, a.Family}] += a.Count
	}
	c.direction(e, "received", received)
	c.direction(e, "accepted", accepted)
	c.direction(e, "advertised", advertised)
	for _, cluster := range slices.Sorted(maps.Keys(rejected)) {
		for _, reason := range peering.Reasons() { // all of them from the start, so that rate() sees the first one
			e.counter(c.d.rejected, rejected[cluster][reason], cluster, string(reason))
		}
	}
}

func (c *Collector) direction(e emitter, name string, counts map[clusterFamily]int) {
	for _, key := range slices.SortedFunc(maps.Keys(counts), compareKeys) {
		e.gauge(c.d.prefixes, float64(counts[key]), name, key.cluster, key.family.String())
	}
}

func (c *Collector) clusters(e emitter, m peering.Status) {
	for _, k := range m.Clusters {
		e.gauge(c.d.nodes, float64(k.NodesKnown), k.Name, "known")
		e.gauge(c.d.nodes, float64(k.NodesUp), k.Name, "up")
		e.gauge(c.d.held, float64(k.Held), k.Name)
		e.gauge(c.d.conflicts, float64(k.Conflicts), k.Name)
		c.limits(e, k)
		for _, b := range k.Blocks {
			e.gauge(c.d.blocks, float64(b.Fresh), k.Name, b.Family.String(), "fresh")
			e.gauge(c.d.blocks, float64(b.Stale), k.Name, b.Family.String(), "stale")
			e.gauge(c.d.blocks, float64(b.Held), k.Name, b.Family.String(), "held")
		}
	}
}

// limits leaves out a limit that there is not.
func (c *Collector) limits(e emitter, k peering.ClusterStatus) {
	one := func(scope string, limit, used int) {
		if limit > 0 {
			e.gauge(c.d.limit, float64(limit), k.Name, scope)
			e.gauge(c.d.limitUsed, float64(used), k.Name, scope)
		}
	}
	one("cluster", k.Limits.Total, k.Prefixes)
	one("node", k.Limits.PerNode, k.Fullest)
}

func (c *Collector) rosters(e emitter, rosters []Roster) {
	for _, r := range rosters {
		e.gauge(c.d.rosterAt, unix(r.LastSuccessAt), r.Cluster)
		e.counter(c.d.rosterFailures, r.Failures, r.Cluster)
	}
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// unix is seconds since 1970 with fractions, 0 for never.
func unix(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixNano()) / float64(time.Second)
}

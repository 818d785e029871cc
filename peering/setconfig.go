package peering

import (
	"net/netip"
	"time"
)

// SetRetention changes how long paths outlive their session, for those that do so already as well.
func (m *Mesh) SetRetention(now time.Time, d time.Duration) Changes {
	if d != m.cfg.Retention {
		m.cfg.Retention = d
		m.expire(now)
	}
	return m.finish(now)
}

// SetServiceCIDRs changes what the services of our own cluster use. It comes before the roster of the same configuration,
// by which what was announced is judged anew: no pod CIDR of a cluster may overlap them, so alone they accept nothing more
// and nothing less.
func (m *Mesh) SetServiceCIDRs(cidrs []netip.Prefix) { m.cfg.ServiceCIDRs = cidrs }

package peering

import "time"

// SetRetention changes how long paths outlive their session, for those that do so already as well.
func (m *Mesh) SetRetention(now time.Time, d time.Duration) Changes {
	if d != m.cfg.Retention {
		m.cfg.Retention = d
		m.expire(now)
	}
	return m.finish(now)
}

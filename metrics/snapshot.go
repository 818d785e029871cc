package metrics

import (
	"time"

	"routed/guard"
	"routed/kernel"
	"routed/peering"
	"routed/probe"
)

// Snapshot is the daemon's numbers at one moment. The collector does not change it, and asks for a new one at each
// scrape. Counters that are sums over peers fall when a peer leaves the roster; Prometheus takes that for a restart.
type Snapshot struct {
	Mesh       peering.Status
	Advertised []Advertised
	Kernel     kernel.Status
	Guard      guard.Status
	Probe      probe.Status
	Reload     Reload
	Rosters    []Roster
	HostChecks []HostCheck
}

// Roster is how the API stands that lists the nodes of a cluster.
type Roster struct {
	Cluster       string
	LastSuccessAt time.Time // when the list in force was last known to be the API's; zero: never
	Failures      uint64    // of calls to it
}

// HostCheck is what one check of the host came to at the last look: how many findings of each result.
type HostCheck struct {
	Check                          string
	Failed, Warning, Unknown, Good int
}

// Advertised counts the prefixes of one family that the nodes of a cluster are told, all sessions together.
type Advertised struct {
	Cluster string
	Family  peering.Families // one
	Count   int
}

// Reload is the last attempt to load the configuration; the load at the start counts.
type Reload struct {
	Successful    bool
	LastSuccessAt time.Time
}

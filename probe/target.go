package probe

import (
	"net/netip"
	"time"
)

// Settings is how probing works. The zero value is off.
type Settings struct {
	Interval         time.Duration // from one echo to a target to the next, about; 0: no probes
	Timeout          time.Duration // how long an answer may take; less than Interval
	PathMTU          bool          // search for the path MTU to next hops
	PacketsPerSecond int           // never more are sent, whatever the number of targets; at most MaxPacketsPerSecond
}

// MaxPacketsPerSecond bounds [Settings.PacketsPerSecond], and MaxTimeout [Settings.Timeout]: together they bound the
// probes under way, which 16 bits of sequence number must tell apart.
const (
	MaxPacketsPerSecond = 1000
	MaxTimeout          = 10 * time.Second
)

// Kind is what a target is.
type Kind string

// The kinds, as in the label `kind` of the metrics.
const (
	NextHop Kind = "next_hop" // a node that wanted routes lead to
	Address Kind = "address"  // an address inside a remote pod range
)

// Target is somebody to be probed. An address is one target, however often it is named.
type Target struct {
	Addr    netip.Addr
	Kind    Kind
	Cluster string
	NextHop netip.Addr // the node that the way leads to; of a NextHop itself; of an Address that no block holds: none
	// Guessed is an address that nobody need have: it is silent, and not failing, until it has answered once.
	Guessed bool
}

// State is how a target stands.
type State string

// The states, as in the label `state` of the metrics.
const (
	Unprobed  State = "unprobed"  // nothing is known yet
	Answering State = "answering" // it answered one of the last LostToFail probes
	Failing   State = "failing"   // it did not
	Silent    State = "silent"    // it never answered, and need not
)

// States lists every state.
func States() []State { return []State{Unprobed, Answering, Failing, Silent} }

// LostToFail is how many probes in a row have to be lost for a target to be failing.
const LostToFail = 3

// Status is all that is known at one moment. It shares nothing with the Prober.
type Status struct {
	Settings Settings
	Err      string        // why probing is not possible, of a family or at all; empty: it is
	Round    time.Duration // how long it takes to probe every target once; above Settings.Interval: too many for the rate
	PodMTU   int           // bytes; the largest MTU of this node's devices of pods; 0: there are none, or PathMTU is off
	Targets  []TargetStatus
}

// On reports whether probes are wanted.
func (s Status) On() bool { return s.Settings.Interval > 0 }

// TargetStatus is one target at one moment.
type TargetStatus struct {
	Target
	State   State
	Since   time.Time     // of the state
	Success bool          // the last probe whose outcome is known was answered
	RTT     time.Duration // of the last answer; 0: none
	Reason  string        // why the last probe was lost; empty: it was not
	MTU     int           // path MTU in bytes, header of IP included; 0: not known
	MTUAt   time.Time     // when it was measured
}

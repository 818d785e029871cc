package kernel

import (
	"net/netip"
	"time"
)

// Route is one wanted route: a prefix and the address it is reached through. How that address is reached
// (device, on-link or not) is resolved here, against the kernel's links and addresses.
type Route struct {
	Prefix  netip.Prefix
	NextHop netip.Addr
	Group   string // what the route is counted under in Status (the remote cluster's name); not in the kernel
}

// Change wants a route (the zero Route.NextHop: no longer wants it).
type Change struct {
	Route Route
	At    time.Time // when the BGP message that caused it arrived; zero: none did
}

// State is how one wanted route stands.
type State uint8

// The states of a wanted route; String gives the metrics label `state`.
const (
	StateMissing    State = iota // wanted, not in the kernel yet
	StateInstalled               // in the table as wanted
	StateMismatched              // in the table, ours, but with another next hop or device
	StateConflict                // a foreign route holds its place
	StateUnresolved              // no on-link way to its next hop, or the kernel refused it
	StateShadowed                // in the table, but a FIB lookup answers otherwise
)

// Observer is told what happened, as it happens, from the reconciler's goroutine. It must not block.
type Observer interface {
	Reconciled(kind string, took time.Duration) // kind: change, repair, resync
	Converged(took time.Duration)               // from Change.At to the kernel's acknowledgement
}

// RouteStatus is one wanted route and how it stands.
type RouteStatus struct {
	Route  Route
	State  State
	Device string    // the device it leaves by; empty when unresolved
	Since  time.Time // of State
	Err    string    // why, when it is not installed
}

// String is the metrics label `state`.
func (s State) String() string {
	switch s {
	case StateMissing:
		return "missing"
	case StateInstalled:
		return "installed"
	case StateMismatched:
		return "mismatched"
	case StateConflict:
		return "conflict"
	case StateUnresolved:
		return "unresolved"
	case StateShadowed:
		return "shadowed"
	}
	return "unknown"
}

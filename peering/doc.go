// Package peering is the decision core of routed: who the peers are and what we believe of what they say.
//
// It owns the Adj-RIB-In of every peer, the import policy, the choice of one owner per block, and the clocks that
// keep a route alive after its session is lost (retention) or hold a suspicious mass withdrawal back (the brake).
//
// The package is pure: no goroutine, socket, lock, log or clock of its own. [Mesh] takes what happened and the time
// it happened, and answers with what is wanted now that was not wanted before. It refuses to know BGP's wire format
// (package bgp) and how a next hop is reached (package kernel). It imports the standard library only.
package peering

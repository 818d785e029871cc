package peering

import (
	"net/netip"
	"time"
)

// SessionChange is what an Update says about the session itself.
type SessionChange uint8

const (
	// SessionSame says that the session did not change state.
	SessionSame SessionChange = iota
	// SessionUp says that the session reached Established (RFC 4271 section 8.2.2).
	SessionUp
	// SessionDown says that the session left Established, whatever the cause. Nothing is thereby withdrawn.
	SessionDown
)

// Announcement is one prefix of a BGP UPDATE with the attributes the import policy looks at.
// What the message did not carry stays zero, and the policy rejects it with a reason.
type Announcement struct {
	Prefix  netip.Prefix
	NextHop netip.Addr // invalid: the UPDATE had no NEXT_HOP
	ASPath  []uint32   // the AS_PATH flattened; nil: the attribute is missing; empty: originated inside the peer's AS
}

// Update is one thing a peer did. Its slices belong to the receiver; the sender does not touch them again.
// Announce and Withdraw never name the same prefix.
type Update struct {
	Peer     netip.Addr
	At       time.Time     // when the message arrived at the speaker
	Session  SessionChange // applied before the rest of the Update
	Families Families      // with SessionUp: what was negotiated
	Reason   string        // with SessionDown: why, in words for people
	Announce []Announcement
	Withdraw []netip.Prefix
	EndOfRIB Families // families whose End-of-RIB marker (RFC 4724 section 2) arrived, after Announce and Withdraw
}

// RouteChange is one change of what the kernel should hold. The zero NextHop means: no longer wanted.
type RouteChange struct {
	Prefix  netip.Prefix
	NextHop netip.Addr
	Cluster string
}

// Changes is what one step of the Mesh changed.
type Changes struct {
	Routes     []RouteChange // at most one for a prefix
	OwnChanged bool          // [Mesh.OwnBlocks] answers differently now
	Events     []Event       // what is worth telling people, in the order it happened
}

// EventKind names an event; the names are stable, people grep logs for them.
type EventKind string

// The events of a mesh.
const (
	EventSessionUp     EventKind = "session-up"
	EventSessionDown   EventKind = "session-down"
	EventLearned       EventKind = "blocks-learned" // these three at most one a cluster in 10 seconds
	EventMoved         EventKind = "blocks-moved"
	EventLost          EventKind = "blocks-lost"
	EventBlockConflict EventKind = "block-conflict"        // at most one a cluster and minute
	EventRejected      EventKind = "announcement-rejected" // at most one per peer, reason and minute
	EventOwnBlocks     EventKind = "own-blocks-changed"
	EventOwnKnown      EventKind = "own-blocks-known"
	EventConverged     EventKind = "mesh-converged"
	EventExpired       EventKind = "routes-expired"       // retention ran out
	EventHeld          EventKind = "withdrawals-held"     // the brake holds a mass withdrawal back
	EventReleased      EventKind = "withdrawals-released" // and lets go of it
)

// Event is one line for the log.
type Event struct {
	Kind    EventKind
	Peer    netip.Addr   // invalid when it is about no single peer
	Cluster string       // empty when it is about no single cluster
	Prefix  netip.Prefix // invalid when it is about no single prefix
	Count   int          // how many routes or blocks it is about
	Detail  string       // in words
	Warn    bool         // somebody should look
}

// Package bgp holds the BGP sessions: with the BIRD of this node and with the daemons of other clusters. It is the
// only place that knows GoBGP; everything that crosses its border is a value of package peering.
//
// It owns the TCP connections, the finite state machines (RFC 4271 section 8), capabilities, graceful restart and
// what is announced. It refuses to judge what peers say: every announcement of a peer, also a malformed one that
// RFC 7606 lets pass, comes out as a [peering.Update], and the import policy is somebody else's. It refuses to pass
// on what it learned: GoBGP's policies are deny by default in both directions before the first peer exists, only own
// blocks are accepted into the table and announced, and never to a peer of role BIRD.
//
// # Queues
//
// Updates leave on the channel given to [Speaker.Run]. Its capacity is the only queue of this package; when it is
// full the watcher waits. GoBGP puts an unbounded queue of its own in front of the watcher and has no way to slow a
// peer down, so the receiver must be quicker than the peers on average; what can pile up is only bounded by what
// the peers say and how often they change their mind. GoBGP keeps nothing of it (see adjRIBs).
//
// On average it is, but an UPDATE takes three goroutines from the peer's to the watcher, and where those of the peers are
// always ready to run, they fill the queue first: with several kilobytes an UPDATE, since GoBGP adds the configuration of
// the peer to each. So a peer's goroutine gives way at every UPDATE, in the only place where GoBGP calls us from it: its
// log.
//
// # Times
//
// GoBGP dials 1.5 to 2 s after a session is configured or lost, and every 1.5 to 2 s from then on; it listens at once.
// Two daemons that start together are up after 2 s, and so is one that restarts.
package bgp

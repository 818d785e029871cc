package kernel

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"syscall"
	"time"
)

// FIB is the seam to the kernel: NewNetlink makes the real one. Its methods may be called from several goroutines.
type FIB interface {
	// Watch subscribes to what changes in the table, among the rules, links and addresses, except for what Apply
	// does itself. It returns once the subscription stands. The channel is closed when the subscription is lost
	// or ctx ends; events that were lost on the way are signalled by an EventOverrun in their place.
	Watch(ctx context.Context, table uint32) (<-chan []Event, error)
	// Routes dumps the table in pieces; a piece is valid during the call only. A table that does not exist is
	// empty. yield may wait for other methods to return; with a nil yield only the digest is taken, for much less
	// time. After an error (ErrInterrupted above all) what was yielded is true but not complete.
	Routes(ctx context.Context, table uint32, yield func([]FIBRoute)) (Digest, error)
	Rules(ctx context.Context) ([]Rule, error)
	Topology(ctx context.Context) (Topology, error)
	// Apply does the operations in order, all of them whatever becomes of each, and returns one error an
	// operation: nil, an *OpError, or ErrUnknownOutcome.
	Apply(ops []Op) []error
	// Lookup asks the kernel which route a packet from this host to each address takes: one answer an address, in
	// their order.
	Lookup(addrs []netip.Addr) []Answer
}

// Digest is a hash of what a dump said, down to the last byte: two dumps of one table by one FIB with the same digest
// said the same, but for a chance of 2^-64.
type Digest uint64

// Answer is what the kernel says to one lookup. Err tells that no packet gets there, or that there was no answer.
type Answer struct {
	Route FIBRoute // its Prefix is the address alone
	Table uint32   // that the route is in
	Err   error
}

// ErrInterrupted is a dump that the kernel says is inconsistent (NLM_F_DUMP_INTR): the table changed meanwhile.
var ErrInterrupted = errors.New("the table changed while it was dumped")

// ErrUnknownOutcome is an operation whose acknowledgement was lost. Only a dump can tell what became of it.
var ErrUnknownOutcome = errors.New("the kernel's answer was lost")

// OpError is the kernel's refusal of one operation.
type OpError struct {
	Errno syscall.Errno
	Text  string // the kernel's own words, where it has some
}

func (e *OpError) Error() string {
	if e.Text == "" {
		return e.Errno.Error()
	}
	return fmt.Sprintf("%s (%s)", e.Errno.Error(), e.Text)
}

// Unwrap lets errors.Is find the errno.
func (e *OpError) Unwrap() error { return e.Errno }

// EventKind is what an Event is about.
type EventKind uint8

// The events of a Watch.
const (
	EventOverrun EventKind = iota // events were lost: only a full compare tells what happened
	EventRoute
	EventRule
	EventLink
	EventAddress
	EventNextHop // a next-hop object, which foreign routes may hang on; the event says no more
)

// Event is one change in the kernel. Which fields count is said by Kind.
type Event struct {
	Kind    EventKind
	Gone    bool // removed; else new or changed
	Mode    putMode
	Route   FIBRoute
	Rule    Rule
	Link    Link
	Address Address
	At      time.Time // when it was read
}

// isGone says whether a delete failed because there was nothing (any more) to delete.
func isGone(err error) bool { return errors.Is(err, syscall.ESRCH) || errors.Is(err, syscall.ENOENT) }

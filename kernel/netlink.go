package kernel

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	// writeBatch is how many operations go into one send: larger gains nothing (BenchmarkApply), and a send holds
	// the caller for as long as the kernel works on it, about 3.5 us a route.
	writeBatch = 500
	// watchBuffer holds the events of a bulk change by somebody else while we are busy: an event takes about
	// 1 KiB of it. The kernel takes the memory only while events wait.
	watchBuffer = 32 << 20
)

// Netlink is the kernel of one network namespace: that of the thread that called NewNetlink.
//
// The github.com/vishvananda/netlink library does what it can do without loss: the rules, and dumps of all but route
// tables. Ours are what happens in bulk, the batched writes and lookups of routes and the dumps of tables,
// since the library waits for an answer to each or leaves garbage with each; the event subscription, since the library's
// cannot report an overrun nor leave out our own events; and decoding, since the library's leaves out
// attributes that it does not know, by which we tell what is not ours, cannot be used on events, or panics.
type Netlink struct {
	writer *nlConn         // changes of routes
	handle *netlink.Handle // rule changes
	query  *dumper         // short dumps
	tables *tableReader    // dumps of tables, which may take a while
	asker  *nlConn         // lookups

	mu     sync.Mutex
	events *watchConn // opened with the others, taken by the first Watch
}

// NewNetlink opens the sockets. Close them when nothing uses the FIB any more.
func NewNetlink() (*Netlink, error) {
	n := &Netlink{}
	if err := n.open(); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

func (n *Netlink) open() error {
	var err error
	if n.writer, err = openConn(); err != nil {
		return err
	}
	if n.asker, err = openConn(); err != nil {
		return err
	}
	if n.query, err = openDumper(); err != nil {
		return err
	}
	if n.tables, err = openTableReader(); err != nil {
		return err
	}
	if n.asker, err = openConn(); err != nil {
		return err
	}
	if n.handle, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		return fmt.Errorf("open a netlink handle: %w", err)
	}
	if err = n.handle.SetSocketTimeout(answerTimeout * time.Second); err != nil {
		return fmt.Errorf("set a netlink socket's timeout: %w", err)
	}
	n.events, err = openWatch(watchBuffer)
	return err
}

// Close closes the sockets.
func (n *Netlink) Close() error {
	var errs []error
	for _, c := range []*nlConn{n.writer, n.asker} {
		if c != nil {
			errs = append(errs, c.close())
		}
	}
	if n.query != nil {
		n.query.close()
	}
	if n.tables != nil {
		errs = append(errs, n.tables.close())
	}
	if n.handle != nil {
		n.handle.Close()
	}
	if w := n.takeWatch(); w != nil {
		errs = append(errs, w.file.Close())
	}
	return errors.Join(errs...)
}

// Apply sends operations on routes in batches, with an acknowledgement asked of the last of each only: that of a
// refused one comes unasked, and is told apart by its sequence number. Rules go one by one.
func (n *Netlink) Apply(ops []Op) []error {
	n.writer.mu.Lock()
	defer n.writer.mu.Unlock()
	errs := make([]error, len(ops))
	for from := 0; from < len(ops); {
		to := from
		for to < len(ops) && to-from < writeBatch && ops[to].Kind.ofRoute() {
			to++
		}
		if to > from {
			n.applyBatch(ops[from:to], errs[from:to])
			n.finishReplacing(ops[from:to], errs[from:to])
			from = to
			continue
		}
		errs[from] = n.applyRule(ops[from])
		from++
	}
	return errs
}

func (n *Netlink) applyBatch(ops []Op, errs []error) {
	first := n.writer.seq + 1
	n.writer.out.reset()
	for i, o := range ops {
		n.writer.out.op(o, first+uint32(i))
	}
	n.writer.out.acknowledge()
	n.writer.seq += uint32(len(ops))
	if err := n.writer.send(n.writer.out.buf); err != nil {
		n.splitBatch(ops, errs, err)
		return
	}
	lost := false
	for acknowledged := false; !acknowledged && !lost; {
		err := n.writer.receive(func(m message) error {
			i := int(m.seq - first)
			if m.typ == unix.NLMSG_ERROR && i >= 0 && i < len(ops) {
				errs[i] = m.opError()
				acknowledged = acknowledged || i == len(ops)-1
			}
			return nil
		})
		lost = err != nil
	}
	if lost { // the receive buffer overflowed: what has no error yet may have one
		for i := range errs {
			if errs[i] == nil {
				errs[i] = ErrUnknownOutcome
			}
		}
	}
}

// splitBatch copes with a host that does not let us have a send buffer for a whole batch (EMSGSIZE, ENOBUFS): in
// halves it fits sooner or later. Nothing of a failed send was done.
func (n *Netlink) splitBatch(ops []Op, errs []error, err error) {
	tooLarge := errors.Is(err, unix.EMSGSIZE) || errors.Is(err, unix.ENOBUFS)
	if half := len(ops) / 2; tooLarge && half > 0 {
		n.applyBatch(ops[:half], errs[:half])
		n.applyBatch(ops[half:], errs[half:])
		return
	}
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		errno = syscall.EIO
	}
	for i := range errs {
		errs[i] = &OpError{Errno: errno, Text: "netlink send"}
	}
}

// Routes dumps both families of the table.
func (n *Netlink) Routes(ctx context.Context, table uint32, yield func([]FIBRoute)) (Digest, error) {
	piece := make([]FIBRoute, 0, 1024)
	flush := func() {
		if len(piece) > 0 {
			yield(piece)
			piece = piece[:0]
		}
	}
	var handle func(tableRoute)
	if yield != nil {
		handle = func(r tableRoute) {
			if piece = append(piece, r.FIBRoute); len(piece) == cap(piece) {
				flush()
			}
		}
	}
	digest := n.tables.digester()
	var errs []error
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		errs = append(errs, n.tables.routes(ctx, family, table, unix.RTN_UNSPEC, digest, handle))
	}
	flush()
	if err := errors.Join(errs...); err != nil {
		return 0, fmt.Errorf("dump table %d: %w", table, err)
	}
	return Digest(digest.Sum64()), nil
}

// Rules dumps the rules of both families.
func (n *Netlink) Rules(ctx context.Context) ([]Rule, error) {
	var rules []Rule
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		if err := n.query.rules(ctx, family, func(r Rule) { rules = append(rules, r) }); err != nil {
			return nil, fmt.Errorf("dump the rules: %w", err)
		}
	}
	return rules, nil
}

// Topology dumps links and addresses.
func (n *Netlink) Topology(ctx context.Context) (Topology, error) {
	t := Topology{Links: make(map[int32]Link)}
	if err := n.query.links(ctx, func(l Link) { t.Links[l.Index] = l }); err != nil {
		return t, fmt.Errorf("dump the links: %w", err)
	}
	if err := n.query.addresses(ctx, func(a Address, _ bool) { t.setAddress(a) }); err != nil {
		return t, fmt.Errorf("dump the addresses: %w", err)
	}
	return t, nil
}

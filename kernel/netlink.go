package kernel

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"syscall"

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
type Netlink struct {
	writer *nlConn // changes
	query  *nlConn // short questions
	dumper *nlConn // dumps of the table, which may take a while

	mu     sync.Mutex
	events *watchConn // opened with the others, taken by the first Watch

	out encoder // of writer
}

// NewNetlink opens the sockets. Close them when nothing uses the FIB any more.
func NewNetlink() (*Netlink, error) {
	n := &Netlink{}
	for _, c := range []**nlConn{&n.writer, &n.query, &n.dumper} {
		var err error
		if *c, err = openConn(); err != nil {
			return nil, errors.Join(err, n.Close())
		}
	}
	events, err := openWatch(watchBuffer)
	if err != nil {
		return nil, errors.Join(err, n.Close())
	}
	n.events = events
	return n, nil
}

// Close closes the sockets.
func (n *Netlink) Close() error {
	var errs []error
	for _, c := range []*nlConn{n.writer, n.query, n.dumper} {
		if c != nil {
			errs = append(errs, c.close())
		}
	}
	if w := n.takeWatch(); w != nil {
		errs = append(errs, w.file.Close())
	}
	return errors.Join(errs...)
}

// Apply sends the operations in batches, with an acknowledgement asked of the last of each only: that of a refused
// one comes unasked, and is told apart by its sequence number.
func (n *Netlink) Apply(ops []Op) []error {
	n.writer.mu.Lock()
	defer n.writer.mu.Unlock()
	errs := make([]error, len(ops))
	for from := 0; from < len(ops); from += writeBatch {
		to := min(from+writeBatch, len(ops))
		n.applyBatch(ops[from:to], errs[from:to])
	}
	return errs
}

func (n *Netlink) applyBatch(ops []Op, errs []error) {
	first := n.writer.seq + 1
	n.out.reset()
	for i, o := range ops {
		n.out.op(o, first+uint32(i))
	}
	n.out.acknowledge()
	n.writer.seq += uint32(len(ops))
	if err := n.writer.send(n.out.buf); err != nil {
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
func (n *Netlink) Routes(ctx context.Context, table uint32, yield func([]FIBRoute)) error {
	piece := make([]FIBRoute, 0, 1024)
	flush := func() {
		if len(piece) > 0 {
			yield(piece)
			piece = piece[:0]
		}
	}
	var errs []error
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		errs = append(errs, n.dumpRoutes(ctx, family, table, unix.RTN_UNSPEC, func(r tableRoute) {
			if piece = append(piece, r.FIBRoute); len(piece) == cap(piece) {
				flush()
			}
		}))
	}
	flush()
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("dump table %d: %w", table, err)
	}
	return nil
}

// dumpRoutes dumps one family of a table, one type of route or all (RTN_UNSPEC). Where the kernel cannot filter, or
// filters by less than asked, it is done here. A table, or a family, that the kernel does not have is empty.
func (n *Netlink) dumpRoutes(ctx context.Context, family uint8, table uint32, typ uint8, handle func(tableRoute)) error {
	e := encoder{}
	e.buf = append(e.buf, family, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0) // struct rtmsg
	if n.dumper.strict {
		e.buf[4], e.buf[7] = shortTable(table), typ
		e.uint32(unix.RTA_TABLE, table)
	}
	err := n.dumper.dump(ctx, unix.RTM_GETROUTE, e.buf, func(m message) error {
		r, err := decodeRoute(m.data)
		if err != nil {
			return err
		}
		if r.table == table && !r.foreign && (typ == unix.RTN_UNSPEC || r.Type == typ) {
			handle(r)
		}
		return nil
	})
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil
	}
	return err
}

// Rules dumps the rules of both families.
func (n *Netlink) Rules(ctx context.Context) ([]Rule, error) {
	var rules []Rule
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		header := [sizeofRuleHeader]byte{family}
		err := n.query.dump(ctx, unix.RTM_GETRULE, header[:], func(m message) error {
			// A kernel without rules of a family answers with those of another.
			if r, ok := decodeRule(m.data); ok && r.IPv6 == (family == unix.AF_INET6) {
				rules = append(rules, r)
			}
			return nil
		})
		if err != nil && !errors.Is(err, unix.EAFNOSUPPORT) && !errors.Is(err, unix.EOPNOTSUPP) {
			return nil, fmt.Errorf("dump the rules: %w", err)
		}
	}
	return rules, nil
}

// Topology dumps links and addresses.
func (n *Netlink) Topology(ctx context.Context) (Topology, error) {
	t := Topology{Links: make(map[int32]Link)}
	links := [unix.SizeofIfInfomsg]byte{}
	err := n.query.dump(ctx, unix.RTM_GETLINK, links[:], func(m message) error {
		if l, ok := decodeLink(m.data); ok {
			t.Links[l.Index] = l
		}
		return nil
	})
	if err != nil {
		return t, fmt.Errorf("dump the links: %w", err)
	}
	addresses := [sizeofIfAddrmsg]byte{}
	err = n.query.dump(ctx, unix.RTM_GETADDR, addresses[:], func(m message) error {
		if a, ok := decodeAddress(m.data); ok {
			t.setAddress(a)
		}
		return nil
	})
	if err != nil {
		return t, fmt.Errorf("dump the addresses: %w", err)
	}
	return t, nil
}

// Lookup asks for the route to an address (RTM_GETROUTE); its Prefix is the address itself. An address that the
// kernel has no route to is an error that is unix.ENETUNREACH.
func (n *Netlink) Lookup(addr netip.Addr) (FIBRoute, error) {
	addr = addr.Unmap()
	var found FIBRoute
	err := n.query.ask(unix.RTM_GETROUTE, func(e *encoder) {
		bits := uint8(addr.BitLen())
		e.buf = append(e.buf, familyOf(netip.PrefixFrom(addr, 0)), bits, 0, 0, 0, 0, 0, 0)
		e.buf = binary.NativeEndian.AppendUint32(e.buf, 0)
		e.addr(unix.RTA_DST, addr)
	}, func(m message) error {
		r, err := decodeRoute(m.data)
		found = r.FIBRoute
		return err
	})
	if err != nil {
		return FIBRoute{}, fmt.Errorf("look up %s: %w", addr, err)
	}
	return found, nil
}

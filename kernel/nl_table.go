package kernel

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"

	"golang.org/x/sys/unix"
)

// tableReader dumps route tables on a socket of its own. The library's way to dump leaves garbage with every route,
// 15 MB with 100,000 of them, once in a resync interval; ours none.
type tableReader struct {
	conn   *nlConn
	strict bool // the kernel filters dumps (NETLINK_GET_STRICT_CHK, Linux 4.20)
	seed   maphash.Seed
}

func openTableReader() (*tableReader, error) {
	conn, err := openConn()
	if err != nil {
		return nil, err
	}
	strict := unix.SetsockoptInt(conn.fd, unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1) == nil
	return &tableReader{conn: conn, strict: strict, seed: maphash.MakeSeed()}, nil
}

func (t *tableReader) close() error { return t.conn.close() }

// digester makes a hash for routes: those of one tableReader can be compared.
func (t *tableReader) digester() *maphash.Hash {
	var h maphash.Hash
	h.SetSeed(t.seed)
	return &h
}

// routes dumps one family of a table, one type of route or all (RTN_UNSPEC), and hands the routes over one by one. Where
// the kernel cannot filter, or filters by less than asked, it is done here. What the kernel says goes to the digest as
// well, unless that is nil; a nil handle only takes the digest.
func (t *tableReader) routes(ctx context.Context, family uint8, table uint32, typ uint8, digest *maphash.Hash,
	handle func(tableRoute),
) error {
	t.conn.mu.Lock()
	defer t.conn.mu.Unlock()
	if err := t.ask(family, table, typ); err != nil {
		return err
	}
	var failed error
	err := t.conn.dump(func(m message) {
		if failed == nil {
			failed = ctx.Err()
		}
		if failed != nil || m.typ != unix.RTM_NEWROUTE {
			return // what is given up is read to its end all the same, so that the socket stays usable
		}
		if digest != nil {
			_, _ = digest.Write(m.data) // never fails
		}
		if handle == nil {
			return
		}
		r, err := decodeRoute(m.data)
		if err != nil {
			failed = err
			return
		}
		if r.table == table && !r.foreign && (typ == unix.RTN_UNSPEC || r.Type == typ) {
			handle(r)
		}
	})
	if err = errors.Join(err, failed); isAbsent(err) {
		return nil
	}
	return err
}

func (t *tableReader) ask(family uint8, table uint32, typ uint8) error {
	t.conn.seq++
	t.conn.out.reset()
	t.conn.out.begin(unix.RTM_GETROUTE, unix.NLM_F_REQUEST|unix.NLM_F_DUMP, t.conn.seq)
	if !t.strict {
		table, typ = unix.RT_TABLE_UNSPEC, unix.RTN_UNSPEC
	}
	t.conn.out.buf = append(t.conn.out.buf, family, 0, 0, 0, shortTable(table), 0, 0, typ, 0, 0, 0, 0) // struct rtmsg
	if t.strict {
		t.conn.out.uint32(unix.RTA_TABLE, table)
	}
	t.conn.out.end()
	if err := t.conn.send(t.conn.out.buf); err != nil {
		return fmt.Errorf("ask for a dump: %w", err)
	}
	return nil
}

// dump reads the answer to a request for a dump, the last that was sent.
func (c *nlConn) dump(handle func(m message)) error {
	interrupted := false
	var end error
	for done := false; !done; {
		err := c.receive(func(m message) error {
			if m.seq != c.seq {
				return nil // left of a dump that was given up for an error
			}
			interrupted = interrupted || m.flags&unix.NLM_F_DUMP_INTR != 0
			switch m.typ {
			case unix.NLMSG_DONE, unix.NLMSG_ERROR:
				done, end = true, m.opError()
			default:
				handle(m)
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("read a dump: %w", err)
		}
	}
	if end == nil && interrupted {
		return ErrInterrupted
	}
	return end
}

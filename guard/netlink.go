package guard

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/userdata"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

const (
	// elementsAtOnce bounds one message: its list of elements must fit an attribute, which is 64 KiB at most.
	elementsAtOnce = 500
	// buffers must hold a whole transaction, and its answers: some 60 bytes an address each way.
	buffers = 8 << 20
	// answersWithin bounds a call. The library waits for an answer to every message of a transaction, and a kernel that
	// refuses the whole of it gives but one.
	answersWithin = 10 * time.Second
)

// kernelTables is nf_tables of the network namespace that a call is made in. Each call has a socket of its own: the
// answers that a failed one left unread cannot be taken for those of the next.
type kernelTables struct{}

func (kernelTables) dial() (*nftables.Conn, error) {
	return nftables.New(nftables.AsLasting(), nftables.WithSockOptions(func(c *netlink.Conn) error {
		return errors.Join(c.SetReadBuffer(buffers), c.SetWriteBuffer(buffers), c.SetDeadline(time.Now().Add(answersWithin)))
	}))
}

// do runs f on a socket that is closed afterwards.
func (k kernelTables) do(f func(c *nftables.Conn) error) error {
	c, err := k.dial()
	if err != nil {
		return fmt.Errorf("open an nf_tables socket: %w", err)
	}
	return errors.Join(f(c), c.CloseLasting())
}

func ourTable() *nftables.Table {
	return &nftables.Table{Name: tableName, Family: nftables.TableFamilyINet}
}

// read says what the kernel has under our name. Somebody else's table of that name is read no further than to see that it
// is not ours.
func (k kernelTables) read() (found, error) {
	var f found
	err := k.do(func(c *nftables.Conn) error {
		t, err := c.ListTableOfFamily(tableName, nftables.TableFamilyINet)
		switch {
		case errors.Is(err, unix.ENOENT):
			return nil
		case err != nil:
			return fmt.Errorf("look for table inet %s: %w", tableName, err)
		}
		f.exists, f.flagged = true, t.Flags != 0
		if err := f.readChains(c); err != nil {
			return fmt.Errorf("read table inet %s: %w", tableName, err)
		}
		if !f.ours() {
			return nil
		}
		if err := f.readSets(c); err != nil {
			return fmt.Errorf("read table inet %s: %w", tableName, err)
		}
		return nil
	})
	return f, err
}

// readChains reads the chains and the rules of those that have our names: the library cannot decode everything that
// somebody may have put into others, and their being there is enough to know.
func (f *found) readChains(c *nftables.Conn) error {
	chains, err := c.ListChainsOfTableFamily(nftables.TableFamilyINet)
	if err != nil {
		return err
	}
	known := names(build(State{}).chains, chain.named)
	for _, one := range chains {
		if one.Table.Name != tableName {
			continue
		}
		f.chains = append(f.chains, chainFrom(one))
		if !slices.Contains(known, one.Name) {
			continue
		}
		rules, err := c.GetRules(ourTable(), one)
		if err != nil {
			return fmt.Errorf("chain %s: %w", one.Name, err)
		}
		for _, r := range rules {
			if r.Table.Name == tableName && r.Chain.Name == one.Name { // old kernels ignore the filter
				f.rules = append(f.rules, ruleFrom(r))
				f.handles = append(f.handles, r.Handle)
			}
		}
	}
	return nil
}

func chainFrom(c *nftables.Chain) chain {
	out := chain{name: c.Name, kind: string(c.Type), drops: c.Policy != nil && *c.Policy == nftables.ChainPolicyDrop}
	if c.Hooknum == nil {
		return out
	}
	switch *c.Hooknum {
	case *nftables.ChainHookInput:
		out.hook = hookInput
	case *nftables.ChainHookForward:
		out.hook = hookForward
	default:
		out.hook = hookOther
	}
	if c.Priority != nil {
		out.priority = int32(*c.Priority)
	}
	return out
}

func ruleFrom(r *nftables.Rule) rule {
	comment, _ := userdata.GetString(r.UserData, userdata.TypeComment)
	return rule{chain: r.Chain.Name, comment: comment, program: decode(r.Exprs)}
}

func (f *found) readSets(c *nftables.Conn) error {
	sets, err := c.GetSets(ourTable())
	if err != nil {
		return fmt.Errorf("sets: %w", err)
	}
	for _, one := range sets {
		s := set{name: one.Name, family: familyOfSet(one)}
		if s.family != 0 {
			elements, err := c.GetSetElements(one)
			if err != nil {
				return fmt.Errorf("set %s: %w", one.Name, err)
			}
			for _, e := range elements {
				s.addrs = append(s.addrs, addrOf(e.Key, s.family))
			}
			slices.SortFunc(s.addrs, netip.Addr.Compare)
		}
		f.sets = append(f.sets, s)
	}
	return nil
}

// familyOfSet is 0 for what is not a plain set of addresses.
func familyOfSet(s *nftables.Set) family {
	if s.IsMap || s.Interval || s.HasTimeout || s.Dynamic || s.Concatenation || s.Anonymous || s.Constant {
		return 0
	}
	switch s.KeyType.Name {
	case nftables.TypeIPAddr.Name:
		return ipv4
	case nftables.TypeIP6Addr.Name:
		return ipv6
	}
	return 0
}

// replace puts the table in place of the one that is there, in one transaction: every packet meets the one or the other.
// Where none was, it fails if there is one by now, since that one would be somebody else's.
func (k kernelTables) replace(t table, exists bool) error {
	return k.do(func(c *nftables.Conn) error {
		if exists {
			c.DelTable(ourTable())
		}
		parent := c.CreateTable(ourTable())
		for _, one := range t.chains {
			c.AddChain(one.encode(parent))
		}
		for i, s := range t.sets {
			if err := addSet(c, parent, s, uint32(i+1)); err != nil {
				return err
			}
		}
		for _, r := range t.rules {
			c.AddRule(&nftables.Rule{
				Table: parent, Chain: &nftables.Chain{Name: r.chain, Table: parent}, Exprs: encode(r.program),
				UserData: userdata.AppendString(nil, userdata.TypeComment, r.comment),
			})
		}
		if err := c.Flush(); err != nil {
			return fmt.Errorf("write table inet %s: %w", tableName, err)
		}
		return nil
	})
}

func (c chain) encode(t *nftables.Table) *nftables.Chain {
	out := &nftables.Chain{Name: c.name, Table: t}
	switch c.hook {
	case hookInput:
		out.Hooknum = nftables.ChainHookInput
	case hookForward:
		out.Hooknum = nftables.ChainHookForward
	case hookNone, hookOther:
		return out
	}
	policy := nftables.ChainPolicyAccept
	out.Type, out.Policy = nftables.ChainType(c.kind), &policy
	out.Priority = nftables.ChainPriorityRef(nftables.ChainPriority(c.priority))
	return out
}

// addSet adds a set and its elements. The id, by which messages of one transaction know it, is ours to give: the
// library's own are taken from a global that is not safe to use.
func addSet(c *nftables.Conn, t *nftables.Table, s set, id uint32) error {
	target := s.encode(t)
	target.ID = id
	if err := c.AddSet(target, nil); err != nil {
		return fmt.Errorf("set %s: %w", s.name, err)
	}
	return editSet(s.addrs, func(elements []nftables.SetElement) error { return c.SetAddElements(target, elements) })
}

func (s set) encode(t *nftables.Table) *nftables.Set {
	out := &nftables.Set{Table: t, Name: s.name, KeyType: nftables.TypeIPAddr, KeyByteOrder: binaryutil.BigEndian}
	if s.family == ipv6 {
		out.KeyType = nftables.TypeIP6Addr
	}
	return out
}

// editSet calls put with as many elements as fit a message, until all are there.
func editSet(addrs []netip.Addr, put func(elements []nftables.SetElement) error) error {
	for part := range slices.Chunk(addrs, elementsAtOnce) {
		elements := make([]nftables.SetElement, 0, len(part))
		for _, a := range part {
			elements = append(elements, nftables.SetElement{Key: a.AsSlice()})
		}
		if err := put(elements); err != nil {
			return err
		}
	}
	return nil
}

// update changes sets, all of them in one transaction, and leaves the rules alone.
func (k kernelTables) update(edits []edit) error {
	return k.do(func(c *nftables.Conn) error {
		for _, e := range edits {
			target := e.set.encode(ourTable())
			err := errors.Join(
				editSet(e.remove, func(l []nftables.SetElement) error { return c.SetDeleteElements(target, l) }),
				editSet(e.add, func(l []nftables.SetElement) error { return c.SetAddElements(target, l) }))
			if err != nil {
				return fmt.Errorf("set %s: %w", e.set.name, err)
			}
		}
		if err := c.Flush(); err != nil {
			return fmt.Errorf("update the sets of table inet %s: %w", tableName, err)
		}
		return nil
	})
}

// remove deletes the table.
func (k kernelTables) remove() error {
	return k.do(func(c *nftables.Conn) error {
		c.DelTable(ourTable())
		if err := c.Flush(); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("delete table inet %s: %w", tableName, err)
		}
		return nil
	})
}

// missing reports whether an error of read means that this kernel has no nf_tables for the inet family: no such
// subsystem (EINVAL), no such family (before Linux 3.14), no netlink at all.
func missing(err error) bool {
	for _, errno := range []error{unix.EINVAL, unix.EAFNOSUPPORT, unix.EOPNOTSUPP, unix.EPROTONOSUPPORT} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// explain says what an operator can do about an error of ours.
func explain(err error) string {
	text := strings.ReplaceAll(err.Error(), "\n", "; ")
	switch {
	case errors.Is(err, unix.EPERM):
		return "not permitted, CAP_NET_ADMIN is needed: " + text
	case missing(err):
		return "this kernel has no nf_tables for it: " + text
	}
	return text
}

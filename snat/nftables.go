package snat

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

const (
	// answersWithin bounds one picture, whatever the kernel has to tell.
	answersWithin = 10 * time.Second
	readBuffer    = 8 << 20
	// maxRules bounds the rules that are looked at in one table.
	maxRules = 50_000
)

var errTooMany = fmt.Errorf("there are more than %d rules", maxRules)

// kernelReader reads nf_tables and ipset of the network namespace that it was opened in.
type kernelReader struct {
	conn *netlink.Conn  // for what the library does not do
	nft  *nftables.Conn // for the rest
	sets map[uint16]*addrSet
}

func openKernel(ctx context.Context) (*kernelReader, error) {
	deadline := time.Now().Add(answersWithin)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	prepare := func(c *netlink.Conn) error { return errors.Join(c.SetReadBuffer(readBuffer), c.SetDeadline(deadline)) }
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return nil, fmt.Errorf("open a netfilter socket: %w", err)
	}
	nft, err := nftables.New(nftables.AsLasting(), nftables.WithSockOptions(prepare))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open an nf_tables socket: %w", err), conn.Close())
	}
	k := &kernelReader{conn: conn, nft: nft, sets: make(map[uint16]*addrSet)}
	if err := prepare(conn); err != nil {
		return nil, errors.Join(err, k.close())
	}
	return k, nil
}

func (k *kernelReader) close() error { return errors.Join(k.conn.Close(), k.nft.CloseLasting()) }

// noSuchThing says whether the kernel has no nf_tables at all, or had the table taken away meanwhile.
func noSuchThing(err error) bool {
	return errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOENT) ||
		errors.Is(err, unix.EPROTONOSUPPORT)
}

// tables reads the tables that have a base chain for source NAT.
func (k *kernelReader) tables() ([]table, error) {
	var tables []table
	for _, f := range []family{familyIPv4, familyIPv6, familyInet} {
		chains, err := k.nft.ListChainsOfTableFamily(nftables.TableFamily(f))
		switch {
		case err != nil && noSuchThing(err):
			continue
		case err != nil:
			return nil, fmt.Errorf("list the chains of family %s: %w", f, err)
		}
		for _, t := range tablesOf(f, chains) {
			if err := k.rules(&t); err != nil {
				return nil, fmt.Errorf("read table %s %s: %w", f, t.name, err)
			}
			tables = append(tables, t)
		}
	}
	return tables, nil
}

// tablesOf lists the tables with their base chains for source NAT, without rules.
func tablesOf(f family, chains []*nftables.Chain) []table {
	var tables []table
	for _, c := range slices.SortedStableFunc(slices.Values(chains), byPriority) {
		if c.Type != nftables.ChainTypeNAT || c.Hooknum == nil || *c.Hooknum != *nftables.ChainHookPostrouting {
			continue
		}
		i := slices.IndexFunc(tables, func(t table) bool { return t.name == c.Table.Name })
		if i < 0 {
			i = len(tables)
			tables = append(tables, table{family: f, name: c.Table.Name, chains: make(map[string][]rule)})
		}
		tables[i].base = append(tables[i].base, c.Name)
	}
	return tables
}

func byPriority(a, b *nftables.Chain) int {
	if a.Priority == nil || b.Priority == nil {
		return 0
	}
	return cmp.Compare(*a.Priority, *b.Priority)
}

// rules reads the chains that packets can come to from the base chains, and no other: the rest may be many.
func (k *kernelReader) rules(t *table) error {
	sets := make(map[string]*addrSet)
	set := func(name string) *addrSet {
		if _, read := sets[name]; !read {
			sets[name] = k.set(*t, name)
		}
		return sets[name]
	}
	n := 0
	for next := slices.Clone(t.base); len(next) > 0; next = next[1:] {
		name := next[0]
		if _, read := t.chains[name]; read {
			continue
		}
		rules, err := k.chain(*t, name, set)
		if err != nil {
			return fmt.Errorf("chain %s: %w", name, err)
		}
		if n += len(rules); n > maxRules {
			return errTooMany
		}
		t.chains[name] = rules
		for _, r := range rules {
			if r.verdict == jump || r.verdict == leap {
				next = append(next, r.target)
			}
		}
	}
	return nil
}

// chain dumps the rules of one chain.
func (k *kernelReader) chain(t table, name string, set func(string) *addrSet) ([]rule, error) {
	ae := netlink.NewAttributeEncoder()
	ae.String(unix.NFTA_RULE_TABLE, t.name)
	ae.String(unix.NFTA_RULE_CHAIN, name)
	answers, err := k.ask(unix.NFNL_SUBSYS_NFTABLES, unix.NFT_MSG_GETRULE, uint8(t.family), netlink.Dump, ae)
	if err != nil {
		return nil, err
	}
	rules := []rule{}
	for _, m := range answers {
		attrs := attributes(m)
		e := expression{attrs: attrs}
		// Old kernels ignore what was asked for.
		if e.text(unix.NFTA_RULE_TABLE) == t.name && e.text(unix.NFTA_RULE_CHAIN) == name {
			rules = append(rules, decodeRule(t.family, expressions(attrs[unix.NFTA_RULE_EXPRESSIONS]), set, k.ipset))
		}
	}
	return rules, nil
}

// ask sends one request to a subsystem of nfnetlink (struct nfgenmsg, linux/netfilter/nfnetlink.h) and returns the
// attributes of its answers.
func (k *kernelReader) ask(subsystem, message uint16, f uint8, flags netlink.HeaderFlags, ae *netlink.AttributeEncoder) ([][]byte, error) {
	const headerSize = 4
	attrs, err := ae.Encode()
	if err != nil {
		return nil, err
	}
	answers, err := k.conn.Execute(netlink.Message{
		Header: netlink.Header{Type: netlink.HeaderType(subsystem<<8 | message), Flags: netlink.Request | flags},
		Data:   append([]byte{f, unix.NFNETLINK_V0, 0, 0}, attrs...),
	})
	if err != nil {
		return nil, err
	}
	var out [][]byte
	for _, m := range answers {
		if len(m.Data) >= headerSize {
			out = append(out, m.Data[headerSize:])
		}
	}
	return out, nil
}

// set reads a set of a table; its name is told where somebody gave it one.
func (k *kernelReader) set(t table, name string) *addrSet {
	s, err := k.nft.GetSetByName(&nftables.Table{Name: t.name, Family: nftables.TableFamily(t.family)}, name)
	if err != nil {
		return &addrSet{name: name, unread: err.Error()}
	}
	out := &addrSet{}
	if !s.Anonymous {
		out.name = name
	}
	if s.KeyType.Name != nftables.TypeIPAddr.Name && s.KeyType.Name != nftables.TypeIP6Addr.Name || s.Concatenation || s.IsMap {
		out.unread = "it does not hold plain addresses"
		return out
	}
	elements, err := k.nft.GetSetElements(s)
	if err != nil {
		out.unread = err.Error()
		return out
	}
	out.ranges = rangesOf(elements, s.Interval)
	return out
}

// rangesOf joins the elements of a set: in one of intervals each range is a first address and, where there is one, that
// after its last.
func rangesOf(elements []nftables.SetElement, intervals bool) []addrRange {
	type border struct {
		at  netip.Addr
		end bool
	}
	var borders []border
	for _, e := range elements {
		a, ok := netip.AddrFromSlice(e.Key)
		if !ok {
			continue
		}
		borders = append(borders, border{a, e.IntervalEnd})
	}
	slices.SortFunc(borders, func(a, b border) int {
		return cmp.Or(a.at.Compare(b.at), -cmp.Compare(boolRank(a.end), boolRank(b.end)))
	})
	var ranges []addrRange
	for i, b := range borders {
		switch {
		case b.end:
		case !intervals:
			ranges = append(ranges, addrRange{b.at, b.at})
		case i+1 < len(borders):
			ranges = append(ranges, addrRange{b.at, borders[i+1].at.Prev()})
		default:
			ranges = append(ranges, addrRange{b.at, rangeOf(netip.PrefixFrom(b.at, 0)).last})
		}
	}
	return ranges
}

func boolRank(b bool) int {
	if b {
		return 1
	}
	return 0
}

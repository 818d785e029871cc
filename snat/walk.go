package snat

import (
	"iter"
	"net/netip"
	"slices"
	"strings"
)

// truth is whether something is so.
type truth uint8

const (
	no truth = iota
	maybe
	yes
)

func truthOf(is bool) truth {
	if is {
		return yes
	}
	return no
}

func (t truth) negated() truth { return yes - t }

// packet is one that this host forwards.
type packet struct {
	from, to netip.Addr
	device   string // by which it leaves; empty: not known
	protocol uint8  // of layer 4
}

const (
	// maxDepth is how deep jumps may go (NFT_JUMP_STACK_SIZE).
	maxDepth = 16
	// maxSteps bounds one walk, whatever somebody else's rules look like.
	maxSteps = 100_000
)

// walker follows one packet through the chains of a table.
type walker struct {
	table  table
	packet packet
	doubts int  // of what lies behind: whether the packet comes as far as here
	marked bool // the mark was changed on the way
	steps  int
	hit    *hit
}

// hit is the rule that translates the packet.
type hit struct {
	chain   string
	rule    rule
	certain bool
}

// way is how a chain or a rule was left.
type way uint8

const (
	onward     way = iota // to what comes next
	back                  // to the chain that jumped here
	finished              // for the whole base chain
	translated            // likewise
)

// translation says which rule of the table changes the packet's source address, if any. One that does for certain goes
// before one that may.
func (t table) translation(p packet) *hit {
	if !t.family.holds(p.from) {
		return nil
	}
	var found *hit
	for _, base := range t.base {
		w := walker{table: t, packet: p}
		w.chain(base, 0)
		if w.hit != nil && (found == nil || w.hit.certain && !found.certain) {
			found = w.hit
		}
	}
	return found
}

// chain goes through one chain; the answer is never back.
func (w *walker) chain(name string, depth int) way {
	rules, known := w.table.chains[name]
	if !known || depth > maxDepth {
		w.doubts++
		return onward
	}
	for _, r := range rules {
		if w.steps++; w.steps > maxSteps {
			w.doubts++
			return finished
		}
		how := onward
		switch w.all(r.conditions) {
		case yes:
			how = w.act(name, r, depth)
		case maybe:
			w.perhaps(name, r, depth)
		case no:
		}
		switch how {
		case onward:
		case back:
			return onward
		default:
			return how
		}
	}
	return onward
}

// perhaps follows a rule of which it is not clear whether it applies, and goes on after it.
func (w *walker) perhaps(chain string, r rule, depth int) {
	w.doubts++
	how := w.act(chain, r, depth)
	if how == onward || how == translated { // what comes next is reached, or the packet is translated already
		w.doubts--
	}
}

// act does what a rule that applies says.
func (w *walker) act(chain string, r rule, depth int) way {
	switch r.verdict {
	case pass:
		return onward
	case mark:
		w.marked = true
		return onward
	case accept:
		return finished
	case giveBack:
		return back
	case jump:
		return w.chain(r.target, depth+1)
	case leap:
		if how := w.chain(r.target, depth+1); how != onward {
			return how
		}
		return back
	case translate:
		certain := w.doubts == 0
		if w.hit == nil || certain && !w.hit.certain {
			w.hit = &hit{chain: chain, rule: r, certain: certain}
		}
		return translated
	default: // unclear
		w.doubts++
		return onward
	}
}

func (w *walker) all(conditions []condition) truth {
	result := yes
	for _, c := range conditions {
		result = min(result, w.holds(c))
		if result == no {
			return no
		}
	}
	return result
}

func (w *walker) holds(c condition) truth {
	t := w.compare(c)
	if c.not {
		return t.negated()
	}
	return t
}

func (w *walker) compare(c condition) truth {
	switch c.of {
	case source:
		return c.addrs.contains(w.packet.from)
	case target:
		return c.addrs.contains(w.packet.to)
	case device:
		return w.byDevice(c.text)
	case protocol:
		return truthOf(c.value == uint32(w.packet.protocol))
	case packetMark:
		return w.byMark(c)
	case netFamily:
		return truthOf(family(c.value).holds(w.packet.from))
	case sourceIs, targetIs: // pods are elsewhere: behind a device of theirs, or a node of theirs
		return truthOf(c.value&(1<<typeUnicast) != 0)
	default:
		return maybe
	}
}

// byDevice compares names; a name may end with a * that stands for any end.
func (w *walker) byDevice(name string) truth {
	begin, more := strings.CutSuffix(name, "*")
	switch {
	case more && begin == "":
		return yes
	case w.packet.device == "":
		return maybe
	case more:
		return truthOf(strings.HasPrefix(w.packet.device, begin))
	}
	return truthOf(w.packet.device == name)
}

// byMark takes a packet between pods to have no mark: kube-proxy marks what goes to a service, and what comes from
// outside to one. Calico's eBPF data plane marks what it wants masqueraded, which nobody can see from here.
func (w *walker) byMark(c condition) truth {
	if w.marked || c.mask&natOutgoingMark == natOutgoingMark && c.value&natOutgoingMark == natOutgoingMark {
		return maybe
	}
	return truthOf(c.value == 0)
}

// natOutgoingMark is MarkSeenNATOutgoing of Felix (felix/bpf/tc/defs).
const natOutgoingMark = 0x00800000

// Query is which packets are asked about: from any address of one list to any of the other, by any of the devices.
type Query struct {
	From, To []netip.Prefix
	Devices  []string // by which they leave; none: not known
}

// Finding is a rule that changes the source of such packets.
type Finding struct {
	From, To netip.Addr   // of a packet that it befalls
	Range    netip.Prefix // of Query.To, which To is in
	Chain    string
	Table    string // with its family
	Where    string // the rule's conditions, in words
	Certain  bool   // else the rule says something that is not understood
	Look     string // a command that lists the chain
}

// Find says which rules change the source of such packets: at most one finding for each range that packets go to, one that
// is certain if there is any.
func (r Rules) Find(q Query) []Finding {
	if len(q.Devices) == 0 {
		q.Devices = []string{""}
	}
	borders := r.borders()
	var from []netip.Addr
	for _, p := range q.From {
		from = append(from, samples(p, borders)...)
	}
	var found []Finding
	for _, to := range q.To {
		if f, ok := r.findTo(packets(from, samples(to, borders), q.Devices)); ok {
			f.Range = to
			found = append(found, f)
		}
	}
	return found
}

func (r Rules) findTo(packets iter.Seq[packet]) (Finding, bool) {
	var found Finding
	ok := false
	for p := range packets {
		for _, t := range r.tables {
			h := t.translation(p)
			if h == nil || ok && !h.certain {
				continue
			}
			ok = true
			found = Finding{
				From: p.from, To: p.to, Chain: h.chain, Table: t.family.String() + " " + t.name,
				Where: h.rule.text(), Certain: h.certain, Look: t.show(h.chain),
			}
			if h.certain {
				return found, true
			}
		}
	}
	return found, ok
}

// maxPackets bounds the packets that are tried for one range.
const maxPackets = 20_000

// packets are enough of them to stand for all.
func packets(from, to []netip.Addr, devices []string) iter.Seq[packet] {
	return func(yield func(packet) bool) {
		n := 0
		for _, t := range to {
			for _, f := range from {
				if f.Is4() != t.Is4() {
					continue
				}
				for _, d := range devices {
					for _, protocol := range protocols() {
						if n++; n > maxPackets || !yield(packet{from: f, to: t, device: d, protocol: protocol}) {
							return
						}
					}
				}
			}
		}
	}
}

// protocols are TCP, UDP and ICMP, which stands for the rest.
func protocols() []uint8 { return []uint8{6, 17, 1} }

// borders are where ranges of the rules begin or have ended: no rule treats two addresses differently between which there
// is none.
func (r Rules) borders() []netip.Addr {
	seen := make(map[*addrSet]bool)
	var addrs []netip.Addr
	for _, t := range r.tables {
		for _, chain := range t.chains {
			for _, one := range chain {
				for _, c := range one.conditions {
					if c.addrs == nil || seen[c.addrs] {
						continue
					}
					seen[c.addrs] = true
					for _, some := range c.addrs.ranges {
						addrs = append(addrs, some.first, some.last.Next())
					}
				}
			}
		}
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	return slices.Compact(addrs)
}

// samples are the first address of a range, and the borders inside it.
func samples(p netip.Prefix, borders []netip.Addr) []netip.Addr {
	inside := rangeOf(p)
	addrs := []netip.Addr{inside.first}
	i, _ := slices.BinarySearchFunc(borders, inside.first, netip.Addr.Compare)
	for _, a := range borders[i:] {
		if !inside.contains(a) {
			break
		}
		if a != inside.first {
			addrs = append(addrs, a)
		}
	}
	return addrs
}

package snat

import (
	"net/netip"
	"strconv"
	"strings"
)

// parseSave reads table nat in the format of iptables-save, as far as packets can come to it after routing. What it does not
// understand it keeps as such. set reads a set of ipset.
func parseSave(f family, text string, set func(name string) *addrSet) table {
	t := table{backend: iptablesLegacy, family: f, name: "nat", base: []string{"POSTROUTING"}, chains: make(map[string][]rule)}
	lines := make(map[string][]string)
	inNAT := false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "*"):
			inNAT = line == "*nat"
		case !inNAT:
		case strings.HasPrefix(line, ":"):
			name, _, _ := strings.Cut(line[1:], " ")
			lines[name] = nil
		case strings.HasPrefix(line, "-A "):
			name, rest, _ := strings.Cut(line[len("-A "):], " ")
			lines[name] = append(lines[name], rest)
		}
	}
	for next := []string{"POSTROUTING"}; len(next) > 0; next = next[1:] {
		name := next[0]
		if _, read := t.chains[name]; read {
			continue
		}
		t.chains[name] = []rule{}
		for _, line := range lines[name] {
			p := saveParser{words: words(line), set: set, chains: lines, family: f}
			r := p.rule()
			t.chains[name] = append(t.chains[name], r)
			if r.verdict == jump || r.verdict == leap {
				next = append(next, r.target)
			}
		}
	}
	return t
}

// words splits a line as a shell would, with double quotes and backslashes inside them only.
func words(line string) []string {
	var list []string
	var word strings.Builder
	inWord, quoted, escaped := false, false, false
	for _, c := range line {
		switch {
		case escaped:
			word.WriteRune(c)
			escaped = false
		case quoted && c == '\\':
			escaped = true
		case c == '"':
			quoted, inWord = !quoted, true
		case c == ' ' && !quoted:
			if inWord {
				list = append(list, word.String())
			}
			word.Reset()
			inWord = false
		default:
			word.WriteRune(c)
			inWord = true
		}
	}
	if inWord {
		list = append(list, word.String())
	}
	return list
}

// saveParser reads one rule.
type saveParser struct {
	words  []string
	set    func(name string) *addrSet
	chains map[string][]string
	family family
	out    rule
	not    bool
}

func (p *saveParser) next() string {
	if len(p.words) == 0 {
		return ""
	}
	w := p.words[0]
	p.words = p.words[1:]
	return w
}

func (p *saveParser) rule() rule {
	for len(p.words) > 0 {
		switch w := p.next(); w {
		case "!":
			p.not = true
			continue
		case "-j":
			p.act(p.next(), jump)
			return p.out
		case "-g":
			p.act(p.next(), leap)
			return p.out
		default:
			p.option(w)
		}
		p.not = false
	}
	return p.out
}

// act ends the rule: what follows a target are its own options.
func (p *saveParser) act(name string, how verdict) {
	p.out.target = name
	if _, isChain := p.chains[name]; isChain {
		p.out.verdict = how
		return
	}
	p.out.verdict = verdictOf(name)
}

func (p *saveParser) add(c condition) {
	c.not = p.not
	p.out.conditions = append(p.out.conditions, c)
}

func (p *saveParser) option(w string) {
	switch w {
	case "-m": // the options that follow are the match's
		p.next()
	case "--comment":
		p.next()
	case "--limit-iface-out", "--limit-iface-in": // of no account to pods
	case "-s":
		p.addresses(source)
	case "-d":
		p.addresses(target)
	case "--src-range":
		p.addressRange(source)
	case "--dst-range":
		p.addressRange(target)
	case "-o":
		p.device()
	case "-p":
		p.protocol()
	case "--match-set":
		p.matchSet()
	case "--mark":
		p.mark()
	case "--src-type":
		p.addressType(sourceIs)
	case "--dst-type":
		p.addressType(targetIs)
	default:
		p.unknown(w)
	}
}

// unknown skips an option that is not understood, and its arguments.
func (p *saveParser) unknown(w string) {
	said := []string{w}
	for len(p.words) > 0 && p.words[0] != "!" && !strings.HasPrefix(p.words[0], "-") {
		said = append(said, p.next())
	}
	p.out.conditions = append(p.out.conditions, condition{text: strings.Join(said, " ") + " agrees"})
}

func (p *saveParser) addresses(of subject) {
	w := p.next()
	prefix, err := netip.ParsePrefix(w)
	if err != nil {
		a, err := netip.ParseAddr(w)
		if err != nil {
			p.unknown("the address " + w)
			return
		}
		prefix = netip.PrefixFrom(a, a.BitLen())
	}
	p.add(condition{of: of, addrs: prefixSet(prefix)})
}

func (p *saveParser) addressRange(of subject) {
	w := p.next()
	first, last, _ := strings.Cut(w, "-")
	from, errFrom := netip.ParseAddr(first)
	to, errTo := netip.ParseAddr(last)
	if errFrom != nil || errTo != nil || from.Is4() != to.Is4() {
		p.unknown("the range " + w)
		return
	}
	p.add(condition{of: of, addrs: &addrSet{ranges: []addrRange{{from, to}}}})
}

func (p *saveParser) device() {
	name := p.next()
	if begin, more := strings.CutSuffix(name, "+"); more {
		name = begin + "*"
	}
	p.add(condition{of: device, text: name})
}

func (p *saveParser) protocol() {
	w := p.next()
	numbers := map[string]uint32{"icmp": 1, "tcp": 6, "udp": 17, "udplite": 136, "sctp": 132, "esp": 50, "ah": 51, "ipv6-icmp": 58, "icmpv6": 58}
	n, known := numbers[w]
	if !known {
		parsed, err := strconv.ParseUint(w, 10, 8)
		if err != nil {
			p.unknown("the protocol " + w)
			return
		}
		n = uint32(parsed)
	}
	p.add(condition{of: protocol, value: n})
}

func (p *saveParser) matchSet() {
	name, what := p.next(), p.next()
	switch what {
	case "src":
		p.add(condition{of: source, addrs: p.set(name)})
	case "dst":
		p.add(condition{of: target, addrs: p.set(name)})
	default:
		p.unknown("the set " + name + " " + what)
	}
}

func (p *saveParser) mark() {
	w := p.next()
	value, mask, masked := strings.Cut(w, "/")
	v, err := strconv.ParseUint(value, 0, 32)
	m := uint64(^uint32(0))
	if err == nil && masked {
		m, err = strconv.ParseUint(mask, 0, 32)
	}
	if err != nil {
		p.unknown("the mark " + w)
		return
	}
	p.add(condition{of: packetMark, value: uint32(v), mask: uint32(m)})
}

func (p *saveParser) addressType(of subject) {
	types := map[string]uint32{"UNICAST": 1 << typeUnicast, "LOCAL": 1 << typeLocal}
	var mask uint32
	for one := range strings.SplitSeq(p.next(), ",") {
		if bit, known := types[one]; known {
			mask |= bit
		}
	}
	p.add(condition{of: of, value: mask})
}

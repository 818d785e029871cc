package roster

import (
	"errors"
	"net/netip"
	"strings"
)

// host is one host of an inventory, its range already expanded.
type host struct {
	at      line
	name    string // as written: an address, with or without a port, or a name
	address string // ansible_host; empty when the line has none

	group string            // of the section that the line is in
	vars  map[string]string // of the line
}

// inventory reads an Ansible inventory in INI form, such as the cluster/hosts of IBM Cloud Private. The hosts of
// all groups are nodes, whatever the group's name; a host may be in several. Sections with variables ([g:vars])
// and groups of groups ([g:children]) name no host of their own.
func (p *parser) inventory(lines []line) {
	var hosts []host
	skip := false
	for _, l := range lines {
		if p.full() {
			return
		}
		kind, isSection := section(l.text)
		switch {
		case isSection && (kind == "" || kind == "hosts"):
			skip = false
		case isSection && (kind == "vars" || kind == "children"):
			skip = true
		case isSection:
			p.fail(l, "a section of the unknown kind %q; known are hosts, vars and children", kind)
		case !skip:
			hosts = append(hosts, p.inventoryHosts(l)...)
		}
		if len(hosts) > maxNodes {
			p.fail(l, "more than %d hosts", maxNodes)
			return
		}
	}
	p.resolve(hosts)
}

// sectionName is the group of a line that is a section.
func sectionName(text string) string {
	text, _, _ = strings.Cut(text, "#")
	group, _, _ := strings.Cut(strings.Trim(strings.TrimSpace(text), "[]"), ":")
	return group
}

// section reports whether a line is a section, [group] or [group:kind], and of what kind.
func section(text string) (kind string, ok bool) {
	text, _, _ = strings.Cut(text, "#")
	text = strings.TrimSpace(text)
	if !strings.HasPrefix(text, "[") || !strings.HasSuffix(text, "]") {
		return "", false
	}
	inner := text[1 : len(text)-1]
	if _, err := netip.ParseAddr(inner); err == nil {
		return "", false // an IPv6 address in brackets
	}
	group, kind, _ := strings.Cut(inner, ":")
	return kind, group != "" && !strings.ContainsAny(inner, "[] \t")
}

// inventoryHosts reads one line: a host or a range of hosts, then variables as key=value.
func (p *parser) inventoryHosts(l line) []host {
	words, err := shellWords(l.text)
	if err != nil {
		p.fail(l, "%v", err)
		return nil
	}
	address := ""
	vars := make(map[string]string, len(words)-1)
	for _, w := range words[1:] {
		key, value, ok := strings.Cut(w, "=")
		if !ok {
			p.fail(l, "%q after the host is not key=value", w)
			return nil
		}
		vars[key] = value
		if key == "ansible_host" || key == "ansible_ssh_host" {
			address = value
		}
	}
	names, err := expand(words[0])
	if err != nil {
		p.fail(l, "%v", err)
		return nil
	}
	hosts := make([]host, len(names))
	for i, name := range names {
		hosts[i] = host{at: l, name: name, address: address, vars: vars}
	}
	return hosts
}

// resolve finds every host's address: its ansible_host, on this line or on another of the same name; else the host
// is written as an address.
func (p *parser) resolve(hosts []host) {
	known := hostAddresses(hosts)
	for _, h := range hosts {
		if p.full() {
			return
		}
		literal := withoutPort(h.name)
		_, err := netip.ParseAddr(literal)
		isAddress := err == nil
		address := known[h.name]
		switch {
		case address != "" && isAddress:
			p.add(h.at, address, "")
		case address != "":
			p.add(h.at, address, h.name)
		case isAddress:
			p.add(h.at, literal, "")
		default:
			p.fail(h.at, "%q is not an IP address; give it one with ansible_host=ADDRESS", h.name)
		}
	}
}

// hostAddresses is the ansible_host of each host that has one on any of its lines.
func hostAddresses(hosts []host) map[string]string {
	known := make(map[string]string)
	for _, h := range hosts {
		if h.address != "" && known[h.name] == "" {
			known[h.name] = h.address
		}
	}
	return known
}

// literal is the host's address as a list of nodes has it; known is what hostAddresses found.
func (h host) literal(known map[string]string) string {
	text := known[h.name]
	if text == "" {
		text = withoutPort(h.name)
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		return text
	}
	return a.String()
}

// portOf is the port of ADDRESS:PORT, or 0.
func portOf(name string) uint16 {
	ap, err := netip.ParseAddrPort(name)
	if err != nil {
		return 0
	}
	return ap.Port()
}

// withoutPort strips what an inventory may have around an address: the port that SSH listens on, and brackets.
func withoutPort(s string) string {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().String()
	}
	if inner, ok := strings.CutPrefix(s, "["); ok && strings.HasSuffix(inner, "]") {
		return strings.TrimSuffix(inner, "]")
	}
	return s
}

// shellWords splits a line as a shell would: at space, outside quotes, up to a word that begins with #.
// There is at least one word when the line is significant.
func shellWords(text string) ([]string, error) {
	var words []string
	var word strings.Builder
	quote, inWord, escaped := rune(0), false, false
	for _, r := range text {
		switch {
		case escaped:
			word.WriteRune(r)
			escaped = false
		case r == '\\' && quote != '\'':
			inWord, escaped = true, true
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '"' || r == '\'':
			inWord, quote = true, r
		case r == ' ' || r == '\t':
			if inWord {
				words = append(words, word.String())
				word.Reset()
				inWord = false
			}
		case r == '#' && !inWord:
			return words, nil
		default:
			inWord = true
			word.WriteRune(r)
		}
	}
	if quote != 0 || escaped {
		return nil, errors.New("a quote is not closed")
	}
	if inWord {
		words = append(words, word.String())
	}
	return words, nil
}

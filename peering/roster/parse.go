package roster

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// maxNodes bounds one list: far above any cluster (Kubernetes supports 5,000 nodes), far below what a mistyped
// range could ask for.
const maxNodes = 16384

// maxName bounds a host's name, in bytes (RFC 1035 section 2.3.4, in text).
const maxName = 253

// maxProblems is how many broken lines one error tells of.
const maxProblems = 10

// LineError is one line of a list that cannot be understood.
type LineError struct {
	File    string
	Line    int // from 1
	Problem string
}

func (e *LineError) Error() string { return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Problem) }

// Parse reads a list of nodes: plain hosts lines, or an Ansible inventory when there is a section, a variable
// or a range in it. The result is sorted by address and names each once; it may be empty.
// The error joins one [LineError] for each broken line, up to a few; file is how they name the list.
func Parse(file string, data []byte) ([]Node, error) {
	lines := significant(string(data))
	p := &parser{file: file}
	if looksLikeInventory(lines) {
		p.inventory(lines)
	} else {
		p.hosts(lines)
	}
	if len(p.errs) > 0 {
		return nil, errors.Join(p.errs...)
	}
	return Merge(p.nodes), nil
}

// line is one line that is neither blank nor a comment, without surrounding space.
type line struct {
	number int
	text   string
}

func significant(text string) []line {
	var out []line
	number := 0
	for l := range strings.Lines(strings.TrimPrefix(text, "\ufeff")) {
		number++
		l = strings.TrimSpace(l)
		if l != "" && l[0] != '#' && l[0] != ';' {
			out = append(out, line{number, l})
		}
	}
	return out
}

// looksLikeInventory reports whether a line is one that only an inventory has: a [section], a range, a variable.
func looksLikeInventory(lines []line) bool {
	for _, l := range lines {
		text, _, _ := strings.Cut(l.text, "#")
		words := strings.Fields(text)
		if strings.Contains(words[0], "[") {
			return true
		}
		for _, w := range words[1:] {
			if strings.Contains(w, "=") {
				return true
			}
		}
	}
	return false
}

// parser gathers the nodes of one list, or what is wrong with it.
type parser struct {
	file    string
	nodes   []Node
	errs    []error
	tooMany bool // nodes: the rest of the list is of no interest
}

// full reports whether there are enough problems to stop looking for more.
func (p *parser) full() bool { return p.tooMany || len(p.errs) >= maxProblems }

func (p *parser) fail(at line, format string, args ...any) {
	if !p.full() {
		p.errs = append(p.errs, &LineError{File: p.file, Line: at.number, Problem: fmt.Sprintf(format, args...)})
	}
}

func (p *parser) add(at line, address, name string) {
	addr, err := ParseAddr(address)
	switch {
	case err != nil:
		p.fail(at, "%v", err)
	case !printable(name):
		p.fail(at, "the name %q is not one", name)
	case len(p.nodes) >= maxNodes:
		p.fail(at, "more than %d nodes", maxNodes)
		p.tooMany = true
	default:
		p.nodes = append(p.nodes, Node{Addr: addr, Name: name})
	}
}

// printable reports whether a name can be shown on a terminal and in a log as it is.
func printable(name string) bool {
	return len(name) <= maxName && !strings.ContainsFunc(name, func(r rune) bool {
		return r == unicode.ReplacementChar || !unicode.IsGraphic(r)
	})
}

// CleanName gives a name as it may be shown, or none when it may not: for lists that are somebody else's, where a bad
// name is no reason to refuse an address.
func CleanName(name string) string {
	if !printable(name) {
		return ""
	}
	return name
}

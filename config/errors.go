package config

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Error is one thing that is wrong with a configuration file.
type Error struct {
	File    string
	Line    int    // from 1; 0: it is about no single line
	Column  int    // from 1, in characters
	Key     string // such as remotes[0].podCIDRs[1]; empty when it is about none
	Problem string // what is wrong and what is allowed

	source string // the line; empty when there is none to show
}

// Error is the place, the key and the problem, and under it the line with a mark, never in colour.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", e.Line, e.Column)
	}
	if e.Key != "" {
		b.WriteString(": " + e.Key)
	}
	b.WriteString(": " + e.Problem)
	if e.source != "" {
		excerpt(&b, e.Line, e.Column, e.source)
	}
	return b.String()
}

// excerptWidth is how much of a long line an error shows, in characters.
const excerptWidth = 100

func excerpt(b *strings.Builder, number, column int, text string) {
	shown, secret := hideSecret(text)
	runes := []rune(shown)
	at := min(max(column-1, 0), len(runes))
	from := max(0, at-excerptWidth*3/4)
	to := min(len(runes), from+excerptWidth)
	fmt.Fprintf(b, "\n%5d | %s", number, string(runes[from:to]))
	if secret && at >= len(runes) {
		return // the mark would point at what is hidden
	}
	indent := strings.Map(func(r rune) rune {
		if r == '\t' {
			return r
		}
		return ' '
	}, string(runes[from:at]))
	fmt.Fprintf(b, "\n      | %s^", indent)
}

// hideSecret cuts a line off where a password may begin: after the colon of the first key that sounds like one.
func hideSecret(text string) (shown string, hidden bool) {
	_, after, found := strings.Cut(strings.ToLower(text), "pass")
	if !found || len(strings.ToLower(text)) != len(text) {
		return text, false
	}
	colon := strings.IndexByte(after, ':')
	if colon < 0 {
		return text, false
	}
	return text[:len(text)-len(after)+colon+1] + " ...", true
}

// place is where something stands in the file.
type place struct {
	key    string // its full key; empty for the whole file
	line   int    // from 1; 0: not in the file
	column int    // from 1, in characters
}

func (p *place) setPlace(at place) { *p = at }

// child is the place of something under p that is not in the file itself: it is spoken of where p stands.
func (p place) child(name string) place {
	if p.key != "" {
		name = p.key + "." + name
	}
	return place{key: name, line: p.line, column: p.column}
}

// at is p for something at another position.
func (p place) at(line, column int) place { return place{key: p.key, line: line, column: column} }

// source is the text of one file, to quote from.
type source struct {
	file  string
	lines []string
}

func newSource(file string, data []byte) *source {
	return &source{file: file, lines: strings.Split(string(data), "\n")}
}

func (s *source) errorAt(p place, format string, args ...any) *Error {
	e := &Error{File: s.file, Line: p.line, Column: p.column, Key: p.key, Problem: fmt.Sprintf(format, args...)}
	if p.line >= 1 && p.line <= len(s.lines) {
		e.source = strings.TrimRight(s.lines[p.line-1], " \r")
		if !utf8.ValidString(e.source) {
			e.source = strings.ToValidUTF8(e.source, "�")
		}
	}
	return e
}

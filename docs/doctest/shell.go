package doctest

import (
	"fmt"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// Command is a simple command that a page names.
type Command struct {
	At    string   // where
	Words []string // one that is not known as it stands, such as "$x", is empty
}

// Commands lists the simple commands of a page: those of blocks of the shell, those behind a prompt "$ " in blocks of no
// language, and spans of code whose first word is among the programs. The error says which block does
// not parse as one of the shell.
func (p *Page) Commands(programs ...string) ([]Command, error) {
	var all []Command
	for _, b := range p.Blocks {
		text := b.Text
		switch {
		case b.Fenced && b.Lang == "" || b.Lang == "console":
			text = prompted(text)
		case b.Fenced && b.Lang != "sh":
			continue
		case !b.Fenced && !begins(text, programs):
			continue // a drawing, or what a program prints
		}
		commands, err := simple(b.At(), text)
		if err != nil {
			return nil, err
		}
		all = append(all, commands...)
	}
	for _, s := range p.Spans {
		if !begins(s.Text, programs) {
			continue
		}
		at := fmt.Sprintf("%s:%d", p.Path, s.Line)
		commands, err := simple(at, s.Text)
		if err != nil { // with a <placeholder> in it
			commands = []Command{{At: at, Words: strings.Fields(s.Text)}}
		}
		all = append(all, commands...)
	}
	return all, nil
}

func begins(text string, programs []string) bool {
	for _, p := range programs {
		if strings.HasPrefix(text, p+" ") {
			return true
		}
	}
	return false
}

// prompted are the lines behind a prompt.
func prompted(text string) string {
	var s strings.Builder
	for line := range strings.Lines(text) {
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			s.WriteString(command)
		}
	}
	return s.String()
}

// simple lists the simple commands of a script, those in pipes, loops and substitutions too.
func simple(at, script string) ([]Command, error) {
	file, err := syntax.NewParser().Parse(strings.NewReader(script), at)
	if err != nil {
		return nil, err
	}
	var out []Command
	syntax.Walk(file, func(n syntax.Node) bool {
		if call, ok := n.(*syntax.CallExpr); ok && len(call.Args) > 0 {
			c := Command{At: at}
			for _, word := range call.Args {
				c.Words = append(c.Words, literal(word))
			}
			out = append(out, c)
		}
		return true
	})
	return out, nil
}

// literal is a word without its quotes, empty when it is not known before it is run.
func literal(w *syntax.Word) string {
	var s strings.Builder
	for _, part := range w.Parts {
		switch part := part.(type) {
		case *syntax.Lit:
			s.WriteString(part.Value)
		case *syntax.SglQuoted:
			s.WriteString(part.Value)
		case *syntax.DblQuoted:
			s.WriteString(literal(&syntax.Word{Parts: part.Parts}))
		default:
			return ""
		}
	}
	return s.String()
}

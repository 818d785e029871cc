package text

import (
	"bufio"
	"fmt"
	"strings"
	"unicode/utf8"
)

const (
	width  = 80 // columns that running text is wrapped at
	gap    = 2  // spaces between columns
	indent = "  "
)

// cell is one field of a table.
type cell struct {
	text  string
	style style
	right bool // aligned to the right: numbers
}

// table is rows of cells, the first row the head, with notes under rows. text/tabwriter would count the escape
// sequences of the colours as width.
type table struct {
	head []cell
	rows []row
}

type row struct {
	cells []cell
	notes []cell // each written under the row, indented and wrapped
}

func (t *table) add(cells ...cell) *row {
	t.rows = append(t.rows, row{cells: cells})
	return &t.rows[len(t.rows)-1]
}

func (r *row) note(st style, text string) { r.notes = append(r.notes, cell{text: text, style: st}) }

func (t *table) write(w *bufio.Writer, o Options, prefix string) {
	widths := make([]int, len(t.head))
	measure(widths, t.head)
	for _, r := range t.rows {
		measure(widths, r.cells)
	}
	writeRow(w, o, prefix, t.head, widths)
	for _, r := range t.rows {
		writeRow(w, o, prefix, r.cells, widths)
		for _, n := range r.notes {
			for _, line := range wrap(n.text, width-len(prefix)-2*len(indent)) {
				fmt.Fprintln(w, prefix+indent+indent+o.paint(n.style, line))
			}
		}
	}
}

func measure(widths []int, cells []cell) {
	for i, c := range cells {
		widths[i] = max(widths[i], utf8.RuneCountInString(c.text))
	}
}

// writeRow leaves no spaces at the end of a line.
func writeRow(w *bufio.Writer, o Options, prefix string, cells []cell, widths []int) {
	fmt.Fprint(w, prefix)
	pending := 0
	for i, c := range cells {
		pad := widths[i] - utf8.RuneCountInString(c.text)
		if c.right {
			pending, pad = pending+pad, 0
		}
		if c.text != "" {
			fmt.Fprint(w, strings.Repeat(" ", pending), o.paint(c.style, c.text))
			pending = 0
		}
		pending += pad + gap
	}
	fmt.Fprintln(w)
}

// wrap breaks text at spaces into lines of at most limit columns; a word that is longer stands alone.
func wrap(text string, limit int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > limit {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

func heads(names ...string) []cell {
	cells := make([]cell, 0, len(names))
	for _, n := range names {
		right := strings.HasPrefix(n, ">")
		cells = append(cells, cell{text: strings.TrimPrefix(n, ">"), style: bold, right: right})
	}
	return cells
}

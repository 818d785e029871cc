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
	long  bool // of a head: cells of the column may be longer than it is wide
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
	widths := t.widths(len(prefix))
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

// widths gives each column that of its longest cell. Where that makes the table wider than a terminal, its widest long
// column is as wide as its next shorter cell instead, and so on: IPv6 addresses can be 39 characters.
func (t *table) widths(used int) []int {
	widths := make([]int, len(t.head))
	for i := range widths {
		widths[i] = t.longest(i, width)
		used += widths[i] + gap
	}
	for used-gap > width {
		widest := -1
		for i, h := range t.head {
			if h.long && widths[i] > length(h) && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			break
		}
		shorter := t.longest(widest, widths[widest]-1)
		used -= widths[widest] - shorter
		widths[widest] = shorter
	}
	return widths
}

// longest is the length of a column's longest cell among those of at most limit characters; its head counts always.
func (t *table) longest(column, limit int) int {
	most := length(t.head[column])
	for _, r := range t.rows {
		if n := length(r.cells[column]); n <= limit {
			most = max(most, n)
		}
	}
	return most
}

func length(c cell) int { return utf8.RuneCountInString(c.text) }

// writeRow leaves no spaces at the end of a line. What follows a cell that is longer than its column goes to the next line.
func writeRow(w *bufio.Writer, o Options, prefix string, cells []cell, widths []int) {
	fmt.Fprint(w, prefix)
	at, start := 0, 0 // where the line ends so far, and where the column begins
	for i, c := range cells {
		begin := start
		if c.right {
			begin += widths[i] - length(c)
		}
		if c.text != "" {
			if at > 0 && at+gap > begin {
				fmt.Fprint(w, "\n", prefix)
				at = 0
			}
			fmt.Fprint(w, strings.Repeat(" ", begin-at), o.paint(c.style, c.text))
			at = begin + length(c)
		}
		start += widths[i] + gap
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

// heads makes a head. A column that is named with > is of numbers, one with + may be longer than it is wide.
func heads(names ...string) []cell {
	cells := make([]cell, 0, len(names))
	for _, n := range names {
		cells = append(cells, cell{
			text: strings.TrimLeft(n, ">+"), style: bold, right: strings.HasPrefix(n, ">"), long: strings.HasPrefix(n, "+"),
		})
	}
	return cells
}

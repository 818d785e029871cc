package text

import (
	"bufio"
	"fmt"
	"io"
)

// Pair is a name and what it stands for; of several with one name the others may have none.
type Pair struct{ Name, Value string }

// Pairs writes a line each, the values aligned; with Wrap they are broken between words where a line is too long for a terminal.
func Pairs(out io.Writer, o Options, pairs []Pair) error {
	names := 0
	for _, p := range pairs {
		names = max(names, len(p.Name))
	}
	w := bufio.NewWriter(out)
	for _, p := range pairs {
		lines := []string{p.Value}
		if o.Wrap {
			lines = wrap(p.Value, width-names-gap)
		}
		for i, line := range lines {
			name := p.Name
			if i > 0 {
				name = ""
			}
			fmt.Fprintf(w, "%-*s%s\n", names+gap, name, line)
		}
	}
	return w.Flush()
}

package doctor

import (
	"bufio"
	"fmt"
	"io"
)

// Text writes the report for people, the worst first: a line each, and under it what to do. Lines are not wrapped: what
// is to be done is there to be copied.
func (r Report) Text(out io.Writer, coloured bool) error {
	names, results := 0, 0
	for _, c := range r.Checks {
		names, results = max(names, len(c.Name)), max(results, len(c.Result))
	}
	w := bufio.NewWriter(out)
	for _, c := range r.Checks {
		fmt.Fprintf(w, "%s  %-*s  %s\n", paint(c.Result, fmt.Sprintf("%-*s", results, c.Result), coloured), names, c.Name, c.Why)
		if c.Fix != "" {
			fmt.Fprintf(w, "%*s-> %s\n", results+2, "", c.Fix)
		}
	}
	return w.Flush()
}

// paint is ECMA-48's select graphic rendition, in the colours of `routed status`.
func paint(r Result, text string, coloured bool) string {
	code := map[Result]string{Failed: "31", Warning: "33", Good: "32"}[r]
	if !coloured || code == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

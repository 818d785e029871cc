package page

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"routed/admin"
)

// How much is shown of a text that others have written, in characters.
const (
	nameLength   = 64
	reasonLength = 160
	textLength   = 2000
)

// clip shortens a text to at most so many characters.
func clip(s string, limit int) string {
	if utf8.RuneCountInString(s) <= limit {
		return s
	}
	return string([]rune(s)[:limit-1]) + "…"
}

func plural(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}

func age(now, t time.Time) string { return admin.Age(now.Sub(t)) }

// ago is "5m ago", or "never yet".
func ago(now, t time.Time) string {
	if t.IsZero() {
		return "never yet"
	}
	return age(now, t) + " ago"
}

// span is a piece of running text.
type span struct {
	Text string
	Code bool
}

// spans cuts a text at its `commands`.
func spans(text string) []span {
	var out []span
	for i, piece := range strings.Split(clip(text, textLength), "`") {
		if piece != "" {
			out = append(out, span{Text: piece, Code: i%2 == 1})
		}
	}
	return out
}

package admin

import (
	"fmt"
	"strings"
	"time"
)

// downFor is "for 3m12s (hold timer expired)", or "since the daemon started 12s ago" for what never was up.
func downFor(s Status, since time.Time, reason string) string {
	text := "for " + s.age(since)
	if since.IsZero() {
		text = "since the daemon started " + s.age(s.Node.Started) + " ago"
	}
	if reason != "" {
		text += " (" + reason + ")"
	}
	return text
}

func (s Status) age(t time.Time) string { return Age(s.At.Sub(t)) }

func because(r *Rejection) string {
	if r == nil {
		return ""
	}
	return fmt.Sprintf(": %s (%s)", r.Prefix, r.Detail)
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func clock(t time.Time) string { return t.Format(time.RFC3339) }

// count is "1 block", "2 blocks", "3 prefixes".
func count(n int, noun string) string {
	switch {
	case n == 1:
	case strings.HasSuffix(noun, "x"), strings.HasSuffix(noun, "s"):
		noun += "es"
	default:
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}

// isVerb is the verb for n things.
func isVerb(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

package kernel

import (
	"context"
	"log/slog"
	"net/netip"
	"time"
)

// Repairs make one line however many they are: what is put back within journalFirst of the first is told together, and the
// next line follows not before journalEvery.
const (
	journalFirst = time.Second
	journalEvery = 10 * time.Second
)

// journal is what the log has not been told of repairs. How many there were is the tally's to know.
type journal struct {
	told  Repairs      // when the last line was written
	one   netip.Prefix // the latest that was put back
	due   time.Time    // zero: there is nothing to tell
	wrote time.Time
}

func (j *journal) note(prefix netip.Prefix, now time.Time) {
	j.one = prefix
	if !j.due.IsZero() {
		return
	}
	j.due = now.Add(journalFirst)
	if next := j.wrote.Add(journalEvery); next.After(j.due) {
		j.due = next
	}
}

// tellRepairs writes the line. That a link took its routes along is everyday life; the rest is somebody's doing.
func (l *loop) tellRepairs(ctx context.Context, now time.Time) {
	j, all := &l.journal, l.tally.status.Repairs
	attrs := []slog.Attr{slog.String("event", "routes-repaired"), slog.String("one", j.one.String())}
	level := slog.LevelInfo
	for _, c := range []struct {
		cause     string
		now, told uint64
		everyday  bool
	}{
		{"deleted", all.Deleted, j.told.Deleted, false},
		{"changed", all.Changed, j.told.Changed, false},
		{"link", all.Link, j.told.Link, true},
		{"resync", all.Resync, j.told.Resync, false},
		{"rule", all.Rule, j.told.Rule, false},
	} {
		if n := c.now - c.told; n > 0 {
			attrs = append(attrs, slog.Uint64(c.cause, n))
			if !c.everyday {
				level = slog.LevelWarn
			}
		}
	}
	l.r.log.LogAttrs(ctx, level, "routes or rules were put back", attrs...)
	l.journal = journal{told: all, wrote: now}
}

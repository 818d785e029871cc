package probe

import (
	"context"
	"log/slog"
	"time"
)

// reporter logs changes of states at a bounded rate: when a link fails, a thousand targets may turn at once.
type reporter struct {
	log   *slog.Logger
	until time.Time // when the window ends; zero: there is none
	lines int       // that were logged in it
	more  map[State]int
}

const (
	reportWindow = 10 * time.Second
	reportLines  = 10 // in a window; what is beyond is counted
)

// report logs what fits into the window and counts the rest, and returns when the window ends; the zero time: never.
func (r *reporter) report(ctx context.Context, now time.Time, changes []change) time.Time {
	if !r.until.IsZero() && !now.Before(r.until) {
		r.end(ctx)
	}
	for _, c := range changes {
		if r.until.IsZero() {
			r.until, r.lines, r.more = now.Add(reportWindow), 0, map[State]int{}
		}
		if r.lines++; r.lines > reportLines {
			r.more[c.state]++
			continue
		}
		attrs := []slog.Attr{
			slog.String("cluster", c.target.Cluster), slog.String("address", c.target.Addr.String()), slog.String("kind", string(c.target.Kind)),
		}
		if c.target.NextHop.IsValid() && c.target.NextHop != c.target.Addr {
			attrs = append(attrs, slog.String("next_hop", c.target.NextHop.String()))
		}
		r.line(ctx, c.state, append(attrs, slog.String("reason", c.reason))...)
	}
	return r.until
}

func (r *reporter) line(ctx context.Context, s State, attrs ...slog.Attr) {
	if s == Failing {
		r.log.LogAttrs(ctx, slog.LevelWarn, "no answer to ICMP echo any more", append(attrs, slog.String("event", "probe-failing"))...)
		return
	}
	r.log.LogAttrs(ctx, slog.LevelInfo, "ICMP echo is answered again", append(attrs, slog.String("event", "probe-answering"))...)
}

// end ends the window, and says how much it had no room for.
func (r *reporter) end(ctx context.Context) {
	for _, s := range []State{Failing, Answering} {
		if n := r.more[s]; n > 0 {
			r.line(ctx, s, slog.Int("more", n))
		}
	}
	r.until = time.Time{}
}

package kernel

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// lineCounter is a log that keeps its lines.
type lineCounter struct {
	mu    sync.Mutex
	lines []string
}

func (c *lineCounter) Enabled(context.Context, slog.Level) bool { return true }
func (c *lineCounter) WithAttrs([]slog.Attr) slog.Handler       { return c }
func (c *lineCounter) WithGroup(string) slog.Handler            { return c }

func (c *lineCounter) Handle(_ context.Context, r slog.Record) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	words := []string{r.Level.String()}
	r.Attrs(func(a slog.Attr) bool {
		words = append(words, fmt.Sprintf("%s=%s", a.Key, a.Value))
		return true
	})
	c.lines = append(c.lines, strings.Join(words, " "))
	return nil
}

// of lists the lines of one event.
func (c *lineCounter) of(event string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(c.lines), func(l string) bool { return !strings.Contains(l+" ", "event="+event+" ") })
}

func (c *lineCounter) count(event string) int { return len(c.of(event)) }

// Repairs are told, once in ten seconds however many there are, and with what took the routes away.
func TestRepairsAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		var lines lineCounter
		cfg := testConfig()
		cfg.Log = slog.New(&lines)
		r := runReconciler(t, cfg, f)
		r.SetLookups(prefixes("20.1.0.0/16"))
		r.Set([]Change{wanted("20.1.0.0/26", "192.0.2.77"), wanted("20.1.0.64/26", "192.0.2.77")})
		settle(time.Minute)
		if n := lines.count("routes-repaired"); n != 0 {
			t.Fatalf("what was only installed was repaired %d times", n)
		}
		first := ours(t, "20.1.0.0/26", "192.0.2.77")
		remove := func() {
			f.outside(false, Op{Kind: OpDeleteRoute, Route: first})
			settle(0)
		}
		for range 3 {
			remove()
		}
		settle(journalFirst)
		f.outside(false, Op{Kind: OpDeleteRule, Rule: f.ruleList()[0]})
		for range 4 {
			settle(journalFirst)
			remove()
		}
		settle(journalEvery)
		f.linkState(2, false)
		settle(0)
		f.linkState(2, true)
		settle(2 * journalEvery)
		want := []string{
			"WARN event=routes-repaired one=20.1.0.0/26 deleted=3",
			"WARN event=routes-repaired one=20.1.0.0/26 deleted=4 rule=1",
			"INFO event=routes-repaired one=20.1.0.64/26 link=2",
		}
		if got := lines.of("routes-repaired"); !slices.Equal(got, want) {
			t.Errorf("told\n%q\nwant\n%q", got, want)
		}
	})
}

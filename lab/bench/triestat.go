package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"time"
)

// triestatPrefixes finds a table's number of prefixes in the text of /proc/net/fib_triestat (net/ipv4/fib_trie.c); the
// kernel calls the table "Main", "Local" or "Id NUMBER". A table that is not listed has none.
func triestatPrefixes(text []byte, table string) (int, error) {
	inside := false
	for line := range bytes.Lines(text) {
		line = bytes.TrimRight(line, "\n")
		if name, heading := bytes.CutSuffix(line, []byte(":")); heading && len(line) > 0 && line[0] != '\t' {
			inside = string(name) == table
			continue
		}
		if value, ok := bytes.CutPrefix(line, []byte("\tPrefixes:")); ok && inside {
			return strconv.Atoi(string(bytes.TrimSpace(value)))
		}
	}
	return 0, nil
}

const (
	// counterShare bounds the counter's own use of a processor: it rests this many times as long as a look takes. A
	// look walks the table under RCU and takes no lock that an installer needs.
	counterShare = 10
	counterRest  = 3 * time.Millisecond // at least
)

// counter counts the routes of one table in the network namespace of a process.
type counter struct {
	path     string
	table    string
	baseline int // prefixes that were there before
	looks    int
	cost     time.Duration // of all looks
}

func newCounter(pid int, table string) (*counter, error) {
	c := &counter{path: fmt.Sprintf("/proc/%d/net/fib_triestat", pid), table: table}
	n, err := c.count()
	c.baseline = n
	return c, err
}

// count is the number of routes now, above those that were there at first.
func (c *counter) count() (int, error) {
	began := time.Now()
	text, err := os.ReadFile(c.path)
	if err != nil {
		return 0, fmt.Errorf("counting routes: %w", err)
	}
	c.looks++
	c.cost += time.Since(began)
	n, err := triestatPrefixes(text, c.table)
	if err != nil {
		return 0, fmt.Errorf("counting routes: %s: %w", c.path, err)
	}
	return n - c.baseline, nil
}

// until reads the counter until done says so or ctx ends; the error tells where it stood.
func (c *counter) until(ctx context.Context, what string, done func(count int) bool) (curve, error) {
	var seen curve
	for {
		before := time.Now()
		n, err := c.count()
		if err != nil {
			return seen, err
		}
		now := time.Now()
		seen = append(seen, reading{at: now, count: n})
		if done(n) {
			return seen, nil
		}
		if err := pause(ctx, max(counterRest, counterShare*now.Sub(before))); err != nil {
			return seen, fmt.Errorf("waiting for %s: %w, with %d routes", what, err, n)
		}
	}
}

// pause waits for d, or for the end of ctx, which is an error.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

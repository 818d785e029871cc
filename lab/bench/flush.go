package main

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// iproute2 is the column of `ip route flush`.
const iproute2 = "iproute2"

// flushes measures `routed flush` and `ip route flush` on the same table, one after the other.
func (b *bench) flushes(ctx context.Context) error {
	routed := competitors(b.options)[0]
	return b.withRig(ctx, routed, oneSender(), func(r *rig) error {
		config, err := writeConfig(r, "routed.yaml", routedText)
		if err != nil {
			return err
		}
		for _, f := range []struct {
			name string
			cmd  func(ctx context.Context) *exec.Cmd
		}{
			{routed.id, func(ctx context.Context) *exec.Cmd {
				return r.ns.Command(ctx, b.routed, "flush", "--config", config)
			}},
			{iproute2, func(ctx context.Context) *exec.Cmd {
				return r.ns.Command(ctx, "ip", "route", "flush",
					"table", strconv.Itoa(int(r.table)), "proto", strconv.Itoa(int(r.proto)))
			}},
		} {
			took, err := b.flushOnce(ctx, r, f.cmd)
			if err != nil {
				return fmt.Errorf("%s: %w", f.name, err)
			}
			b.results.add(metricFlush(b.routes), f.name, took.Seconds())
			b.say("%s removed %s routes in %.2f s", f.name, thousands(b.routes), took.Seconds())
		}
		return nil
	})
}

// flushOnce fills the table by hand, with what routed would have left, and times the command that empties it.
func (b *bench) flushOnce(ctx context.Context, r *rig, command func(context.Context) *exec.Cmd) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, installLimit)
	defer cancel()
	var lines strings.Builder
	for _, p := range blocks(b.routes) {
		fmt.Fprintf(&lines, "route add %s via %s table %d proto %d\n", p, senderAddr(), r.table, r.proto)
	}
	fill := exec.CommandContext(ctx, "ip", "-n", string(r.ns), "-batch", "-")
	fill.Stdin = strings.NewReader(lines.String())
	if _, err := run(fill); err != nil {
		return 0, err
	}
	counter, err := newCounter(r.shell.cmd.Process.Pid, r.trie)
	if err != nil {
		return 0, err
	}
	counter.baseline -= b.routes
	began := time.Now()
	if _, err := run(command(ctx)); err != nil {
		return 0, err
	}
	took := time.Since(began)
	if left, err := counter.count(); err != nil || left != 0 {
		return 0, fmt.Errorf("%d routes are left: %w", left, err)
	}
	return took, nil
}

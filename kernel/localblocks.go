package kernel

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// felixProtocol marks the routes of Calico's Felix (its DeviceRouteProtocol's default).
const felixProtocol = 80

// WatchLocalBlocks tells which pod blocks live on this host, as its main table shows them: blackhole routes of BIRD
// or Felix inside one of the given prefixes. It sends the full sorted list at the start and whenever it changes,
// until ctx ends (nil) or the kernel cannot be listened to. It opens its sockets in the namespace of the thread
// that calls it.
func WatchLocalBlocks(ctx context.Context, inside []netip.Prefix, log *slog.Logger, out chan<- []netip.Prefix) error {
	table, err := openTableReader()
	if err != nil {
		return err
	}
	defer func() { _ = table.close() }()
	w, err := openWatch(requestBuffer)
	if err != nil {
		return err
	}
	defer w.file.Close()
	// Port id 0 is the kernel itself, which no route change comes from: nobody's events are filtered out.
	filter, err := eventFilter(noPort, mainTable)
	if err != nil {
		return err
	}
	if err := w.join(filter, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = w.file.SetReadDeadline(time.Unix(1, 0)) })()
	b := localBlocks{inside: inside, table: table, watch: w, log: log}
	if err := b.run(ctx, out); err != nil && ctx.Err() == nil {
		return fmt.Errorf("watch this node's own blocks: %w", err)
	}
	return nil
}

// noPort is a port id that no socket has: netlink gives out process ids and negative numbers near -4096.
const noPort = 0x7fffffff

type localBlocks struct {
	inside []netip.Prefix
	table  *tableReader
	watch  *watchConn
	log    *slog.Logger
	last   []netip.Prefix
}

func (b *localBlocks) run(ctx context.Context, out chan<- []netip.Prefix) error {
	for first := true; ; first = false {
		blocks, err := b.read(ctx)
		if err != nil {
			return err
		}
		if first || !slices.Equal(blocks, b.last) {
			b.last = blocks
			select {
			case out <- slices.Clone(blocks):
			case <-ctx.Done():
				return nil
			}
		}
		if err := b.waitChange(); err != nil {
			return err
		}
	}
}

// waitChange waits for an event that may change the list. A full look follows, so what exactly it was is no matter.
func (b *localBlocks) waitChange() error {
	for {
		concerned := false
		err := b.watch.read(eventBatch, func(m message) {
			e, ok := decodeEvent(m, mainTable)
			concerned = concerned || ok && e.Kind == EventRoute && b.concerns(e.Route)
		})
		switch {
		case errors.Is(err, errOverrun):
			b.log.Warn("kernel events were lost", "event", "netlink-overrun", "table", "main")
			return nil
		case err != nil:
			return err
		case concerned:
			return nil
		}
	}
}

func (b *localBlocks) concerns(r FIBRoute) bool {
	return b.isBlock(r) || slices.Contains(b.last, r.Prefix)
}

func (b *localBlocks) isBlock(r FIBRoute) bool {
	return r.Type == unix.RTN_BLACKHOLE && (r.Protocol == unix.RTPROT_BIRD || r.Protocol == felixProtocol) &&
		within(r.Prefix, b.inside)
}

func (b *localBlocks) read(ctx context.Context) ([]netip.Prefix, error) {
	for try := 1; ; try++ {
		var blocks []netip.Prefix
		var errs []error
		for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
			errs = append(errs, b.table.routes(ctx, family, mainTable, unix.RTN_BLACKHOLE, nil, func(r tableRoute) {
				if b.isBlock(r.FIBRoute) {
					blocks = append(blocks, r.Prefix)
				}
			}))
		}
		err := errors.Join(errs...)
		if err == nil {
			slices.SortFunc(blocks, netip.Prefix.Compare)
			return slices.Compact(blocks), nil
		}
		if !errors.Is(err, ErrInterrupted) || try == startTries {
			return nil, err
		}
	}
}

// LocalBlocks is what [WatchLocalBlocks] sends first.
func LocalBlocks(ctx context.Context, fib FIB, inside []netip.Prefix) ([]netip.Prefix, error) {
	b := localBlocks{inside: inside}
	routes, err := readRoutes(ctx, fib, mainTable, b.isBlock)
	if err != nil {
		return nil, fmt.Errorf("read this node's own blocks: %w", err)
	}
	blocks := make([]netip.Prefix, 0, len(routes))
	for _, r := range routes {
		blocks = append(blocks, r.Prefix)
	}
	slices.SortFunc(blocks, netip.Prefix.Compare)
	return slices.Compact(blocks), nil
}

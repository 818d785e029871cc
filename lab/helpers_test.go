package lab_test

import (
	"context"
	"fmt"
	"time"

	"github.com/google/go-cmp/cmp"

	"routed/lab"
)

// established returns nil when so many BGP sessions of the node's BIRD are up.
func established(ctx context.Context, node *lab.Node, want int) error {
	return countEstablished(ctx, node, want, func(lab.BIRDProtocol) bool { return true })
}

// meshEstablished is established for the sessions with other BIRDs.
func meshEstablished(ctx context.Context, node *lab.Node, want int) error {
	return countEstablished(ctx, node, want, func(p lab.BIRDProtocol) bool { return p.Name != lab.RoutedProtocol })
}

func countEstablished(ctx context.Context, node *lab.Node, want int, match func(lab.BIRDProtocol) bool) error {
	protocols, err := node.BIRDProtocols(ctx)
	if err != nil {
		return err
	}
	up := 0
	for _, p := range protocols {
		if p.Proto == "BGP" && p.Info == "Established" && match(p) {
			up++
		}
	}
	if up != want {
		return fmt.Errorf("%d sessions are up, want %d: %v", up, want, protocols)
	}
	return nil
}

// sameSince compares the times since which BIRD's protocols are in their state. BIRD works them out anew from how long
// ago that was, so they waver by a second.
func sameSince() cmp.Option {
	return cmp.FilterPath(
		func(p cmp.Path) bool { return p.Last().String() == ".Since" },
		cmp.Comparer(func(a, b string) bool {
			ta, errA := time.Parse("15:04:05", a)
			tb, errB := time.Parse("15:04:05", b)
			apart := ta.Sub(tb).Abs()
			return errA == nil && errB == nil && min(apart, 24*time.Hour-apart) <= 1100*time.Millisecond
		}))
}

package lab

import (
	"context"
	"fmt"
	"time"
)

// pollInterval is how often WaitFor looks; a look costs a process or two.
const pollInterval = 20 * time.Millisecond

// WaitFor calls check until it returns nil, which is looked at again and again until the context's deadline. The error
// names what was waited for and what the last look said.
func WaitFor(ctx context.Context, what string, check func(context.Context) error) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	began := time.Now()
	var last error
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil || last == nil {
			last = err // else it is only that the deadline cut the look short
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("lab: waited %s for %s: %w; last: %w",
				time.Since(began).Round(time.Millisecond), what, ctx.Err(), last)
		case <-tick.C:
		}
	}
}

// Within is WaitFor with a deadline of its own, for what must not take longer. It returns how long it took.
func Within(ctx context.Context, limit time.Duration, what string, check func(context.Context) error) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	began := time.Now()
	err := WaitFor(ctx, what, check)
	return time.Since(began), err
}

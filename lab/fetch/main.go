// Command fetch unpacks the tools that the tests use into the cache of this checkout, so that every package's tests find
// them there. What cannot be had it names; the tests that need it then skip.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"routed/lab"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := lab.Fetch(ctx, lab.BIRD16, lab.BIRD2, lab.Ping)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "fetch: tests that need these will be skipped:", err)
	}
}

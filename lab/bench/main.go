package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"routed/lab"
)

// benchLimit bounds the whole run; each wait in it has a limit of its own.
const benchLimit = 40 * time.Minute

func main() {
	opts, err := parseOptions(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	var tools []lab.Tool
	for _, c := range opts.chosen() {
		tools = append(tools, c.tools...)
	}
	code, err := lab.Enter(func() int { return play(opts) }, tools...)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		code = 1
	}
	os.Exit(code)
}

// play runs inside the sandbox and returns the exit status.
func play(opts options) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, benchLimit)
	defer cancel()
	b, err := newBench(ctx, opts)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 1
	}
	failed := b.run(ctx)
	if err := b.report(); err != nil {
		failed = errors.Join(failed, err)
	}
	if failed != nil {
		fmt.Fprintln(os.Stderr, "bench: not everything could be measured:", failed)
		return 1
	}
	return 0
}

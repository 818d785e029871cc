// Command demo plays the two-cluster mesh of the founding document on this machine: six nodes with their own BIRD and
// their own routed, in network namespaces without a way out, gone when it ends. It exits 0 only if all of it held.
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
	"routed/lab/play"
)

// demoTimeout bounds the whole play; it takes about half of it.
const demoTimeout = 90 * time.Second

func main() {
	cast, err := parseOptions(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(2)
	}
	code, err := lab.Enter(func() int { return perform(cast) }, cast.Tools()...)
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		code = 1
	}
	os.Exit(code)
}

func parseOptions(args []string) (*play.Cast, error) {
	cast := new(play.Cast)
	fs := flag.NewFlagSet("demo", flag.ContinueOnError)
	cast.Flags(fs)
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("unexpected %q", fs.Args())
	}
	if err := cast.Check(); err != nil {
		return nil, err
	}
	return cast, nil
}

// perform runs inside the sandbox and returns the exit status.
func perform(cast *play.Cast) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, demoTimeout)
	defer cancel()
	p := play.NewPrinter(os.Stdout)
	if err := story(ctx, p, cast); err != nil {
		p.Fail(err)
		return 1
	}
	p.Done()
	return 0
}

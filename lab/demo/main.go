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
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/term"

	"routed/lab"
)

// demoTimeout bounds the whole play; it takes about half of it.
const demoTimeout = 90 * time.Second

// options are the command line.
type options struct {
	routed string
	bird   string
	mode   lab.Peering
}

func main() {
	opts, err := parseOptions(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(2)
	}
	code, err := lab.Enter(func() int { return play(opts) }, tools(opts)...)
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		code = 1
	}
	os.Exit(code)
}

func parseOptions(args []string) (options, error) {
	var o options
	fs := flag.NewFlagSet("demo", flag.ContinueOnError)
	fs.StringVar(&o.routed, "routed", filepath.Join("bin", "routed"), "the routed to play with")
	fs.StringVar(&o.bird, "bird", "auto", "1.6, 2, standin, or auto: the first of them that can be had")
	fs.TextVar(&o.mode, "mode", lab.Dial, "how routed meets BIRD: dial (Calico before 3.16) or accept")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	if fs.NArg() > 0 {
		return o, fmt.Errorf("unexpected %q", fs.Args())
	}
	var err error
	if o.routed, err = filepath.Abs(o.routed); err != nil {
		return o, err
	}
	if _, err := os.Stat(o.routed); err != nil {
		return o, fmt.Errorf("no routed to play with, `make build` makes one: %w", err)
	}
	if len(birds(o)) == 0 {
		return o, fmt.Errorf("--bird %q: want 1.6, 2, standin or auto", o.bird)
	}
	return o, nil
}

// birds lists what may play BIRD, the preferred one first.
func birds(o options) []lab.Tool {
	switch o.bird {
	case "1.6":
		return []lab.Tool{lab.BIRD16}
	case "2":
		return []lab.Tool{lab.BIRD2}
	case "standin":
		return []lab.Tool{lab.StandIn}
	case "auto":
		return []lab.Tool{lab.BIRD16, lab.BIRD2, lab.StandIn}
	default:
		return nil
	}
}

func tools(o options) []lab.Tool { return append(birds(o), lab.Ping) }

// play runs inside the sandbox and returns the exit status.
func play(o options) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, demoTimeout)
	defer cancel()
	p := &printer{out: os.Stdout, colour: term.IsTerminal(int(os.Stdout.Fd())) && os.Getenv("NO_COLOR") == "", began: time.Now()}
	if err := story(ctx, p, o); err != nil {
		p.fail(err)
		return 1
	}
	p.done()
	return 0
}

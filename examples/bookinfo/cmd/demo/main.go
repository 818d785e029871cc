// Command demo plays Bookinfo across the two clusters of the founding document on this machine: the page whose red stars
// come from reviews-v3 in the other cluster. Its six nodes have their own BIRD and routed, in network namespaces without
// a way out, gone when it ends. It exits 0 only if all of it held.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"routed/lab"
	"routed/lab/play"
)

// playTimeout bounds the whole play but the serving; it takes about a quarter of it.
const playTimeout = 2 * time.Minute

// envDir tells the program inside the sandbox of a folder that both see.
const envDir = "BOOKINFO_DIR"

// options are the command line.
type options struct {
	cast     play.Cast
	bookinfo string
	ratings  string
	requests int
	serve    bool
	listen   string
}

func main() {
	o, err := parseOptions(os.Args[1:])
	switch {
	case errors.Is(err, flag.ErrHelp):
		return
	case err != nil:
		fmt.Fprintln(os.Stderr, "demo-bookinfo:", err)
		os.Exit(2)
	}
	code, err := run(o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo-bookinfo:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

func parseOptions(args []string) (*options, error) {
	o := new(options)
	fs := flag.NewFlagSet("demo-bookinfo", flag.ContinueOnError)
	o.cast.Flags(fs)
	fs.StringVar(&o.bookinfo, "bookinfo", filepath.Join("bin", "bookinfo"), "the Bookinfo to play with")
	fs.StringVar(&o.ratings, "ratings", cluster1, "where ratings runs: cluster-1, so that v3's call crosses back, or cluster-2")
	fs.IntVar(&o.requests, "requests", 300, "how often the page is opened")
	fs.BoolVar(&o.serve, "serve", false, "stay up in the end, for a browser, until interrupted")
	fs.StringVar(&o.listen, "listen", "127.0.0.1:9080", "with --serve: where on this machine, a loopback ADDRESS:PORT")
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	const fewest = 30 // so that a few more or less of one version are no tenth of all
	switch {
	case fs.NArg() > 0:
		return nil, fmt.Errorf("unexpected %q", fs.Args())
	case !slices.Contains([]string{cluster1, cluster2}, o.ratings):
		return nil, fmt.Errorf("--ratings %q: want %s or %s", o.ratings, cluster1, cluster2)
	case o.requests < fewest:
		return nil, fmt.Errorf("--requests %d: want %d or more", o.requests, fewest)
	}
	var err error
	if o.bookinfo, err = play.Binary(o.bookinfo); err != nil {
		return nil, err
	}
	if err := o.cast.Check(); err != nil {
		return nil, err
	}
	return o, nil
}

// run enters the sandbox. Outside of it stays, while it runs, the listener that a browser can reach.
func run(o *options) (code int, err error) {
	if lab.Outside() {
		dir, err := os.MkdirTemp("", "bookinfo-")
		if err != nil {
			return 1, err
		}
		defer os.RemoveAll(dir)
		if err := os.Setenv(envDir, dir); err != nil {
			return 1, err
		}
		if o.serve {
			ctx, stop := context.WithCancel(context.Background())
			wait, err := relay(ctx, o.listen, servedIn(dir))
			if err != nil {
				stop()
				return 1, err
			}
			defer func() { stop(); wait() }()
		}
	}
	return lab.Enter(func() int { return perform(o, os.Getenv(envDir)) }, o.cast.Tools()...)
}

// socketIn is the path of the ingress gateway's socket.
func socketIn(dir string) string { return filepath.Join(dir, "gateway.sock") }

// servedIn is the same socket for those outside, once the story is over: a reader more would take turns of its pages.
func servedIn(dir string) string { return filepath.Join(dir, "served.sock") }

// perform runs inside the sandbox and returns the exit status.
func perform(o *options, dir string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	p := play.NewPrinter(os.Stdout)
	if err := story(ctx, p, o, dir); err != nil {
		p.Fail(err)
		return 1
	}
	p.Done()
	return 0
}

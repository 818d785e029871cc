package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// part is one of the measurements.
type part string

const (
	partInstall part = "install"
	partRepair  part = "repair"
	partBlock   part = "block"
	partLink    part = "link"
	partFlush   part = "flush"
	partIdle    part = "idle"

	partSessions   part = "sessions"
	partReflectors part = "reflectors"
	partScrape     part = "scrape"
)

func allParts() []part {
	return append(oneNodeParts(), scaleParts()...)
}

// scaleParts have many sessions, or reflectors.
func scaleParts() []part { return []part{partSessions, partReflectors, partScrape} }

// oneNodeParts have one session, with one node; what is measured unless something else is asked for.
func oneNodeParts() []part {
	return []part{partInstall, partRepair, partBlock, partLink, partFlush, partIdle}
}

const (
	// maxRoutes leaves room for spareBlocks in 20.0.0.0/8.
	maxRoutes   = 250_000
	spareBlocks = 1_000
	maxSessions = 5_000
)

// options are the command line.
type options struct {
	routed      string
	out         string
	parts       []part
	competitors []string
	routes      int // the large table, and that of two reflectors
	few         int // the small one
	runs        int // of what is measured as a whole
	events      int // of what is measured one by one, by daemons that act on events
	scans       int // the same for BIRD, whose repair takes a scan
	idle        time.Duration
	keepLogs    string
	sessions    []int // how many at the same time
}

func parseOptions(args []string) (options, error) {
	o := options{}
	var quick bool
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.StringVar(&o.routed, "routed", filepath.Join("bin", "routed"), "the routed to measure")
	fs.StringVar(&o.out, "out", "", "a file for the results as well; the standard output has them always")
	fs.BoolVar(&quick, "quick", false, "less of everything: below three minutes, and less to be believed")
	parts := fs.String("parts", joinParts(oneNodeParts()), "what to measure, comma-separated; also "+joinParts(scaleParts()))
	sessions := fs.String("sessions", "200,1000", "numbers of nodes to have a session with each, comma-separated; 200 with -quick")
	names := fs.String("competitors", "routed,bird1.6,bird2,frr", "whom to measure, comma-separated")
	fs.IntVar(&o.routes, "routes", 100_000, "size of the large table, and of that of two reflectors; 10,000 with -quick")
	fs.IntVar(&o.few, "few", 1_000, "size of the small table")
	fs.IntVar(&o.runs, "runs", 3, "repetitions of whole-table measurements; 1 with -quick")
	fs.IntVar(&o.events, "events", 500, "repetitions of single-route measurements; 100 with -quick")
	fs.IntVar(&o.scans, "scans", 10, "repetitions of single-route repairs by BIRD, 2 s each; 3 with -quick")
	fs.DurationVar(&o.idle, "idle", time.Minute, "how long the idle daemons are watched; 5s with -quick")
	fs.StringVar(&o.keepLogs, "logs", "", "a folder to keep the daemons' configurations and logs in")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	if quick {
		o.shorten(fs, sessions)
	}
	o.competitors = strings.Split(*names, ",")
	o.parts = nil
	for name := range strings.SplitSeq(*parts, ",") {
		o.parts = append(o.parts, part(name))
	}
	for word := range strings.SplitSeq(*sessions, ",") {
		n, err := strconv.Atoi(word)
		if err != nil || n < 1 || n > maxSessions {
			return o, fmt.Errorf("-sessions: %q is not from 1 to %d", word, maxSessions)
		}
		o.sessions = append(o.sessions, n)
	}
	return o, errors.Join(o.check(fs.Args()), o.absolute())
}

// shorten sets what -quick means, except what was given.
func (o *options) shorten(fs *flag.FlagSet, sessions *string) {
	given := map[string]bool{}
	fs.Visit(func(f *flag.Flag) { given[f.Name] = true })
	set := func(name string, to func()) {
		if !given[name] {
			to()
		}
	}
	set("sessions", func() { *sessions = "200" })
	set("routes", func() { o.routes = 10_000 })
	set("runs", func() { o.runs = 1 })
	set("events", func() { o.events = 100 })
	set("scans", func() { o.scans = 3 })
	set("idle", func() { o.idle = 5 * time.Second })
}

func (o *options) check(rest []string) error {
	var errs []error
	if len(rest) > 0 {
		errs = append(errs, fmt.Errorf("unexpected %q", rest))
	}
	for _, p := range o.parts {
		if !slices.Contains(allParts(), p) {
			errs = append(errs, fmt.Errorf("-parts: %q is not one of %s", p, joinParts(allParts())))
		}
	}
	for _, id := range o.competitors {
		if !slices.ContainsFunc(competitors(*o), func(c competitor) bool { return c.id == id }) {
			errs = append(errs, fmt.Errorf("-competitors: %q is not one of routed, bird1.6, bird2, frr", id))
		}
	}
	for _, n := range []struct {
		flag         string
		value, least int
	}{{"routes", o.routes, 1000}, {"few", o.few, 200}, {"runs", o.runs, 1}, {"events", o.events, 1}, {"scans", o.scans, 1}} {
		if n.value < n.least || n.value > maxRoutes {
			errs = append(errs, fmt.Errorf("-%s: %d is not from %d to %d", n.flag, n.value, n.least, maxRoutes))
		}
	}
	if o.few >= o.routes {
		errs = append(errs, fmt.Errorf("-few %d is not less than -routes %d", o.few, o.routes))
	}
	if o.idle < time.Second || o.idle > time.Hour {
		errs = append(errs, fmt.Errorf("-idle: %s is not from 1s to 1h", o.idle))
	}
	return errors.Join(errs...)
}

// absolute makes paths independent of the working directory and sees that routed is there.
func (o *options) absolute() error {
	for _, path := range []*string{&o.routed, &o.out, &o.keepLogs} {
		if *path == "" {
			continue
		}
		abs, err := filepath.Abs(*path)
		if err != nil {
			return err
		}
		*path = abs
	}
	if _, err := os.Stat(o.routed); err != nil {
		return fmt.Errorf("no routed to measure, `make build` makes one: %w", err)
	}
	return nil
}

func (o *options) has(p part) bool { return slices.Contains(o.parts, p) }

// chosen are the competitors asked for, in their order of turns.
func (o *options) chosen() []competitor {
	return slices.DeleteFunc(competitors(*o), func(c competitor) bool { return !slices.Contains(o.competitors, c.id) })
}

func joinParts(parts []part) string {
	words := make([]string, len(parts))
	for i, p := range parts {
		words[i] = string(p)
	}
	return strings.Join(words, ",")
}

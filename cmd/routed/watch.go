package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"routed/admin"
	"routed/admin/text"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// The bounds of --interval.
const (
	minInterval     = 100 * time.Millisecond
	maxInterval     = time.Hour
	defaultInterval = 2 * time.Second
)

// watchFlags are those of a command that looks again and again.
type watchFlags struct {
	watch    bool
	interval time.Duration
}

func (f *watchFlags) register(cmd *cobra.Command) {
	cmd.Flags().BoolVarP(&f.watch, "watch", "w", false, "look again and again until Ctrl-C")
	cmd.Flags().DurationVar(&f.interval, "interval", defaultInterval, "how long to wait between two looks of --watch")
}

func (f *watchFlags) check(cmd *cobra.Command) error {
	switch {
	case cmd.Flags().Changed("interval") && !f.watch:
		return errors.New("--interval is of use with --watch only")
	case f.interval < minInterval || f.interval > maxInterval:
		return fmt.Errorf("--interval %s: must be between %s and %s", f.interval, minInterval, maxInterval)
	}
	return nil
}

// look is one answer of the daemon, or why there is none.
type look struct {
	at     time.Time
	status admin.Status
	err    error
}

// exit is what a command exits with that saw this last.
func (l look) exit() error {
	switch {
	case errors.Is(l.err, admin.ErrUnreachable):
		return &exitError{code: exitUnreachable}
	case l.err != nil, l.status.Degraded():
		return &exitError{code: exitFailed}
	default:
		return nil
	}
}

// view is where looks are shown.
type view interface {
	show(look) error
	end(look) error // after the last
}

// watchStatus shows how the node is again and again, whether the daemon answers or not, until ctx ends. It returns what the
// last look exits with; a look that the end cut short does not count.
func watchStatus(ctx context.Context, every time.Duration, ask func(context.Context) (admin.Status, error), v view) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	var last look
	for ctx.Err() == nil {
		within, cancel := context.WithTimeout(ctx, answerWithin)
		now := look{at: time.Now()}
		now.status, now.err = ask(within)
		cancel()
		if now.err != nil && ctx.Err() != nil {
			break
		}
		last = now
		if err := v.show(last); err != nil {
			return errors.Join(err, v.end(last))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	if err := v.end(last); err != nil {
		return err
	}
	return last.exit()
}

// newView is a terminal that is written anew, or a stream of one look after the other.
func newView(cmd *cobra.Command, f *queryFlags) view {
	out := cmd.OutOrStdout()
	if file, ok := out.(*os.File); ok && isTerminal(out) && f.output == "text" {
		return &screen{out: out, options: text.Options{Colour: colored(out)}, size: func() (int, int, error) { return term.GetSize(int(file.Fd())) }}
	}
	return &stream{out: out, complaints: cmd.ErrOrStderr(), json: f.output == "json", options: text.Options{Colour: colored(out)}}
}

// stream appends: a status a line in JSON, or the text of each below a line with the time. That the daemon does not answer, and that
// it does again, is said once, where complaints go.
type stream struct {
	out, complaints io.Writer
	json            bool
	options         text.Options
	said            string // the complaint
}

func (s *stream) show(l look) error {
	if l.err != nil {
		if why := l.err.Error(); why != s.said {
			s.said = why
			fmt.Fprintf(s.complaints, "routed: %s: %s; trying again\n", l.at.Format(time.RFC3339), why)
		}
		return nil
	}
	if s.said != "" {
		s.said = ""
		fmt.Fprintf(s.complaints, "routed: %s: the daemon answers\n", l.at.Format(time.RFC3339))
	}
	if s.json {
		return json.NewEncoder(s.out).Encode(l.status)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "--- %s\n", l.status.At.Format(time.RFC3339))
	if err := text.Status(&b, l.status, s.options); err != nil {
		return err
	}
	_, err := s.out.Write(b.Bytes())
	return err
}

func (s *stream) end(look) error { return nil }

// Control sequences of terminals (ECMA-48, and xterm's for the other screen).
const (
	otherScreen = "\x1b[?1049h\x1b[?25l" // and no cursor
	firstScreen = "\x1b[?25h\x1b[?1049l"
	toTop       = "\x1b[H"
	clearLine   = "\x1b[K"
	clearBelow  = "\x1b[J"
)

// screen writes each look over the one before, on the terminal's other screen, cut to what fits. What was on the first
// screen comes back at the end, with the last look below it.
type screen struct {
	out     io.Writer
	options text.Options
	size    func() (width, height int, err error)

	open bool
	good look // the last that had an answer
}

func (s *screen) show(l look) error {
	page, err := s.page(l)
	if err != nil {
		return err
	}
	width, height, err := s.size()
	if err != nil {
		return fmt.Errorf("the size of the terminal: %w", err)
	}
	var b bytes.Buffer
	if !s.open {
		b.WriteString(otherScreen)
		s.open = true
	}
	b.WriteString(toTop)
	for i, line := range fit(page, width, height) {
		if i > 0 {
			b.WriteString("\r\n")
		}
		b.WriteString(line + clearLine)
	}
	b.WriteString(clearBelow)
	_, err = s.out.Write(b.Bytes())
	return err
}

func (s *screen) end(l look) error {
	if !s.open {
		return nil
	}
	page, err := s.page(l)
	if err != nil {
		return err
	}
	_, err = io.WriteString(s.out, firstScreen+page)
	return err
}

// page is a look as text. While the daemon does not answer, that is said above its last answer.
func (s *screen) page(l look) (string, error) {
	var b strings.Builder
	if l.err == nil {
		s.good = l
	} else {
		fmt.Fprintf(&b, "routed: %v\n", l.err)
		if s.good.at.IsZero() {
			return b.String(), nil
		}
		fmt.Fprintf(&b, "\nits last answer, %s ago:\n\n", admin.Age(l.at.Sub(s.good.at)))
	}
	err := text.Status(&b, s.good.status, s.options)
	return b.String(), err
}

// fit is the lines of a page that fit a terminal. A line that is too wide takes several of the terminal's.
func fit(page string, width, height int) []string {
	lines := strings.Split(strings.TrimSuffix(page, "\n"), "\n")
	room := height
	for i, line := range lines {
		takes := 1 + max(0, columns(line)-1)/max(width, 1)
		if takes > room || takes == room && i < len(lines)-1 {
			return append(lines[:i:i], moreLines(len(lines)-i))
		}
		room -= takes
	}
	return lines
}

func moreLines(n int) string {
	if n == 1 {
		return "... 1 more line"
	}
	return fmt.Sprintf("... %d more lines", n)
}

// columns is how wide a line is, without its colours.
func columns(line string) int {
	n := 0
	for piece := range strings.SplitSeq(line, "\x1b[") {
		if n > 0 || strings.HasPrefix(line, "\x1b[") {
			if _, after, found := strings.Cut(piece, "m"); found {
				piece = after
			}
		}
		n += utf8.RuneCountInString(piece)
	}
	return n
}

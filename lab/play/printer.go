package play

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// Printer writes the story of a play, scene by scene, coloured when told to.
type Printer struct {
	out    io.Writer
	colour bool
	began  time.Time
	scenes int
}

// NewPrinter writes to a file, in colour when that is a terminal and NO_COLOR is not set. Times count from now.
func NewPrinter(out *os.File) *Printer {
	colour := term.IsTerminal(int(out.Fd())) && os.Getenv("NO_COLOR") == ""
	return &Printer{out: out, colour: colour, began: time.Now()}
}

const (
	bold  = "1"
	green = "32"
	red   = "31"
	dim   = "2"
)

func (p *Printer) paint(code, s string) string {
	if !p.colour {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

// Scene begins a new part of the story.
func (p *Printer) Scene(format string, args ...any) {
	p.scenes++
	at := p.paint(dim, fmt.Sprintf("[%5.1f s]", time.Since(p.began).Seconds()))
	fmt.Fprintf(p.out, "\n%s %s\n", at, p.paint(bold, fmt.Sprintf("%d. ", p.scenes)+fmt.Sprintf(format, args...)))
}

// Say writes one line.
func (p *Printer) Say(format string, args ...any) { fmt.Fprintf(p.out, "  "+format+"\n", args...) }

// Held reports one thing that was promised and seen.
func (p *Printer) Held(format string, args ...any) {
	fmt.Fprintf(p.out, "  %s %s\n", p.paint(green, "ok"), fmt.Sprintf(format, args...))
}

// Shell shows a command and what it printed, as on a terminal of the node.
func (p *Printer) Shell(node, command, output string) {
	fmt.Fprintf(p.out, "  %s\n", p.paint(dim, node+"$ "+command))
	for line := range strings.Lines(output) {
		fmt.Fprintf(p.out, "  %s\n", strings.TrimRight(line, " \n"))
	}
}

// Fail ends the story that did not hold.
func (p *Printer) Fail(err error) {
	fmt.Fprintf(p.out, "\n%s %v\n", p.paint(red, "FAILED:"), err)
}

// Done ends the story that did.
func (p *Printer) Done() {
	fmt.Fprintf(p.out, "\n%s in %.1f s.\n", p.paint(green, "All of it held"), time.Since(p.began).Seconds())
}

// MS shows a time as people compare it.
func MS(d time.Duration) string {
	if d >= time.Second {
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
}

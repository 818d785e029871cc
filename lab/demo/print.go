package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// printer writes the story, coloured when told to.
type printer struct {
	out    io.Writer
	colour bool
	began  time.Time
	scenes int
}

const (
	bold  = "1"
	green = "32"
	red   = "31"
	dim   = "2"
)

func (p *printer) paint(code, s string) string {
	if !p.colour {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

// scene begins a new part of the story.
func (p *printer) scene(format string, args ...any) {
	p.scenes++
	at := p.paint(dim, fmt.Sprintf("[%5.1f s]", time.Since(p.began).Seconds()))
	fmt.Fprintf(p.out, "\n%s %s\n", at, p.paint(bold, fmt.Sprintf("%d. ", p.scenes)+fmt.Sprintf(format, args...)))
}

func (p *printer) say(format string, args ...any) { fmt.Fprintf(p.out, "  "+format+"\n", args...) }

// held reports one thing that was promised and seen.
func (p *printer) held(format string, args ...any) {
	fmt.Fprintf(p.out, "  %s %s\n", p.paint(green, "ok"), fmt.Sprintf(format, args...))
}

// shell shows a command and what it printed, as on a terminal of the node.
func (p *printer) shell(node, command, output string) {
	fmt.Fprintf(p.out, "  %s\n", p.paint(dim, node+"$ "+command))
	for line := range strings.Lines(output) {
		fmt.Fprintf(p.out, "  %s\n", strings.TrimRight(line, " \n"))
	}
}

func (p *printer) fail(err error) {
	fmt.Fprintf(p.out, "\n%s %v\n", p.paint(red, "FAILED:"), err)
}

func (p *printer) done() {
	fmt.Fprintf(p.out, "\n%s in %.1f s.\n", p.paint(green, "All of it held"), time.Since(p.began).Seconds())
}

// ms shows a time as people compare it.
func ms(d time.Duration) string {
	if d >= time.Second {
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
}

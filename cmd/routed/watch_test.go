package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"routed/admin"
)

// telling is a daemon that has one status; its problems are worked out from it.
type telling struct {
	admin.Source
	status admin.Status
}

func (s telling) Status(context.Context) (admin.Status, error) { return s.status, nil }

// wellStatus is one without a problem.
func wellStatus() admin.Status {
	return admin.Status{
		At: time.Now(), Node: admin.Node{Cluster: "cluster-1", Address: netip.MustParseAddr(nodeA), RouterID: netip.MustParseAddr(nodeA), Release: "v0.1.0", Started: time.Now()},
		Mesh: admin.Mesh{Converged: true}, Kernel: admin.Kernel{Adopted: true}, Config: admin.Config{LastReloadOK: true},
	}
}

// tell serves a status on a socket until it is stopped.
func tell(t *testing.T, socket string, s admin.Status) (stop func()) {
	t.Helper()
	l, err := admin.Listen(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- admin.NewServer(socket, telling{status: s}, slog.New(slog.DiscardHandler)).Serve(ctx, l)
	}()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

// output is what a command has written so far.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// wait waits until check is content with what was written, and returns it.
func (o *output) wait(t *testing.T, what string, check func(text string) bool) string {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if s := o.String(); check(s) {
			return s
		}
		select {
		case <-deadline:
			t.Fatalf("waited for %s in:\n%s", what, o.String())
		case <-tick.C:
		}
	}
}

// watching is a `routed status --watch` that runs.
type watching struct {
	out, complaints *output
	interrupt       func() int // as Ctrl-C does; returns the exit status
}

func startWatch(t *testing.T, socket string, out io.Writer, args ...string) watching {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	w := watching{complaints: &output{}}
	if out == nil {
		w.out = &output{}
		out = w.out
	}
	done := make(chan int, 1)
	go func() {
		done <- execute(ctx, append([]string{"status", "--watch", "--interval", "100ms", "--socket", socket}, args...), out, w.complaints)
	}()
	var once sync.Once
	code := 0
	w.interrupt = func() int {
		once.Do(func() {
			cancel()
			code = <-done
		})
		return code
	}
	t.Cleanup(func() { w.interrupt() })
	return w
}

// The watch lives through a restart of the daemon, which then has a problem.
func TestWatchLivesThroughARestart(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	stop := tell(t, socket, wellStatus())
	w := startWatch(t, socket, nil)
	w.out.wait(t, "two looks", func(s string) bool { return strings.Count(s, ": healthy") >= 2 && strings.Count(s, "--- ") >= 2 })
	stop()
	w.complaints.wait(t, "a complaint", func(s string) bool { return strings.Contains(s, "not reachable") })
	broken := wellStatus()
	broken.Mesh.Converged = false
	tell(t, socket, broken)
	w.out.wait(t, "the problem", func(s string) bool { return strings.Contains(s, "WARNING not-converged") })
	if s := w.complaints.String(); strings.Count(s, "\n") != 2 || !strings.Contains(s, "the daemon answers\n") {
		t.Errorf("complaints: %s", s)
	}
	if code := w.interrupt(); code != exitFailed {
		t.Errorf("exits %d", code)
	}
	if s := w.out.String() + w.complaints.String(); strings.Contains(s, "\x1b") {
		t.Errorf("control sequences where there is no terminal: %q", s)
	}
}

func TestWatchExits(t *testing.T) {
	dir := t.TempDir()
	well, ill := filepath.Join(dir, "well"), filepath.Join(dir, "ill")
	tell(t, well, wellStatus())
	s := wellStatus()
	s.Config.LastReloadOK = false
	tell(t, ill, s)
	for _, c := range []struct {
		socket, says string
		code         int
	}{
		{well, "healthy", 0}, {ill, "reload-failed", exitFailed}, {filepath.Join(dir, "none"), "not reachable", exitUnreachable},
	} {
		w := startWatch(t, c.socket, nil)
		says := func(s string) bool { return strings.Contains(s, c.says) }
		if c.code == exitUnreachable {
			w.complaints.wait(t, c.says, says)
		} else {
			w.out.wait(t, c.says, says)
		}
		if code := w.interrupt(); code != c.code {
			t.Errorf("%s: exits %d, want %d", c.says, code, c.code)
		}
	}
}

func TestWatchInJSONIsALineEach(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	tell(t, socket, wellStatus())
	w := startWatch(t, socket, nil, "-o", "json")
	text := w.out.wait(t, "two lines", func(s string) bool { return strings.Count(s, "\n") >= 2 })
	w.interrupt()
	first, _, _ := strings.Cut(text, "\n")
	var s admin.Status
	if err := json.Unmarshal([]byte(first), &s); err != nil || s.Node.Cluster != "cluster-1" {
		t.Errorf("%v: %s", err, first)
	}
}

// An output that is gone ends the watch.
func TestWatchEndsWithItsOutput(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	tell(t, socket, wellStatus())
	r, pipe, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	defer pipe.Close()
	complaints := &output{}
	if code := execute(t.Context(), []string{"status", "-w", "--socket", socket}, pipe, complaints); code != exitFailed ||
		!strings.Contains(complaints.String(), "broken pipe") {
		t.Errorf("exits %d: %s", code, complaints)
	}
}

func TestWatchRefuses(t *testing.T) {
	for _, args := range [][]string{
		{"status", "--interval", "1s"},
		{"status", "--watch", "--interval", "1ms"},
		{"status", "--watch", "--interval", "2h"},
		{"status", "--watch", "-o", "yaml"},
	} {
		var out bytes.Buffer
		if code := execute(t.Context(), args, &out, &out); code != exitFailed || !strings.Contains(out.String(), args[len(args)-2]) &&
			!strings.Contains(out.String(), "--output") {
			t.Errorf("%v exits %d: %s", args, code, out.String())
		}
	}
}

// terminal opens a pseudo-terminal of a size (pty(7)): what a program gets, and what was written to it.
func terminal(t *testing.T, width, height uint16) (*os.File, *output) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no pseudo-terminals here:", err)
	}
	fd := int(master.Fd())
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = errors.Join(unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0),
			unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Col: width, Row: height}))
	}
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	written := &output{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(written, master) // ends with EIO when the other end is closed
	}()
	t.Cleanup(func() {
		slave.Close()
		<-done
		master.Close()
	})
	return slave, written
}

// On a terminal a look is written over the one before, and the end leaves the terminal as it was, with the last look.
func TestWatchOnATerminal(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	stop := tell(t, socket, wellStatus())
	tty, written := terminal(t, 80, 12)
	w := startWatch(t, socket, tty)
	written.wait(t, "two looks", func(s string) bool { return strings.Count(s, toTop) >= 2 })
	stop()
	text := written.wait(t, "the daemon to be missed", func(s string) bool { return strings.Contains(s, "its last answer, 0s ago") })
	if !strings.HasPrefix(text, otherScreen+toTop) || strings.Count(text, otherScreen) != 1 || !strings.Contains(text, "more lines") {
		t.Errorf("%q", text)
	}
	tell(t, socket, wellStatus())
	written.wait(t, "the daemon to be back", func(s string) bool {
		return strings.Contains(s[strings.LastIndex(s, toTop):], "healthy") && !strings.Contains(s[strings.LastIndex(s, toTop):], "last answer")
	})
	if code := w.interrupt(); code != 0 {
		t.Errorf("exits %d: %s", code, w.complaints)
	}
	_, after, left := strings.Cut(written.wait(t, "the end", func(s string) bool { return strings.Contains(s, "full compare") }), firstScreen)
	if !left || !strings.Contains(after, "healthy") || strings.Contains(after, toTop) {
		t.Errorf("at the end: %q", after)
	}
}

func TestFit(t *testing.T) {
	page := "one\n\x1b[1mtwo\x1b[0m\nthree\n"
	for _, c := range []struct {
		width, height int
		want          string
	}{
		{80, 3, "one|\x1b[1mtwo\x1b[0m|three"},
		{80, 2, "one|... 2 more lines"},
		{3, 4, "one|\x1b[1mtwo\x1b[0m|three"},
		{3, 3, "one|\x1b[1mtwo\x1b[0m|... 1 more line"},
		{80, 1, "... 3 more lines"},
		{0, 0, "... 3 more lines"},
	} {
		if got := strings.Join(fit(page, c.width, c.height), "|"); got != c.want {
			t.Errorf("%d×%d: %q, want %q", c.width, c.height, got, c.want)
		}
	}
}

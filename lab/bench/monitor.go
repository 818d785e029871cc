package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"routed/lab"
)

// event is one change of a route, as `ip -ts monitor route` tells it.
type event struct {
	at      time.Time // when ip read it
	prefix  netip.Prefix
	deleted bool
	leads   bool // the route has a next hop; not one that is unreachable, blackhole and so on
}

// eventsKept is enough for a whole table to be deleted and added while nobody looks: so the kernel's messages never wait
// for us.
const eventsKept = 1 << 19

// monitor is a source of route events. One goroutine takes events from it.
type monitor struct {
	events chan event // closed at the end, when err is set
	err    error
	stop   func() error // ends the source; the events are closed soon after
}

// startMonitor starts an `ip -ts monitor route`. It returns when nothing that happens from then on is missed.
func startMonitor(ctx context.Context, ns lab.Namespace) (*monitor, error) {
	cmd := exec.CommandContext(context.WithoutCancel(ctx), "ip", "-n", string(ns), "-ts", "monitor", "route")
	cmd.Env = append(os.Environ(), "TZ=UTC")
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting ip monitor: %w", err)
	}
	m := &monitor{events: make(chan event, eventsKept)}
	m.stop = func() error {
		err := cmd.Process.Kill()
		_ = cmd.Wait()           // it was killed
		if complaint.Len() > 0 { // above all, an overrun of its socket
			err = errors.Join(err, fmt.Errorf("ip monitor: %s", tail(complaint.String(), 200)))
		}
		return err
	}
	go m.read(out)
	subscribed := func(context.Context) error { return subscribed(cmd.Process.Pid) }
	if _, err := lab.Within(ctx, 10*time.Second, "ip monitor to subscribe", subscribed); err != nil {
		return nil, errors.Join(err, m.close())
	}
	return m, nil
}

// subscribed returns nil once the socket of ip has joined its groups: the line "sk Eth Pid Groups …" of
// /proc/PID/net/netlink with Eth 0, NETLINK_ROUTE, and ip's process id as its port.
func subscribed(process int) error {
	pid := strconv.Itoa(process)
	table, err := os.ReadFile("/proc/" + pid + "/net/netlink")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(table)) {
		f := strings.Fields(line)
		if len(f) > 3 && f[1] == "0" && f[2] == pid && strings.Trim(f[3], "0") != "" {
			return nil
		}
	}
	return errors.New("not yet")
}

func (m *monitor) read(out io.Reader) {
	defer close(m.events)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		e, ok, err := parseEvent(lines.Text())
		if err != nil {
			m.err = err
			return
		}
		if ok {
			m.events <- e
		}
	}
	m.err = errors.New("ip monitor ended")
}

// parseEvent reads "[TIME] [Deleted ][TYPE ]PREFIX [nhid ID ][via ADDRESS ]…"; ok is false for a line that is no route
// with a length of its own.
func parseEvent(line string) (e event, ok bool, err error) {
	stamp, rest, found := strings.Cut(strings.TrimPrefix(line, "["), "] ")
	if !found || !strings.HasPrefix(line, "[") {
		return event{}, false, nil
	}
	if e.at, err = time.Parse("2006-01-02T15:04:05", stamp); err != nil {
		return event{}, false, fmt.Errorf("ip monitor said %q: %w", line, err)
	}
	rest, e.deleted = strings.CutPrefix(rest, "Deleted ")
	first, rest, _ := strings.Cut(rest, " ")
	e.leads = true
	if !strings.ContainsAny(first, "./:") { // unreachable, blackhole, local …
		e.leads = false
		first, _, _ = strings.Cut(rest, " ")
	}
	if !strings.Contains(first, "/") {
		return event{}, false, nil // a host, as `local 192.0.2.2`: not one of ours
	}
	e.prefix, err = netip.ParsePrefix(first)
	return e, err == nil, err
}

// next is the next event of one of our blocks.
func (m *monitor) next(ctx context.Context) (event, error) {
	for {
		select {
		case e, open := <-m.events:
			if !open {
				return event{}, m.err
			}
			if e.prefix.Bits() == 26 {
				return e, nil
			}
		case <-ctx.Done():
			return event{}, ctx.Err()
		}
	}
}

// drain forgets what was heard so far.
func (m *monitor) drain() {
	for {
		select {
		case <-m.events:
		default:
			return
		}
	}
}

// close ends the source and waits for its end. The error tells that it had ended by itself before.
func (m *monitor) close() error {
	err := m.stop()
	for range m.events { // until the reader has ended
		continue
	}
	return err
}

package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// RouteEvent is one change of a kernel's routes.
type RouteEvent struct {
	At      time.Time // when `ip monitor` read it
	Deleted bool      // else added or replaced
	Route   Route
}

// String is the event as `ip monitor route` shows it, less what Route leaves out.
func (e RouteEvent) String() string {
	verb := "added"
	if e.Deleted {
		verb = "deleted"
	}
	return fmt.Sprintf("%s %s %s %s via %s table %s proto %s",
		e.At.Format("15:04:05.000000"), verb, e.Route.Type, e.Route.Dst, e.Route.Via, e.Route.Table, e.Route.Proto)
}

// Monitor records every route event of a node, of all tables, in order. Close it to end it.
type Monitor struct {
	cmd  *exec.Cmd
	done chan struct{}

	mu     sync.Mutex
	events []RouteEvent
	err    error // why it is not to be trusted
}

// Monitor starts to record; when it returns, nothing that happens from then on is missed.
func (node *Node) Monitor(ctx context.Context) (*Monitor, error) {
	cmd := exec.CommandContext(context.WithoutCancel(ctx), "ip", "-n", string(node.Namespace), "-ts", "monitor", "route")
	cmd.Env = append(os.Environ(), "TZ=UTC")
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting ip monitor: %w", err)
	}
	m := &Monitor{cmd: cmd, done: make(chan struct{})}
	go m.read(out)
	if err := WaitFor(ctx, "ip monitor to subscribe", m.subscribed); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// subscribed succeeds once the monitor's netlink socket has joined its groups: /proc/PID/net/netlink has a line
// "sk Eth Pid Groups …" for it, where Eth 0 is NETLINK_ROUTE and Pid the port, the process's own id.
func (m *Monitor) subscribed(context.Context) error {
	pid := strconv.Itoa(m.cmd.Process.Pid)
	data, err := os.ReadFile("/proc/" + pid + "/net/netlink")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		if len(f) > 3 && f[1] == "0" && f[2] == pid && strings.Trim(f[3], "0") != "" {
			return nil
		}
	}
	return errors.New("not yet")
}

func (m *Monitor) read(out io.Reader) {
	defer close(m.done)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		e, ok, err := parseEvent(lines.Text())
		m.mu.Lock()
		if ok {
			m.events = append(m.events, e)
		}
		m.err = errors.Join(m.err, err)
		m.mu.Unlock()
	}
	if err := lines.Err(); err != nil && !errors.Is(err, os.ErrClosed) {
		m.mu.Lock()
		m.err = errors.Join(m.err, err)
		m.mu.Unlock()
	}
}

// parseEvent reads one line of `ip -ts monitor route`, "[TIME] [Deleted ]ROUTE". Lines without a time continue a
// multipath route, which the lab has none of.
func parseEvent(line string) (e RouteEvent, ok bool, err error) {
	stamp, rest, found := strings.Cut(strings.TrimPrefix(line, "["), "] ")
	if !found || !strings.HasPrefix(line, "[") {
		return RouteEvent{}, false, nil
	}
	if e.At, err = time.Parse("2006-01-02T15:04:05", stamp); err != nil {
		return RouteEvent{}, false, fmt.Errorf("lab: ip monitor said %q: %w", line, err)
	}
	rest, e.Deleted = strings.CutPrefix(rest, "Deleted ")
	if e.Route, err = ParseRoute(rest); err != nil {
		return RouteEvent{}, false, err
	}
	return e, true, nil
}

// Events are all events so far.
func (m *Monitor) Events() []RouteEvent {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.events)
}

// First is the first event at or after a time that matches.
func (m *Monitor) First(since time.Time, match func(RouteEvent) bool) (RouteEvent, bool) {
	for _, e := range m.Events() {
		if !e.At.Before(since) && match(e) {
			return e, true
		}
	}
	return RouteEvent{}, false
}

// Lost lists the routes that a kernel lost for any time: deleted, whether or not they came back.
func (m *Monitor) Lost(match func(Route) bool) []RouteEvent {
	return slices.DeleteFunc(m.Events(), func(e RouteEvent) bool { return !e.Deleted || !match(e.Route) })
}

// Monitors are monitors of several nodes.
type Monitors map[*Node]*Monitor

// MonitorAll starts a monitor on every node.
func (n *Network) MonitorAll(ctx context.Context) (Monitors, error) {
	all := Monitors{}
	for _, node := range n.nodes {
		m, err := node.Monitor(ctx)
		if err != nil {
			return nil, errors.Join(err, all.Close())
		}
		all[node] = m
	}
	return all, nil
}

// Close ends all of them.
func (all Monitors) Close() error {
	var errs []error
	for node, m := range all {
		if err := m.Close(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", node.Spec.Name, err))
		}
	}
	return errors.Join(errs...)
}

// Lost lists what any of the nodes lost, in words.
func (all Monitors) Lost(match func(Route) bool) []string {
	var lost []string
	for node, m := range all {
		for _, e := range m.Lost(match) {
			lost = append(lost, node.Spec.Name+": "+e.String())
		}
	}
	return lost
}

// Close ends the monitor. The error tells that events were missed, such as an overrun of its socket: then what it
// recorded proves nothing.
func (m *Monitor) Close() error {
	if err := m.cmd.Process.Kill(); err != nil {
		return fmt.Errorf("ip monitor ended by itself: %w", errors.Join(m.cmd.Wait(), m.Err()))
	}
	<-m.done
	_ = m.cmd.Wait() // it was killed
	return m.Err()
}

// Err tells what Close would.
func (m *Monitor) Err() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}

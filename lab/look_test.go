package lab_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"routed/admin"
	"routed/lab"
)

// ask runs a command of routed on a node that answers in JSON.
func ask[T any](ctx context.Context, node *lab.Node, args ...string) (T, error) {
	answer, _, err := asked[T](ctx, node, args...)
	return answer, err
}

// asked is ask, with the exit status.
func asked[T any](ctx context.Context, node *lab.Node, args ...string) (answer T, exit int, err error) {
	out, exit, err := node.Routed(ctx, append(args, "-o", "json")...)
	if err != nil {
		return answer, exit, err
	}
	if err := json.Unmarshal([]byte(out), &answer); err != nil {
		return answer, exit, fmt.Errorf("%w: %s", err, out)
	}
	return answer, exit, nil
}

// waitStatus waits until the status of each node is as it should be.
func (m *mesh) waitStatus(t *testing.T, nodes []*lab.Node, what string, check func(*lab.Node, admin.Status) error) {
	t.Helper()
	must(t, lab.Each(m.ctx, nodes, func(ctx context.Context, node *lab.Node) error {
		return lab.WaitFor(ctx, what, func(ctx context.Context) error {
			s, err := ask[admin.Status](ctx, node, "status")
			if err != nil {
				return err
			}
			return check(node, s)
		})
	}))
}

// stays holds that something is so now, and goes on being so for as long as told.
func stays(ctx context.Context, t *testing.T, long time.Duration, check func(context.Context) error) {
	t.Helper()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for end := time.Now().Add(long); ; {
		must(t, check(ctx))
		if !time.Now().Before(end) {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal(ctx.Err())
		case <-tick.C:
		}
	}
}

// tables are what the kernels of the nodes hold of the mesh.
type tables map[*lab.Node]map[netip.Prefix]netip.Addr

func (m *mesh) tables(t *testing.T, nodes []*lab.Node) tables {
	t.Helper()
	out := tables{}
	for _, node := range nodes {
		hops, err := node.NextHops(m.ctx, lab.RoutedTable)
		must(t, err)
		out[node] = hops
	}
	return out
}

// check returns nil while the kernels hold what they held.
func (before tables) check(ctx context.Context) error {
	for node, want := range before {
		got, err := node.NextHops(ctx, lab.RoutedTable)
		if err != nil {
			return err
		}
		if len(got) != len(want) || fmt.Sprint(got) != fmt.Sprint(want) {
			return fmt.Errorf("%s holds %v, held %v", node.Spec.Name, got, want)
		}
	}
	return nil
}

// fetch gets a page that is served on a node, asked for there.
func fetch(ctx context.Context, ns lab.Namespace, url string) (string, error) {
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, addr string) (conn net.Conn, err error) {
			err = ns.Do(func() error {
				conn, err = (&net.Dialer{}).DialContext(ctx, network, addr)
				return err
			})
			return conn, err
		},
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return "", err
	}
	res, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", url, res.Status, body)
	}
	return string(body), err
}

// scrape is what a node's daemon tells Prometheus now.
func scrape(ctx context.Context, ns lab.Namespace) (string, error) {
	return fetch(ctx, ns, "http://127.0.0.1:9790/metrics")
}

// wantMetrics checks lines of what a scrape of the node gives.
func (m *mesh) wantMetrics(t *testing.T, node *lab.Node, lines ...string) {
	t.Helper()
	out, err := scrape(m.ctx, node.Namespace)
	must(t, err)
	for _, line := range lines {
		if !strings.Contains(out, "\n"+line+"\n") {
			name, _, _ := strings.Cut(line, "{")
			t.Errorf("%s: no line %s among:\n%s", node.Spec.Name, line, grep(out, name))
		}
	}
}

func grep(text, word string) string {
	var found strings.Builder
	for line := range strings.Lines(text) {
		if strings.Contains(line, word) {
			found.WriteString(line)
		}
	}
	return found.String()
}

// logged counts the lines of an event in a node's log.
func logged(t *testing.T, node *lab.Node, event string) int {
	t.Helper()
	log, err := os.ReadFile(node.RoutedLog())
	must(t, err)
	return strings.Count(grep(string(log), `"event":"`+event+`"`), "\n")
}

// reload puts the configuration that the node has now in force.
func (m *mesh) reload(t *testing.T, node *lab.Node) {
	t.Helper()
	must(t, node.WriteRoutedConfig(m.bird.Peering))
	m.hangup(t, node)
}

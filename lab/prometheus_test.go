package lab_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"routed/lab"
)

// testPrometheus has a Prometheus on one node scrape all of them, with the rules of deploy/prometheus.
func (m *mesh) testPrometheus(t *testing.T) {
	lab.Need(t, lab.Prometheus)
	p := m.startPrometheus(t, m.Node("gyliu-icp-1"), asShipped())

	want := map[string]string{} // what each daemon has
	for _, node := range m.Nodes() {
		for name, labels := range alwaysThere(documentedMetrics(t)).series() {
			want[metricsAddress(node)+" "+name] = labels
		}
	}
	must(t, lab.WaitFor(m.ctx, "every metric of six daemons", func(ctx context.Context) error {
		series, err := p.query(ctx, `{job="routed", __name__=~"routed_.+"}`)
		if err != nil {
			return err
		}
		got := map[string]string{}
		for _, s := range series {
			got[s.labels["instance"]+" "+s.name] = s.others()
		}
		if diff := cmp.Diff(want, got); diff != "" {
			return errors.New(diff)
		}
		return nil
	}))
	for expr, want := range map[string]string{
		"sum(local_cluster:routed_daemons:count)":            "6",
		"count(mesh:routed_routes_installed:ratio == 1)":     "2", // both directions
		"count(mesh:routed_cluster_nodes_up:ratio == 1)":     "2",
		"count(local_cluster:routed_bird_sessions_up:ratio)": "2",
		"count(ALERTS) or vector(0)":                         "0",
	} {
		must(t, lab.WaitFor(m.ctx, expr, func(ctx context.Context) error {
			series, err := p.query(ctx, expr)
			if err == nil && (len(series) != 1 || series[0].value != want) {
				err = fmt.Errorf("%v, want %s", series, want)
			}
			return err
		}))
	}
}

// prometheus is one that runs on a node until the test ends.
type prometheus struct{ node *lab.Node }

// tempo is how fast a Prometheus goes by the rules.
type tempo struct {
	every string                      // it scrapes and evaluates
	rules func(content string) string // what of each file of rules it is given
}

// asShipped leaves the rules as they are.
func asShipped() tempo { return tempo{"1s", func(content string) string { return content }} }

func (m *mesh) startPrometheus(t *testing.T, node *lab.Node, tempo tempo) prometheus {
	t.Helper()
	found, err := lab.Prometheus.Find()
	must(t, err)
	dir := t.TempDir()
	var rules, targets []string
	for _, name := range []string{"recording.yaml", "alerts.yaml"} {
		content := tempo.rules(readFile(t, filepath.Join("../deploy/prometheus", name)))
		rules = append(rules, filepath.Join(dir, name))
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
	}
	for _, n := range m.Nodes() {
		targets = append(targets, metricsAddress(n))
	}
	config, err := json.Marshal(map[string]any{ // which is YAML
		"global":     map[string]string{"scrape_interval": tempo.every, "evaluation_interval": tempo.every},
		"rule_files": rules,
		"scrape_configs": []any{map[string]any{
			"job_name": "routed", "static_configs": []any{map[string]any{"targets": targets}},
		}},
	})
	must(t, err)
	file := filepath.Join(dir, "prometheus.yaml")
	must(t, os.WriteFile(file, config, 0o600))
	ctx, stop := context.WithCancel(m.ctx)
	cmd := node.Command(ctx, found.Path("usr/bin/prometheus"), "--config.file="+file, "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address=127.0.0.1:9090", "--log.level=warn")
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	must(t, cmd.Start())
	t.Cleanup(func() {
		stop()
		_ = cmd.Wait() // it was killed
		if t.Failed() {
			t.Log(said.String())
		}
	})
	return prometheus{node}
}

// metricsAddress is the instance that a node's daemon is to Prometheus.
func metricsAddress(node *lab.Node) string { return node.Spec.Addr.String() + ":9790" }

// sample is one series and its value.
type sample struct {
	name   string
	labels map[string]string
	value  string
}

// others are the names of the labels that do not say where it comes from.
func (s sample) others() string {
	names := slices.Sorted(maps.Keys(s.labels))
	return strings.Join(slices.DeleteFunc(names, func(n string) bool { return n == "job" || n == "instance" }), " ")
}

// query asks for what an expression gives now (https://prometheus.io/docs/prometheus/latest/querying/api/).
func (p prometheus) query(ctx context.Context, expr string) ([]sample, error) {
	body, err := fetch(ctx, p.node.Namespace, "http://127.0.0.1:9090/api/v1/query?query="+url.QueryEscape(expr))
	if err != nil {
		return nil, err
	}
	var answer struct {
		Data struct {
			Result []struct {
				Metric map[string]string
				Value  [2]any // the time and, as text, the value
			}
		}
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		return nil, fmt.Errorf("%w: %s", err, body)
	}
	var series []sample
	for _, r := range answer.Data.Result {
		s := sample{name: r.Metric["__name__"], labels: r.Metric, value: fmt.Sprint(r.Value[1])}
		delete(s.labels, "__name__")
		series = append(series, s)
	}
	return series, nil
}

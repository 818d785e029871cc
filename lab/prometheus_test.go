package lab_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"routed/lab"
)

// contract is every metric with its labels, but those of what has not happened here: routed_reconcile_errors_total, and
// routed_roster_*, since no list comes from an API.
func contract() map[string]string {
	session := "cluster peer role"
	return map[string]string{
		"routed_build_info": "goversion revision version",

		"routed_bgp_session_up":                            session,
		"routed_bgp_session_established_timestamp_seconds": session,
		"routed_bgp_session_flaps_total":                   session,

		"routed_bgp_prefixes":                "cluster direction family",
		"routed_bgp_prefixes_rejected_total": "cluster reason",
		"routed_prefix_limit":                "cluster scope",
		"routed_prefix_limit_used":           "cluster scope",

		"routed_cluster_nodes":    "cluster state",
		"routed_cluster_blocks":   "cluster family state",
		"routed_block_conflicts":  "cluster",
		"routed_withdrawals_held": "cluster",

		"routed_routes":              "cluster family state",
		"routed_rules":               "state",
		"routed_route_repairs_total": "cause",
		"routed_route_changes_total": "op",

		"routed_reconcile_duration_seconds_bucket": "kind le",
		"routed_reconcile_duration_seconds_sum":    "kind",
		"routed_reconcile_duration_seconds_count":  "kind",
		"routed_convergence_seconds_bucket":        "le",
		"routed_convergence_seconds_sum":           "",
		"routed_convergence_seconds_count":         "",

		"routed_last_successful_resync_timestamp_seconds":     "",
		"routed_resync_interval_seconds":                      "",
		"routed_netlink_overruns_total":                       "",
		"routed_guard_active":                                 "",
		"routed_guard_wanted":                                 "",
		"routed_host_checks":                                  "check result",
		"routed_config_last_reload_successful":                "",
		"routed_config_last_reload_success_timestamp_seconds": "",
	}
}

// testPrometheus has a Prometheus on one node scrape all of them, with the rules of deploy/prometheus.
func (m *mesh) testPrometheus(t *testing.T) {
	lab.Need(t, lab.Prometheus)
	p := m.startPrometheus(t, m.Node("gyliu-icp-1"))

	want := map[string]string{} // what each daemon has
	for _, node := range m.Nodes() {
		for name, labels := range contract() {
			want[fmt.Sprintf("%s:9790 %s", node.Spec.Addr, name)] = labels
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
type prometheus struct {
	node  *lab.Node
	found lab.Found
}

func (m *mesh) startPrometheus(t *testing.T, node *lab.Node) prometheus {
	t.Helper()
	found, err := lab.Prometheus.Find()
	must(t, err)
	rules, err := filepath.Abs("../deploy/prometheus")
	must(t, err)
	var targets []string
	for _, n := range m.Nodes() {
		targets = append(targets, n.Spec.Addr.String()+":9790")
	}
	config, err := json.Marshal(map[string]any{ // which is YAML
		"global":     map[string]string{"scrape_interval": "1s", "evaluation_interval": "1s"},
		"rule_files": []string{filepath.Join(rules, "recording.yaml"), filepath.Join(rules, "alerts.yaml")},
		"scrape_configs": []any{map[string]any{
			"job_name": "routed", "static_configs": []any{map[string]any{"targets": targets}},
		}},
	})
	must(t, err)
	dir := t.TempDir()
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
	return prometheus{node, found}
}

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

var (
	sampleLine  = regexp.MustCompile(`(?m)^([a-z_:]*)(?:\{(.*)\})? => (\S+)`)
	sampleLabel = regexp.MustCompile(`([a-z_]+)="([^"]*)"`)
)

func (p prometheus) query(ctx context.Context, expr string) ([]sample, error) {
	out, err := p.node.Command(ctx, p.found.Path("usr/bin/promtool"), "query", "instant", "http://127.0.0.1:9090", expr).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	var series []sample
	for _, m := range sampleLine.FindAllStringSubmatch(string(out), -1) {
		s := sample{name: m[1], labels: map[string]string{}, value: m[3]}
		for _, l := range sampleLabel.FindAllStringSubmatch(m[2], -1) {
			s.labels[l[1]] = l[2]
		}
		series = append(series, s)
	}
	return series, nil
}

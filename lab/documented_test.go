package lab_test

import (
	"context"
	"errors"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"routed/lab"
)

// metricDoc is a metric as docs/metrics.md has it.
type metricDoc struct {
	kind   string // gauge, counter, histogram
	labels string // sorted
}

// metricsPage is every metric of docs/metrics.md.
type metricsPage map[string]metricDoc

func documentedMetrics(t *testing.T) metricsPage {
	t.Helper()
	row := regexp.MustCompile("(?m)^\\| `(routed_[a-z0-9_]+)` \\| ([a-z]+) \\| ([^|]+) \\|")
	word := regexp.MustCompile("`([a-z0-9_]+)`")
	page := metricsPage{}
	for _, r := range row.FindAllStringSubmatch(readFile(t, "../docs/metrics.md"), -1) {
		var labels []string
		for _, l := range word.FindAllStringSubmatch(r[3], -1) {
			labels = append(labels, l[1])
		}
		slices.Sort(labels)
		page[r[1]] = metricDoc{kind: r[2], labels: strings.Join(labels, " ")}
	}
	if len(page) < 20 {
		t.Fatalf("docs/metrics.md has no table of metrics: %v", page)
	}
	return page
}

// alwaysThere leaves out what needs something to have happened, or to be configured.
func alwaysThere(page metricsPage) metricsPage {
	page = maps.Clone(page)
	maps.DeleteFunc(page, func(name string, _ metricDoc) bool {
		return name == "routed_reconcile_errors_total" || strings.HasPrefix(name, "routed_roster_") ||
			strings.HasPrefix(name, "routed_probe_") || name == "routed_path_mtu_bytes" || name == "routed_pod_mtu_bytes"
	})
	return page
}

// series are the names under which Prometheus keeps the metrics, with their labels.
func (page metricsPage) series() map[string]string {
	out := map[string]string{}
	for name, m := range page {
		if m.kind != "histogram" {
			out[name] = m.labels
			continue
		}
		out[name+"_sum"], out[name+"_count"] = m.labels, m.labels
		out[name+"_bucket"] = strings.TrimSpace(m.labels + " le")
	}
	return out
}

// scraped are the metrics of routed in a scrape; each series of one must have the same labels.
func scraped(text string) (metricsPage, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		return nil, err
	}
	page := metricsPage{}
	for name, family := range families {
		if !strings.HasPrefix(name, "routed_") {
			continue
		}
		if family.GetHelp() == "" {
			return nil, errors.New(name + " has no help")
		}
		for _, m := range family.GetMetric() {
			got := metricDoc{kind: strings.ToLower(family.GetType().String()), labels: labelNames(m)}
			if before, known := page[name]; known && before != got {
				return nil, errors.New(name + " has series of different labels: " + before.labels + "; " + got.labels)
			}
			page[name] = got
		}
	}
	return page, nil
}

func labelNames(m *dto.Metric) string {
	var names []string
	for _, l := range m.GetLabel() {
		names = append(names, l.GetName())
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// wantDocumented checks that a node of which everything is used, and to which everything has happened, tells what the
// documentation says, with these labels, and nothing else; and that promtool has nothing to say to that.
func (m *mesh) wantDocumented(t *testing.T, node *lab.Node) {
	t.Helper()
	want := documentedMetrics(t)
	var page string
	_, err := lab.Within(m.ctx, noticeLimit, "what docs/metrics.md says (-) to be in a scrape (+)", func(ctx context.Context) (err error) {
		if page, err = scrape(ctx, node.Namespace); err != nil {
			return err
		}
		got, err := scraped(page)
		if diff := cmp.Diff(map[string]metricDoc(want), map[string]metricDoc(got), cmp.AllowUnexported(metricDoc{})); err == nil && diff != "" {
			err = errors.New(diff)
		}
		return err
	})
	must(t, err)
	found, err := lab.Prometheus.Find()
	must(t, err)
	cmd := node.Command(m.ctx, found.Path(lab.Prometheus.Program), "check", "metrics")
	cmd.Stdin = strings.NewReader(page)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}

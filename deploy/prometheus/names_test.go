package prometheus

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// rule is an alerting or a recording rule.
type rule struct {
	Record      string            `yaml:"record,omitempty"`
	Alert       string            `yaml:"alert,omitempty"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for,omitempty"`
	Labels      map[string]string `yaml:"labels,omitempty"`
	Annotations map[string]string `yaml:"annotations,omitempty"`
}

// rules reads both files.
func rules(t *testing.T) []rule {
	t.Helper()
	var all []rule
	for _, file := range []string{"recording.yaml", "alerts.yaml"} {
		var content struct {
			Groups []struct {
				Name  string
				Rules []rule
			}
		}
		readYAML(t, file, &content)
		for _, g := range content.Groups {
			all = append(all, g.Rules...)
		}
	}
	return all
}

func readYAML(t *testing.T, file string, into any) {
	t.Helper()
	if err := yaml.UnmarshalWithOptions([]byte(read(t, file)), into, yaml.Strict()); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// known is what an expression may use: the series of a scrape, and what the recording rules make of them.
type known struct {
	series  map[string][]map[string]string // name to the labels of each series
	records map[string]bool
	labels  map[string]bool
}

func newKnown(t *testing.T) known {
	t.Helper()
	k := known{series: map[string][]map[string]string{}, records: map[string]bool{}, labels: map[string]bool{}}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(scrape(t)))
	if err != nil {
		t.Fatal(err)
	}
	for name, family := range families {
		for _, m := range family.GetMetric() {
			series := map[string]string{"job": "routed", "instance": "9.111.255.21:9790"}
			for _, l := range m.GetLabel() {
				series[l.GetName()] = l.GetValue()
				k.labels[l.GetName()] = true
			}
			for _, suffix := range suffixes(m.GetHistogram() != nil) {
				k.series[name+suffix] = append(k.series[name+suffix], series)
			}
		}
	}
	k.series["up"] = []map[string]string{{"job": "routed", "instance": "9.111.255.21:9790"}}
	for _, l := range []string{"job", "instance", "local_cluster", "le"} {
		k.labels[l] = true
	}
	for _, r := range rules(t) {
		if r.Record != "" {
			k.records[r.Record] = true
		}
	}
	return k
}

func suffixes(histogram bool) []string {
	if histogram {
		return []string{"_bucket", "_sum", "_count"}
	}
	return []string{""}
}

var (
	selector = regexp.MustCompile(`\b([a-z_0-9]+:)?(routed_[a-z_0-9]+|up|(?:go|process)_[a-z_0-9]+)(:[a-z_0-9]+)?(?:\{([^}]*)\})?`)
	matcher  = regexp.MustCompile(`([a-z_]+)\s*(=~|!~|!=|=)\s*"([^"]*)"`)
	grouping = regexp.MustCompile(`\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)`)
	quoted   = regexp.MustCompile(`"[^"]*"`)
)

// problems are what the expression uses that nobody provides.
func (k known) problems(expr string) []string {
	var out []string
	bare := quoted.ReplaceAllStringFunc(expr, func(s string) string { return `"` + strings.Repeat(" ", len(s)-2) + `"` })
	for _, at := range selector.FindAllStringSubmatchIndex(bare, -1) {
		name, matchers := bare[at[0]:at[1]], ""
		if at[8] >= 0 {
			name, matchers = bare[at[0]:at[8]-1], expr[at[8]:at[9]]
		}
		switch {
		case grouped(bare, at[0]):
		case strings.Contains(name, ":"):
			if !k.records[name] {
				out = append(out, "no rule records "+name)
			}
			for _, m := range matcher.FindAllStringSubmatch(matchers, -1) {
				if !k.labels[m[1]] {
					out = append(out, "nothing has a label "+m[1])
				}
			}
		case !slices.ContainsFunc(k.series[name], func(s map[string]string) bool { return matches(s, matchers) }):
			out = append(out, fmt.Sprintf("the exporter has no %s{%s}", name, matchers))
		}
	}
	for _, g := range grouping.FindAllStringSubmatch(bare, -1) {
		for label := range strings.FieldsFuncSeq(g[1], func(r rune) bool { return r == ',' || r == ' ' }) {
			if !k.labels[label] {
				out = append(out, "nothing has a label "+label)
			}
		}
	}
	return out
}

// grouped says whether the position is within a list of labels, whose names may look like those of metrics.
func grouped(expr string, at int) bool {
	return slices.ContainsFunc(grouping.FindAllStringSubmatchIndex(expr, -1), func(g []int) bool { return g[2] <= at && at < g[3] })
}

// matches says whether the series has every label that is matched, and the values.
func matches(series map[string]string, matchers string) bool {
	for _, m := range matcher.FindAllStringSubmatch(matchers, -1) {
		value, ok := series[m[1]]
		full := regexp.MustCompile("^(?:" + m[3] + ")$")
		switch {
		case !ok && m[1] != "local_cluster",
			m[2] == "=" && value != m[3], m[2] == "!=" && value == m[3],
			m[2] == "=~" && !full.MatchString(value), m[2] == "!~" && full.MatchString(value):
			return false
		}
	}
	return true
}

func TestRulesUseWhatThereIs(t *testing.T) {
	k := newKnown(t)
	for _, r := range rules(t) {
		for _, p := range k.problems(r.Expr) {
			t.Errorf("%s%s: %s", r.Record, r.Alert, p)
		}
	}
}

// The search for what is missing finds it.
func TestWhatIsMissingIsFound(t *testing.T) {
	k := newKnown(t)
	for _, expr := range []string{
		`routed_no_such_metric`, `routed_routes{state="lost"}`, `routed_routes{colour="red"}`, `routed_routes{state=~"wante"}`,
		`sum by (colour) (routed_routes)`, `mesh:routed_no_such:sum`, `mesh:routed_routes:sum{colour="red"}`, `rate(go_no_such[5m])`,
	} {
		if len(k.problems(expr)) == 0 {
			t.Errorf("nothing is wrong with %s", expr)
		}
	}
}

// Somebody who is woken finds where, why and what to do.
func TestEveryAlertIsCompleteAndTested(t *testing.T) {
	var tests struct {
		RuleFiles          []string `yaml:"rule_files"`
		EvaluationInterval string   `yaml:"evaluation_interval"`
		Tests              []struct {
			Name, Interval string
			InputSeries    []any `yaml:"input_series"`
			Alerts         []struct {
				Alertname string
				EvalTime  string `yaml:"eval_time"`
				Expected  []any  `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
			Expressions []any `yaml:"promql_expr_test"`
		}
	}
	readYAML(t, "alerts_test.yaml", &tests)
	fires, silent := map[string]bool{}, map[string]bool{}
	for _, one := range tests.Tests {
		for _, a := range one.Alerts {
			if len(a.Expected) > 0 {
				fires[a.Alertname] = true
			} else {
				silent[a.Alertname] = true
			}
		}
	}
	runbooks := anchors(read(t, "../../docs/runbooks.md"))
	for _, r := range rules(t) {
		if r.Alert == "" {
			continue
		}
		if !fires[r.Alert] || !silent[r.Alert] {
			t.Errorf("%s: tested that it fires: %t, that it does not: %t", r.Alert, fires[r.Alert], silent[r.Alert])
		}
		if s := r.Labels["severity"]; s != "critical" && s != "warning" {
			t.Errorf("%s: severity %q", r.Alert, s)
		}
		text := r.Annotations["description"]
		if r.Annotations["summary"] == "" || text == "" ||
			r.Alert != "RoutedAbsent" && !strings.Contains(text, "{{ $labels.instance }}") ||
			strings.Contains(r.Expr, "routed_") && !strings.Contains(text, "cluster }}") {
			t.Errorf("%s: no summary, or a description that names no instance or no cluster: %v", r.Alert, r.Annotations)
		}
		file, anchor, _ := strings.Cut(r.Annotations["runbook_url"], "#")
		if file != "docs/runbooks.md" || !runbooks[anchor] {
			t.Errorf("%s: docs/runbooks.md has no heading for %s", r.Alert, r.Annotations["runbook_url"])
		}
		delete(runbooks, anchor)
	}
	for anchor := range runbooks {
		if strings.HasPrefix(anchor, "routed") {
			t.Errorf("docs/runbooks.md has #%s for an alert that there is not", anchor)
		}
	}
}

// anchors are the headings of a page as links name them.
func anchors(page string) map[string]bool {
	out := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(page, -1) {
		out[strings.ReplaceAll(strings.ToLower(m[1]), " ", "-")] = true
	}
	return out
}

package prometheus

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// dashboard is what the test looks at of Grafana's schema.
type dashboard struct {
	UID           string `json:"uid"`
	Title         string
	SchemaVersion int
	Links         []struct{ URL string }
	Templating    struct {
		List []struct {
			Name, Type, Definition string
			Datasource             source
		}
	}
	Panels []panel
}

type source struct {
	Type string
	UID  string `json:"uid"`
}

type panel struct {
	ID          int
	Type, Title string
	Datasource  source
	GridPos     struct{ X, Y, W, H int }
	Targets     []struct {
		RefID      string
		Expr       string
		Datasource source
	}
	Panels []panel
}

func dashboards(t *testing.T) map[string]dashboard {
	t.Helper()
	files, err := filepath.Glob("dashboards/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d dashboards, %v", len(files), err)
	}
	out := map[string]dashboard{}
	for _, file := range files {
		var d dashboard
		if err := json.Unmarshal([]byte(read(t, file)), &d); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		out[file] = d
	}
	return out
}

var (
	variable    = regexp.MustCompile(`\$\{?([a-z_]+)\}?`)
	labelValues = regexp.MustCompile(`^label_values\((.+), ([a-z_]+)\)$`)
)

// expressions are what the dashboard asks Prometheus, as it does when a viewer selects everything.
func (d dashboard) expressions() []string {
	var out []string
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			out = append(out, target.Expr)
		}
	}
	for _, v := range d.Templating.List {
		if m := labelValues.FindStringSubmatch(v.Definition); m != nil {
			out = append(out, fmt.Sprintf("count by (%s) (%s)", m[2], m[1]))
		}
	}
	for i, expr := range out {
		out[i] = variable.ReplaceAllString(strings.ReplaceAll(expr, "$__rate_interval", "5m"), ".*")
	}
	return out
}

func TestDashboards(t *testing.T) {
	k := newKnown(t)
	all := dashboards(t)
	uids := map[string]bool{}
	for _, d := range all {
		uids[d.UID] = true
	}
	if len(uids) != len(all) || uids[""] {
		t.Errorf("uids are not unique: %v", uids)
	}
	for file, d := range all {
		if d.Title == "" || d.SchemaVersion < 39 || len(d.Panels) == 0 {
			t.Errorf("%s: title %q, schema %d, %d panels", file, d.Title, d.SchemaVersion, len(d.Panels))
		}
		for _, l := range d.Links {
			if !uids[strings.TrimPrefix(l.URL, "/d/")] {
				t.Errorf("%s: nothing at %s", file, l.URL)
			}
		}
		for _, expr := range d.expressions() {
			for _, p := range k.problems(expr) {
				t.Errorf("%s: %s: %s", file, expr, p)
			}
		}
		d.checkVariables(t, file)
		d.checkPanels(t, file)
	}
}

// checkVariables: whoever imports the dashboard chooses the source, the clusters and the node, and nothing is undefined.
func (d dashboard) checkVariables(t *testing.T, file string) {
	t.Helper()
	defined := []string{}
	for _, v := range d.Templating.List {
		if v.Type != "datasource" && (v.Datasource.UID != "${datasource}" || !labelValues.MatchString(v.Definition)) {
			t.Errorf("%s: variable %s asks %v %q", file, v.Name, v.Datasource, v.Definition)
		}
		defined = append(defined, v.Name)
	}
	used := variable.FindAllStringSubmatch(read(t, file), -1)
	for _, m := range used {
		if !strings.HasPrefix(m[1], "__") && !slices.Contains(defined, m[1]) {
			t.Errorf("%s: $%s is used and not defined", file, m[1])
		}
	}
	for _, name := range defined {
		if !slices.ContainsFunc(used, func(m []string) bool { return m[1] == name }) {
			t.Errorf("%s: $%s is defined and not used", file, name)
		}
	}
}

func (d dashboard) checkPanels(t *testing.T, file string) {
	t.Helper()
	ids := map[int]bool{}
	for i, p := range d.Panels {
		if ids[p.ID] || p.Title == "" || p.GridPos.W < 1 || p.GridPos.X+p.GridPos.W > 24 || p.GridPos.H < 1 || len(p.Panels) > 0 {
			t.Errorf("%s: panel %d %q at %v", file, p.ID, p.Title, p.GridPos)
		}
		ids[p.ID] = true
		for _, q := range d.Panels[:i] {
			if a, b := p.GridPos, q.GridPos; a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
				t.Errorf("%s: %q covers %q", file, p.Title, q.Title)
			}
		}
		if p.Type == "row" {
			continue
		}
		if len(p.Targets) == 0 || p.Datasource.UID != "${datasource}" {
			t.Errorf("%s: %q asks nothing, or not the chosen source", file, p.Title)
		}
		for _, target := range p.Targets {
			if target.Expr == "" || target.RefID == "" || target.Datasource.UID != "${datasource}" {
				t.Errorf("%s: %q: %+v", file, p.Title, target)
			}
		}
	}
}

// Prometheus takes every expression of the dashboards: as recording rules they are valid.
func TestExpressionsOfDashboards(t *testing.T) {
	t.Parallel()
	var all []rule
	for _, d := range dashboards(t) {
		for _, expr := range d.expressions() {
			all = append(all, rule{Record: fmt.Sprintf("expression_%d", len(all)), Expr: expr})
		}
	}
	type group struct {
		Name  string `yaml:"name"`
		Rules []rule `yaml:"rules"`
	}
	data, err := yaml.Marshal(map[string][]group{"groups": {{Name: "dashboards", Rules: all}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "expressions.yaml")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "", "check", "rules", file)
}

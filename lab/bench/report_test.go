package main

import (
	"math"
	"strings"
	"testing"
)

func TestFigure(t *testing.T) {
	for want, v := range map[string]float64{
		"–": math.NaN(), "0.012": 0.0123, "1.23": 1.234, "12.3": 12.34, "123": 123.4, "0.000": 0, "100": 99.96 + 0.04,
	} {
		if got := figure(v); got != want {
			t.Errorf("%g is shown as %s, want %s", v, got, want)
		}
	}
}

func TestThousands(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 100_000: "100,000", 1_002_003: "1,002,003"} {
		if got := thousands(n); got != want {
			t.Errorf("%d is shown as %s, want %s", n, got, want)
		}
	}
}

// The tables have as many cells in each line, those who were not measured are left out, and the ratio is routed's.
func TestTables(t *testing.T) {
	r := good()
	b := &bench{results: r, options: options{routes: testLarge, few: testSmall}}
	b.competitors = []competitor{{id: "routed", name: "routed"}, {id: "bird1.6", name: "BIRD 1"}, {id: "bird2", name: "BIRD 2"}, {id: "frr", name: "FRR"}}
	var s strings.Builder
	b.writePart(&s, partInstall)
	text := s.String()
	if strings.Contains(text, "BIRD 1 |") {
		t.Error("a column for a competitor without results:\n" + text)
	}
	if !strings.Contains(text, "| 1 % to 99 % of the routes, s | 10,000 | 1.10 | 1.00 | 2.00 | 1.10 | 0.550 |") {
		t.Error("no line with the ratios:\n" + text)
	}
	var cells []int
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "|") {
			cells = append(cells, strings.Count(line, "|"))
		}
	}
	for _, n := range cells {
		if n != cells[0] {
			t.Errorf("cells a line: %v", cells)
		}
	}
	s.Reset()
	if b.writePart(&s, partFlush); s.Len() > 0 {
		t.Error("a table of nothing: " + s.String())
	}
}

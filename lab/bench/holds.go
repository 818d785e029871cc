package main

import (
	"fmt"
	"math"
)

// hold is one of the promises about speed, and what was seen of it.
type hold struct {
	text   string
	value  float64 // NaN: not measured
	limit  float64
	strict bool // less than the limit, not at most
	unit   string
	beside string // what others did
}

func (h hold) measured() bool { return !math.IsNaN(h.value) }

func (h hold) held() bool {
	if h.strict {
		return h.value < h.limit
	}
	return h.value <= h.limit
}

func (h hold) String() string {
	verdict := "not measured"
	if h.measured() {
		verdict = "**not held**"
		if h.held() {
			verdict = "held"
		}
		verdict = fmt.Sprintf("%s%s: %s", figure(h.value), h.unit, verdict)
	}
	sign := "<="
	if h.strict {
		sign = "<"
	}
	if h.beside != "" {
		verdict += "; " + h.beside
	}
	return fmt.Sprintf("%s %s %g%s | %s", h.text, sign, h.limit, h.unit, verdict)
}

// holds judges the results of a run with a large and a small table.
func holds(r *results, large, small int) []hold {
	const us, bird2, frr = "routed", "bird2", "frr"
	median := func(m metric, of string) float64 { return r.of(m, of).median() }
	ratio := func(m metric, other string) float64 { return median(m, us) / median(m, other) }
	all := []hold{
		{text: "(a) 1 % to 99 %, to BIRD 2's", value: ratio(metricMiddle(large), bird2), limit: 1.1, unit: "x"},
		{text: "(a) 1 % to 99 %, to FRR's", value: ratio(metricMiddle(large), frr), limit: 0.6, strict: true, unit: "x"},
		{text: "(a) peak memory, to FRR's", value: ratio(metricPeak(large), frr), limit: 1, unit: "x"},
	}
	for _, size := range []int{small, large} {
		one := r.of(metricRepairOne(size), us)
		at := " at " + thousands(size)
		all = append(all,
			hold{text: "(b) one deleted" + at + ", median", value: one.median(), limit: 1, strict: true, unit: " ms"},
			hold{text: "(b) one deleted" + at + ", 99th percentile", value: one.quantile(0.99), limit: 5, strict: true, unit: " ms"})
	}
	all = append(all,
		hold{
			text:  "(b) all deleted at " + thousands(large) + ", to its own first install",
			value: median(metricRepairAll(large), us) / median(metricBefore(large), us), limit: 2, unit: "x",
		},
		hold{
			text:  fmt.Sprintf("(c) one more block at %s, to that at %s", thousands(large), thousands(small)),
			value: median(metricBlock(large), us) / median(metricBlock(small), us), limit: 1.5, unit: "x",
		})
	for _, size := range []int{small, large} {
		all = append(all, hold{
			text:  "(d) link up to the last route at " + thousands(size) + ", to BIRD 2's",
			value: ratio(metricLink(size), bird2), limit: 1, unit: "x",
		})
	}
	return append(all, hold{
		text: "(f) idle processor time at " + thousands(large), value: median(metricIdleCPU(large), us),
		limit: 0.2, strict: true, unit: " % of a core",
	})
}

package main

import (
	"strings"
	"testing"
)

const testLarge, testSmall = 10_000, 1_000

// good are results that hold everything, with nothing to spare where that is allowed.
func good() *results {
	r := newResults()
	r.add(metricMiddle(testLarge), "routed", 1.1)
	r.add(metricMiddle(testLarge), "bird2", 1.0)
	r.add(metricMiddle(testLarge), "frr", 2.0)
	r.add(metricPeak(testLarge), "routed", 150)
	r.add(metricPeak(testLarge), "frr", 150)
	for _, size := range []int{testSmall, testLarge} {
		r.add(metricRepairOne(size), "routed", 0.5, 0.6, 4.9)
		r.add(metricLink(size), "routed", 20)
		r.add(metricLink(size), "bird2", 20)
	}
	r.add(metricRepairAll(testLarge), "routed", 2)
	r.add(metricBefore(testLarge), "routed", 1)
	r.add(metricBlock(testSmall), "routed", 2)
	r.add(metricBlock(testLarge), "routed", 3)
	r.add(metricIdleCPU(testLarge), "routed", 0.19)
	return r
}

func TestHolds(t *testing.T) {
	for _, h := range holds(good(), testLarge, testSmall) {
		if !h.measured() || !h.held() || !strings.Contains(h.String(), ": held") {
			t.Errorf("not held: %s", h)
		}
	}
}

// Each of the promises is broken alone, by the measurement that it is about.
func TestHoldsBroken(t *testing.T) {
	for promise, broken := range map[string]struct {
		m   metric
		of  string
		to  float64
		all int // promises that this breaks
	}{
		"1 % to 99 %, to BIRD 2's": {metricMiddle(testLarge), "bird2", 0.9, 1},
		"1 % to 99 %, to FRR's":    {metricMiddle(testLarge), "frr", 1.1 / 0.6, 1},
		"peak memory":              {metricPeak(testLarge), "frr", 149, 1},
		"at 1,000, median":         {metricRepairOne(testSmall), "routed", 1, 1},
		"at 10,000, 99th":          {metricRepairOne(testLarge), "routed", 5, 2},
		"all deleted":              {metricBefore(testLarge), "routed", 0.9, 1},
		"one more block":           {metricBlock(testLarge), "routed", 3.1, 1},
		"last route at 1,000":      {metricLink(testSmall), "bird2", 19, 1},
		"idle processor time":      {metricIdleCPU(testLarge), "routed", 0.2, 1},
	} {
		r := good()
		r.data[broken.m][broken.of] = samples{broken.to}
		found, count := false, 0
		for _, h := range holds(r, testLarge, testSmall) {
			if !h.held() {
				count++
				found = found || strings.Contains(h.text, promise)
			}
		}
		if !found || count != broken.all {
			t.Errorf("%s: found %t, %d are broken, want %d", promise, found, count, broken.all)
		}
	}
}

func TestHoldsOfNothing(t *testing.T) {
	for _, h := range holds(newResults(), testLarge, testSmall) {
		if h.measured() || !strings.HasSuffix(h.String(), "not measured") {
			t.Errorf("measured: %s", h)
		}
	}
}

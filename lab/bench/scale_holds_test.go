package main

import (
	"strings"
	"testing"
)

// goodScale are results of many sessions and of reflectors that hold everything, with nothing to spare where that is allowed.
func goodScale() *results {
	r := newResults()
	for n, promise := range sessionPromises() {
		r.add(metricSessionsRoutes(n), "routed", promise.seconds-0.1, promise.seconds-0.2)
		r.add(metricSessionsRoutes(n), "bird2", 2)
		r.add(metricSessionsLost(n), "routed", 0, 0)
		r.add(metricSessionsPeak(n), "routed", promise.megabytes-1)
	}
	r.add(metricReflected(testLarge), "routed", 1.2)
	r.add(metricReflected(testLarge), "bird2", 1)
	r.add(metricReflectedPeak(testLarge), "routed", 199)
	for i := range 2 {
		r.add(metricReflectedLost(testLarge, i+1), "routed", 0)
	}
	r.add(metricAnswer("/metrics", testLarge), "routed", 49)
	r.add(metricRepairQuiet("/metrics", testLarge), "routed", 0.1)
	r.add(metricRepairAsked("/metrics", testLarge), "routed", 0.2)
	return r
}

func scaleHolds(r *results) (all []hold) {
	for n := range sessionPromises() {
		all = append(all, sessionHolds(r, n)...)
	}
	return append(append(all, reflectorHolds(r, testLarge)...), scrapeHolds(r, testLarge)...)
}

func TestScaleHolds(t *testing.T) {
	all := scaleHolds(goodScale())
	if len(all) != 11 {
		t.Errorf("%d promises: %v", len(all), all)
	}
	for _, h := range all {
		if !h.measured() || !h.held() {
			t.Errorf("not held: %s", h)
		}
	}
}

// Each of the promises is broken alone, by one run of several.
func TestScaleHoldsBroken(t *testing.T) {
	for promise, broken := range map[string]struct {
		m  metric
		to float64
	}{
		"200 sessions and their routes":          {metricSessionsRoutes(200), 5},
		"1,000 sessions and their routes":        {metricSessionsRoutes(1000), 20},
		"200 sessions, peak memory":              {metricSessionsPeak(200), 120},
		"200 sessions, routes lost":              {metricSessionsLost(200), 1},
		"1,000 sessions, routes lost":            {metricSessionsLost(1000), 1},
		"first byte to all installed":            {metricReflected(testLarge), 1.3},
		"two reflectors, peak memory":            {metricReflectedPeak(testLarge), 200},
		"two reflectors, lost with 1":            {metricReflectedLost(testLarge, 1), 1},
		"routes of two reflectors, lost with 2 ": {metricReflectedLost(testLarge, 2), 1},
		"a scrape":                               {metricAnswer("/metrics", testLarge), 50},
		"while somebody scrapes":                 {metricRepairAsked("/metrics", testLarge), 0.21},
	} {
		r := goodScale()
		r.data[broken.m]["routed"] = samples{broken.to}
		var notHeld []hold
		for _, h := range scaleHolds(r) {
			if !h.held() {
				notHeld = append(notHeld, h)
			}
		}
		if len(notHeld) != 1 || !strings.Contains(notHeld[0].text+" ", promise) {
			t.Errorf("%s: broken are %v", promise, notHeld)
		}
	}
}

// What the others did stands beside the verdict, and sizes without a promise have none.
func TestScaleHoldsBeside(t *testing.T) {
	r := goodScale()
	if text := sessionHolds(r, 200)[0].String(); !strings.HasSuffix(text, "< 5 s | 4.90 s: held; BIRD 2 2.00 s") {
		t.Error(text)
	}
	if all := sessionHolds(r, 300); len(all) > 0 {
		t.Errorf("promises about 300 sessions: %v", all)
	}
}

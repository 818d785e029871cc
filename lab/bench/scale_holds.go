package main

import (
	"fmt"
	"strings"
)

// sessionPromise is what must hold with a number of sessions; 0: nothing is promised.
type sessionPromise struct{ seconds, megabytes float64 }

func sessionPromises() map[int]sessionPromise {
	return map[int]sessionPromise{
		200:   {seconds: 5, megabytes: 120},
		1_000: {seconds: 20},
	}
}

// sessionHolds judges the results of sessions with n nodes.
func sessionHolds(r *results, n int) []hold {
	promise, promised := sessionPromises()[n]
	if !promised {
		return nil
	}
	at := fmt.Sprintf("(g) %s sessions", thousands(n))
	all := []hold{
		absoluteHold(r, at+" and their routes, from a cold start", metricSessionsRoutes(n), promise.seconds, true),
		absoluteHold(r, at+", routes lost when all are lost at once", metricSessionsLost(n), 0, false),
	}
	if promise.megabytes > 0 {
		all = append(all, absoluteHold(r, at+", peak memory of a cold start", metricSessionsPeak(n), promise.megabytes, true))
	}
	return all
}

// reflectorHolds judges the results of two reflectors.
func reflectorHolds(r *results, routes int) []hold {
	at := fmt.Sprintf("(h) %s routes of two reflectors", thousands(routes))
	converged := metricReflected(routes)
	ratio := hold{
		text: at + ", first byte to all installed, to BIRD 2's", limit: 1.2, unit: "x", beside: beside(r, converged),
		value: r.of(converged, "routed").median() / r.of(converged, "bird2").median(),
	}
	all := []hold{ratio, absoluteHold(r, at+", peak memory", metricReflectedPeak(routes), 200, true)}
	for i := range 2 {
		all = append(all, absoluteHold(r, fmt.Sprintf("%s, lost with %d of them", at, i+1), metricReflectedLost(routes, i+1), 0, false))
	}
	return all
}

// absoluteHold promises a value of routed's own: every run must hold it.
func absoluteHold(r *results, text string, m metric, limit float64, strict bool) hold {
	return hold{
		text: text, value: r.of(m, "routed").max(), limit: limit, strict: strict, unit: " " + string(m.unit), beside: beside(r, m),
	}
}

// beside is what the others did.
func beside(r *results, m metric) string {
	var words []string
	for _, other := range []column{{"bird2", "BIRD 2"}, {"frr", "FRR"}} {
		if of := r.of(m, other.id); len(of) > 0 {
			words = append(words, fmt.Sprintf("%s %s %s", other.name, figure(of.median()), m.unit))
		}
	}
	return strings.Join(words, ", ")
}

// scrapeHolds judges what it costs to look on. A repair may take longer by what the processor does at the same time, not by
// waiting for an answer's end.
func scrapeHolds(r *results, routes int) []hold {
	const us, scrape = "routed", "/metrics"
	answer := r.of(metricAnswer(scrape, routes), us)
	return []hold{
		{text: "(i) a scrape, 99th percentile", value: answer.quantile(0.99), limit: 50, strict: true, unit: " ms"},
		{
			text:  "(i) one deleted while somebody scrapes all the time, to that while nobody does",
			value: r.of(metricRepairAsked(scrape, routes), us).median() / r.of(metricRepairQuiet(scrape, routes), us).median(),
			limit: 2, unit: "x",
		},
	}
}

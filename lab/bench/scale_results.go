package main

import "fmt"

// The metrics of many sessions and of reflectors: what make bench-scale measures.

func ofSessions(n int, what string, u unit) metric {
	return metric{part: partSessions, what: fmt.Sprintf("%s sessions: %s", thousands(n), what), size: n * blocksPerNode, unit: u}
}

func metricSessionsUp(n int) metric { return ofSessions(n, "start to all up", seconds) }

func metricSessionsRoutes(n int) metric {
	return ofSessions(n, "start to all up and all routes installed", seconds)
}

func metricSessionsPeak(n int) metric { return ofSessions(n, "peak memory", megabytes) }

func metricSessionsCPU(n int) metric { return ofSessions(n, "processor time until then", seconds) }

func metricSessionsIdle(n int) metric { return ofSessions(n, "idle processor time", percent) }

func metricSessionsRSS(n int) metric { return ofSessions(n, "resident memory", megabytes) }

func metricSessionsBack(n int) metric {
	return ofSessions(n, "all lost at once, until all are back", seconds)
}

func metricSessionsLost(n int) metric { return ofSessions(n, "lost meanwhile", routesLost) }

func metricSessionsPeakAfter(n int) metric {
	return ofSessions(n, "peak memory after that", megabytes)
}

func ofReflectors(routes int, what string, u unit) metric {
	return metric{part: partReflectors, what: what, size: routes, unit: u}
}

func metricReflected(routes int) metric {
	return ofReflectors(routes, "first byte to all routes installed", seconds)
}

func metricReflectedPeak(routes int) metric { return ofReflectors(routes, "peak memory", megabytes) }

func metricReflectedRSS(routes int) metric {
	return ofReflectors(routes, "resident memory", megabytes)
}

func metricReflectedCPU(routes int) metric { return ofReflectors(routes, "processor time", seconds) }

func metricReflectedLost(routes, reflectors int) metric {
	return ofReflectors(routes, fmt.Sprintf("lost with %d of the two reflectors", reflectors), routesLost)
}

func metricAnswer(page string, routes int) metric {
	return metric{part: partScrape, what: page + ", until answered", size: routes, unit: milliseconds, tail: true}
}

func metricRepairQuiet(page string, routes int) metric {
	return metric{part: partScrape, what: "one deleted, until it is back, before " + page + " is asked for", size: routes, unit: milliseconds, tail: true}
}

func metricRepairAsked(page string, routes int) metric {
	return metric{part: partScrape, what: "the same, while " + page + " is asked for all the time", size: routes, unit: milliseconds, tail: true}
}

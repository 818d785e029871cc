package main

import (
	"fmt"
	"strconv"
)

// unit is how a value is shown.
type unit string

const (
	seconds      unit = "s"
	milliseconds unit = "ms"
	mebibytes    unit = "MiB"
	megabytes    unit = "MB"
	routesLost   unit = "routes"
	percent      unit = "% of a core"
)

// of is a number of bytes in a unit of memory.
func (u unit) of(bytes int64) float64 {
	if u == megabytes {
		return inMB(bytes)
	}
	return inMiB(bytes)
}

// metric is one thing that is measured, the same for every competitor.
type metric struct {
	part part
	what string
	size int // routes that are installed
	unit unit
	tail bool // of many events: quoted with its 99th percentile, not with its least and most
}

func (m metric) String() string {
	return fmt.Sprintf("%s, %s routes", m.what, thousands(m.size))
}

func metricMiddle(size int) metric {
	return metric{part: partInstall, what: "1 % to 99 % of the routes", size: size, unit: seconds}
}

func metricTotal(size int) metric {
	return metric{part: partInstall, what: "session start to all", size: size, unit: seconds}
}

func metricPeak(size int) metric {
	return metric{part: partInstall, what: "peak memory", size: size, unit: mebibytes}
}

func metricCPU(size int) metric {
	return metric{part: partInstall, what: "processor time", size: size, unit: seconds}
}

func metricSent(size int) metric {
	return metric{part: partInstall, what: "the sender's last byte was taken after", size: size, unit: seconds}
}

func metricRepairOne(size int) metric {
	return metric{part: partRepair, what: "one deleted, until it is back", size: size, unit: milliseconds, tail: true}
}

func metricRepairEach(size int) metric {
	return metric{part: partRepair, what: "100 deleted, each until it is back", size: size, unit: milliseconds, tail: true}
}

func metricRepairHundred(size int) metric {
	return metric{part: partRepair, what: "100 deleted, first deletion to the last back", size: size, unit: milliseconds, tail: true}
}

func metricRepairAll(size int) metric {
	return metric{part: partRepair, what: "all deleted, first deletion to all back", size: size, unit: seconds}
}

func metricRepairAllAfter(size int) metric {
	return metric{part: partRepair, what: "all deleted, last deletion to all back", size: size, unit: seconds}
}

func metricBefore(size int) metric {
	return metric{part: partRepair, what: "for comparison: that competitor's install, session start to all", size: size, unit: seconds}
}

func metricBlock(size int) metric {
	return metric{part: partBlock, what: "one more block, UPDATE to kernel", size: size, unit: milliseconds, tail: true}
}

func metricLink(size int) metric {
	return metric{part: partLink, what: "link up to the last route back", size: size, unit: milliseconds}
}

func metricFlush(size int) metric {
	return metric{part: partFlush, what: "all removed", size: size, unit: seconds}
}

func metricIdleCPU(size int) metric {
	return metric{part: partIdle, what: "idle processor time", size: size, unit: percent}
}

func metricIdleRSS(size int) metric {
	return metric{part: partIdle, what: "resident memory", size: size, unit: mebibytes}
}

// results are all measurements of a run.
type results struct {
	order []metric // as they came
	data  map[metric]map[string]samples
}

func newResults() *results { return &results{data: map[metric]map[string]samples{}} }

// add notes measurements of a competitor, given in the metric's unit.
func (r *results) add(m metric, name string, values ...float64) {
	of := r.data[m]
	if of == nil {
		of = map[string]samples{}
		r.data[m] = of
		r.order = append(r.order, m)
	}
	of[name] = append(of[name], values...)
}

func (r *results) of(m metric, name string) samples { return r.data[m][name] }

// thousands writes 100000 as 100,000.
func thousands(n int) string {
	if n < 1000 {
		return strconv.Itoa(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}

package metrics

import (
	"routed/guard"

	"github.com/prometheus/client_golang/prometheus"
)

// Options says how the collector labels.
type Options struct {
	// NoPeerLabel leaves the label `peer` out of routed_bgp_session_*, one series for each role and cluster instead of
	// one for each session: up when every session is, the time of the latest establishment, the sum of flaps. Likewise of
	// what probes tell: success when every target answered, the slowest round trip, the least path MTU.
	NoPeerLabel bool
}

// Collector computes every gauge and counter at the scrape. Its methods may be called from many goroutines, as far as
// the snapshot function may.
type Collector struct {
	snapshot func() (Snapshot, error)
	opts     Options
	d        descs
}

// NewCollector makes a collector over a function that must answer at once and may be called from many goroutines. When
// the function fails, the scrape reports its error instead of numbers that would look like a healthy zero.
func NewCollector(snapshot func() (Snapshot, error), opts Options) *Collector {
	return &Collector{snapshot: snapshot, opts: opts, d: newDescs(opts)}
}

// Describe sends every metric's description (prometheus.Collector).
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.d.all() {
		ch <- d
	}
}

// Collect sends every metric of one snapshot (prometheus.Collector).
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	s, err := c.snapshot()
	if err != nil {
		ch <- prometheus.NewInvalidMetric(c.d.reloadOK, err)
		return
	}
	e := emitter{ch}
	c.sessions(e, s.Mesh)
	c.prefixes(e, s)
	c.clusters(e, s.Mesh)
	c.rosters(e, s.Rosters)
	c.routes(e, s)
	c.kernel(e, s.Kernel)
	for _, h := range s.HostChecks {
		e.gauge(c.d.hostChecks, float64(h.Failed), h.Check, "failed")
		e.gauge(c.d.hostChecks, float64(h.Warning), h.Check, "warning")
		e.gauge(c.d.hostChecks, float64(h.Unknown), h.Check, "cannot_tell")
		e.gauge(c.d.hostChecks, float64(h.Good), h.Check, "good")
	}
	e.gauge(c.d.guardActive, number(s.Guard.Condition == guard.Active))
	e.gauge(c.d.guardWanted, number(s.Guard.Mode != guard.None))
	c.probes(e, s.Probe)
	e.gauge(c.d.reloadOK, number(s.Reload.Successful))
	e.gauge(c.d.reloadAt, unix(s.Reload.LastSuccessAt))
}

// emitter sends constant metrics.
type emitter struct{ ch chan<- prometheus.Metric }

func (e emitter) gauge(d *prometheus.Desc, v float64, labels ...string) {
	e.send(d, prometheus.GaugeValue, v, labels)
}

func (e emitter) counter(d *prometheus.Desc, v uint64, labels ...string) {
	e.send(d, prometheus.CounterValue, float64(v), labels)
}

// send turns a label that is no UTF-8, the one thing that can be wrong, into an error of the scrape.
func (e emitter) send(d *prometheus.Desc, t prometheus.ValueType, v float64, labels []string) {
	m, err := prometheus.NewConstMetric(d, t, v, labels...)
	if err != nil {
		m = prometheus.NewInvalidMetric(d, err)
	}
	e.ch <- m
}

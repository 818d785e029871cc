package metrics

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Timings measures how long things take. It is a kernel.Observer and a prometheus.Collector; its methods may be called
// from many goroutines and do not block.
type Timings struct {
	reconcile *prometheus.HistogramVec
	converge  prometheus.Histogram
	last      atomic.Pointer[Run]
}

// Run is one run of the reconciler.
type Run struct {
	Kind string // change, repair, resync
	At   time.Time
	Took time.Duration
}

// NewTimings makes a Timings with every series at 0.
func NewTimings() *Timings {
	t := &Timings{
		reconcile: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "routed_reconcile_duration_seconds",
			Help:    "How long the reconciler worked on changes that were wanted, on repairs, and on full compares.",
			Buckets: buckets(),
		}, []string{"kind"}),
		converge: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "routed_convergence_seconds",
			Help:    "From the arrival of a BGP message to the kernel's acknowledgement of the route.",
			Buckets: buckets(),
		}),
	}
	for _, kind := range []string{"change", "repair", "resync"} {
		t.reconcile.WithLabelValues(kind)
	}
	return t
}

// buckets are upper bounds in seconds: one route takes tens of microseconds, a full compare of 100,000 some hundred
// milliseconds, and the promise for a new block is 300 ms from BIRD to every remote kernel.
func buckets() []float64 {
	return []float64{
		50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 0.1, 0.2, 0.3, 0.5, 1, 2.5, 5, 10,
	}
}

// Reconciled notes one run of the reconciler (kernel.Observer).
func (t *Timings) Reconciled(kind string, took time.Duration) {
	t.reconcile.WithLabelValues(kind).Observe(took.Seconds())
	t.last.Store(&Run{Kind: kind, At: time.Now(), Took: took})
}

// Converged notes one route's way from its BGP message into the kernel (kernel.Observer).
func (t *Timings) Converged(took time.Duration) { t.converge.Observe(took.Seconds()) }

// Last is the latest run of the reconciler; zero: none yet.
func (t *Timings) Last() Run {
	if r := t.last.Load(); r != nil {
		return *r
	}
	return Run{}
}

// Describe sends the histograms' descriptions (prometheus.Collector).
func (t *Timings) Describe(ch chan<- *prometheus.Desc) {
	t.reconcile.Describe(ch)
	t.converge.Describe(ch)
}

// Collect sends the histograms (prometheus.Collector).
func (t *Timings) Collect(ch chan<- prometheus.Metric) {
	t.reconcile.Collect(ch)
	t.converge.Collect(ch)
}

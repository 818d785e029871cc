package metrics

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Build says what is running.
type Build struct {
	Version   string
	Revision  string
	GoVersion string
}

// NewRegistry makes a registry of its own with the daemon's collectors, those of the Go runtime and of the process,
// and routed_build_info.
func NewRegistry(b Build, own ...prometheus.Collector) (*prometheus.Registry, error) {
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "routed_build_info",
		Help: "What is running; always 1.",
		ConstLabels: prometheus.Labels{
			"version": b.Version, "revision": b.Revision, "goversion": b.GoVersion,
		},
	})
	info.Set(1)
	all := append([]prometheus.Collector{
		info, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	}, own...)
	r := prometheus.NewRegistry()
	for _, c := range all {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return r, nil
}

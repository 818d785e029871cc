// Package metrics is what machines read of a running daemon: the Prometheus metrics, and the health endpoints.
//
// Gauges and counters are computed at the scrape from one [Snapshot], so that nothing in the daemon keeps a second
// copy of a number; only the two histograms are fed as things happen, by [Timings]. The registry is its own: nothing
// is registered globally. The package decides nothing and refuses to change anything. docs/metrics.md lists the metrics.
package metrics

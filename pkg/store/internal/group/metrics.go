package group

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are those of one Committer.
type metrics struct {
	size, wait prometheus.Histogram
	waiting    prometheus.Gauge
}

func newMetrics() *metrics {
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: prometheus.BuildFQName("homeostat", "store", name), Help: help, Buckets: buckets})
	}
	return &metrics{
		size: histogram("commit_group_size", "Transactions in one request to etcd.", prometheus.ExponentialBuckets(1, 2, 7)),
		wait: histogram("commit_wait_seconds", "Time that transactions waited for earlier requests.", prometheus.ExponentialBuckets(10e-6, 10, 6)),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: prometheus.BuildFQName("homeostat", "store", "commits_waiting"), Help: "Transactions that wait for earlier requests."}),
	}
}

func (m *metrics) request(size int)       { m.size.Observe(float64(size)) }
func (m *metrics) waited(d time.Duration) { m.wait.Observe(d.Seconds()) }

// Describe implements [prometheus.Collector].
func (c *Committer) Describe(to chan<- *prometheus.Desc) {
	for _, m := range c.metrics.all() {
		m.Describe(to)
	}
}

// Collect implements [prometheus.Collector].
func (c *Committer) Collect(to chan<- prometheus.Metric) {
	for _, m := range c.metrics.all() {
		m.Collect(to)
	}
}

func (m *metrics) all() []prometheus.Collector {
	return []prometheus.Collector{m.size, m.wait, m.waiting}
}

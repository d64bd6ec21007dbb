package controller

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// metrics are the counters and histograms of a manager's controllers. They have the
// names and labels of controller-runtime's and of client-go's work queue where those
// have such a metric. The names of all others begin with homeostat_.
type metrics struct {
	registry *prometheus.Registry

	results, failures, terminal, panics, lostRaces *prometheus.CounterVec
	retries, adds                                  *prometheus.CounterVec
	took, waited, worked                           *prometheus.HistogramVec
}

// Values of the label result of controller_runtime_reconcile_total.
const (
	resultSuccess      = "success"
	resultRequeueAfter = "requeue_after"
	resultRequeue      = "requeue" // it lost a race
	resultError        = "error"
	resultStopped      = "stopped" // it failed because its controller was stopping
)

// resultOf returns the label for a reconcile that has ended. An error of one that was
// cancelled by the stop of its controller is not a failure of its key.
func resultOf(result Result, err error, stopped bool) string {
	switch {
	case err == nil && result.RequeueAfter > 0:
		return resultRequeueAfter
	case err == nil:
		return resultSuccess
	case stopped:
		return resultStopped
	case isLookAgain(err):
		return resultRequeue
	}
	return resultError
}

func newMetrics(m *Manager) *metrics {
	byController := []string{"controller"}
	byQueue := []string{"name", "controller"}
	counter := func(name, help string, labels []string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	histogram := func(name, help string, labels []string, buckets []float64) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	}
	x := &metrics{
		registry: prometheus.NewRegistry(),
		results: counter("controller_runtime_reconcile_total",
			"Reconciles, by result.", []string{"controller", "result"}),
		failures: counter("controller_runtime_reconcile_errors_total",
			"Reconciles that failed.", byController),
		terminal: counter("controller_runtime_terminal_reconcile_errors_total",
			"Reconciles that failed with a TerminalError.", byController),
		panics: counter("controller_runtime_reconcile_panics_total",
			"Reconciles that panicked.", byController),
		lostRaces: counter("homeostat_reconcile_conflicts_total",
			"Reconciles that lost a race to another writer and were repeated.", byController),
		took: histogram("controller_runtime_reconcile_time_seconds",
			"Time that reconciles took.", byController,
			[]float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60}),
		adds: counter("workqueue_adds_total",
			"Keys added to the queue, those included that were in it already.", byQueue),
		retries: counter("workqueue_retries_total",
			"Keys that were tried again after a pause.", byQueue),
		waited: histogram("workqueue_queue_duration_seconds",
			"Time from a key's first cause to its reconcile, including the time for which its own writes held it.", byQueue, queueBuckets()),
		worked: histogram("workqueue_work_duration_seconds",
			"Time that keys from the queue were worked on.", byQueue, queueBuckets()),
	}
	x.registry.MustRegister(
		x.results, x.failures, x.terminal, x.panics, x.lostRaces, x.took, x.adds, x.retries, x.waited, x.worked,
		newGauges(m), coordinationMetrics{m}, etcdMetrics{m},
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "homeostat_fenced_writes_total",
			Help: "Writes that etcd refused because the term in which they were begun was over.",
		}, func() float64 { return float64(m.FencedWrites()) }),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	x.addReplica(mainReplica, m.Replica())
	return x
}

// mainReplica is the name of the manager's own replica.
const mainReplica = "main"

// registered returns the registry.
func (x *metrics) registered() *prometheus.Registry { return x.registry }

// addReplica adds a replica's metrics, with its name as a label. The name must differ
// from those of the other replicas.
func (x *metrics) addReplica(name string, r *informer.Replica) {
	prometheus.WrapRegistererWith(prometheus.Labels{"replica": name}, x.registry).MustRegister(r.Collector())
}

// addStore adds the metrics of the manager's store.
func (x *metrics) addStore(s *store.Store) { x.registry.MustRegister(s.Collector()) }

// addEvents adds the metrics of a recorder that has a Collector, as package events'
// recorder does.
func (x *metrics) addEvents(r EventRecorder) error {
	if c, ok := r.(interface{ Collector() prometheus.Collector }); ok {
		return x.registry.Register(c.Collector())
	}
	return nil
}

func queueBuckets() []float64 { return prometheus.ExponentialBuckets(10e-6, 10, 8) }

// controllerMetrics are the metrics of one controller.
type controllerMetrics struct {
	results                               map[string]prometheus.Counter
	failures, terminal, panics, lostRaces prometheus.Counter
	adds, retries                         prometheus.Counter
	took, waited, worked                  prometheus.Observer
}

func (x *metrics) of(controller string) *controllerMetrics {
	l := &controllerMetrics{
		results:  map[string]prometheus.Counter{},
		failures: x.failures.WithLabelValues(controller), terminal: x.terminal.WithLabelValues(controller),
		panics: x.panics.WithLabelValues(controller), lostRaces: x.lostRaces.WithLabelValues(controller),
		adds: x.adds.WithLabelValues(controller, controller), retries: x.retries.WithLabelValues(controller, controller),
		took:   x.took.WithLabelValues(controller),
		waited: x.waited.WithLabelValues(controller, controller), worked: x.worked.WithLabelValues(controller, controller),
	}
	for _, result := range []string{resultSuccess, resultRequeueAfter, resultRequeue, resultError, resultStopped} {
		l.results[result] = x.results.WithLabelValues(controller, result)
	}
	return l
}

// added counts a key that was added to the queue.
func (l *controllerMetrics) added() { l.adds.Inc() }

// retried counts a key that comes back after a pause.
func (l *controllerMetrics) retried() { l.retries.Inc() }

// began notes how long a key waited until its reconcile began.
func (l *controllerMetrics) began(waited time.Duration) { l.waited.Observe(waited.Seconds()) }

// handled notes how long a worker was busy with a key.
func (l *controllerMetrics) handled(took time.Duration) { l.worked.Observe(took.Seconds()) }

// reconciled counts a reconcile that has ended. label is that of its result.
func (l *controllerMetrics) reconciled(took time.Duration, label string, err error) {
	l.took.Observe(took.Seconds())
	l.results[label].Inc()
	switch label {
	case resultRequeue:
		l.lostRaces.Inc()
	case resultError:
		l.failures.Inc()
		l.count(err)
	}
}

func (l *controllerMetrics) count(err error) {
	if isTerminal(err) {
		l.terminal.Inc()
	}
	if isPanic(err) {
		l.panics.Inc()
	}
}

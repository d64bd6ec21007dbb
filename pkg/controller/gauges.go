package controller

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// gauges are the metrics that are looked up when they are asked for, and cost
// nothing until then.
type gauges struct {
	manager *Manager
	all     []stateGauge
}

// stateGauge is one number of every controller.
type stateGauge struct {
	desc   *prometheus.Desc
	ofName bool // it has a label more: that of a queue
	value  func(loopState) float64
}

func newGauges(m *Manager) *gauges {
	byController := func(name, help string, value func(loopState) float64) stateGauge {
		return stateGauge{prometheus.NewDesc(name, help, []string{"controller"}, nil), false, value}
	}
	byQueue := func(name, help string, value func(loopState) float64) stateGauge {
		return stateGauge{prometheus.NewDesc(name, help, []string{"name", "controller"}, nil), true, value}
	}
	return &gauges{m, []stateGauge{
		byController("controller_runtime_max_concurrent_reconciles", "How many reconciles may run at once.",
			func(s loopState) float64 { return float64(s.workers) }),
		byController("controller_runtime_active_workers", "How many reconciles are under way.",
			func(s loopState) float64 { return float64(s.active) }),
		byController("homeostat_held_keys", "Keys that wait until the replica has what their last reconcile wrote.",
			func(s loopState) float64 { return float64(s.held) }),
		byQueue("workqueue_depth", "Keys in the queue.",
			func(s loopState) float64 { return float64(s.queued) }),
		byQueue("homeostat_queue_oldest_seconds", "How long the key has waited that is to be reconciled and has waited longest.",
			func(s loopState) float64 { return s.oldest.Seconds() }),
		byQueue("workqueue_unfinished_work_seconds", "How long the keys that are worked on have been, in total.",
			func(s loopState) float64 { return s.unfinished.Seconds() }),
		byQueue("workqueue_longest_running_processor_seconds", "How long the key has been worked on that has been longest.",
			func(s loopState) float64 { return s.longest.Seconds() }),
	}}
}

// loopState is how a controller fares at the moment.
type loopState struct {
	workers, active, held, queued int
	oldest                        time.Duration // that a key waits
	unfinished, longest           time.Duration // that keys are worked on
}

func (g *gauges) Describe(to chan<- *prometheus.Desc) {
	for _, x := range g.all {
		to <- x.desc
	}
}

func (g *gauges) Collect(to chan<- prometheus.Metric) {
	for _, c := range g.manager.controllers() {
		s, labels := c.controller.state(), []string{c.name, c.name}
		for _, x := range g.all {
			l := labels[:1]
			if x.ofName {
				l = labels
			}
			to <- prometheus.MustNewConstMetric(x.desc, prometheus.GaugeValue, x.value(s), l...)
		}
	}
}

// state returns how the controller fares; all zero but workers while it does not
// run.
func (l *Controller[R]) state() loopState {
	s := loopState{workers: l.options.Workers}
	r := l.sources.current()
	if r == nil {
		return s
	}
	now := l.manager.clock.Now()
	s.queued, s.held, s.oldest = r.queue.Len(), r.gates.held(), r.notes.oldest(now)
	for i := range r.workers {
		took, busy := r.workers[i].busyFor(now)
		if !busy {
			continue
		}
		s.active++
		s.unfinished += took
		s.longest = max(s.longest, took)
	}
	return s
}

// worker is one of a controller's.
type worker struct{ since atomic.Int64 } // when it began with a key, in ns; 0: it has none

func (w *worker) begin(now time.Time) { w.since.Store(now.UnixNano()) }
func (w *worker) end()                { w.since.Store(0) }

func (w *worker) busyFor(now time.Time) (time.Duration, bool) {
	since := w.since.Load()
	return max(0, time.Duration(now.UnixNano()-since)), since != 0
}

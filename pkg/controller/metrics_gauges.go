package controller

import "github.com/prometheus/client_golang/prometheus"

// gauges are metrics that are computed when they are collected.
type gauges struct {
	manager *Manager
	all     []stateGauge
}

// stateGauge is one number of each controller's state.
type stateGauge struct {
	desc    *prometheus.Desc
	ofQueue bool // it has the labels of client-go's work queue
	value   func(ControllerState) float64
}

func newGauges(m *Manager) *gauges {
	byController := func(name, help string, value func(ControllerState) float64) stateGauge {
		return stateGauge{prometheus.NewDesc(name, help, []string{"controller"}, nil), false, value}
	}
	byQueue := func(name, help string, value func(ControllerState) float64) stateGauge {
		return stateGauge{prometheus.NewDesc(name, help, []string{"name", "controller"}, nil), true, value}
	}
	return &gauges{m, []stateGauge{
		byController("controller_runtime_max_concurrent_reconciles", "Number of reconciles that may run at once.",
			func(s ControllerState) float64 { return float64(s.Workers) }),
		byController("controller_runtime_active_workers", "Number of reconciles that are running.",
			func(s ControllerState) float64 { return float64(s.Reconciling) }),
		byController("homeostat_held_keys", "Number of keys that wait until the replica has what their last reconcile wrote.",
			func(s ControllerState) float64 { return float64(s.WaitingForRevision) }),
		byController("homeostat_backoff_keys", "Number of keys that failed, or lost a race, and are tried again after a pause.",
			func(s ControllerState) float64 { return float64(s.InBackoff) }),
		byController("homeostat_delayed_keys", "Number of keys that come back after the time that they asked for.",
			func(s ControllerState) float64 { return float64(s.WaitingForTime) }),
		byController("homeostat_failed_keys", "Number of keys, up to about a thousand, that failed for good and wait for a change.",
			func(s ControllerState) float64 { return float64(s.Failed) }),
		byController("homeostat_undecodable_keys", "Number of keys that wait until the values stored under them can be decoded.",
			func(s ControllerState) float64 { return float64(s.Undecodable) }),
		byQueue("workqueue_depth", "Number of keys in the queue.",
			func(s ControllerState) float64 { return float64(s.Queued) }),
		byQueue("homeostat_queue_oldest_seconds", "Time that the key has waited that has waited longest to be reconciled.",
			func(s ControllerState) float64 { return s.OldestWait.Seconds() }),
		byQueue("workqueue_unfinished_work_seconds", "Time that the running reconciles have taken so far, in total.",
			func(s ControllerState) float64 { return s.TotalReconcile.Seconds() }),
		byQueue("workqueue_longest_running_processor_seconds", "Time that the longest of the running reconciles has taken so far.",
			func(s ControllerState) float64 { return s.LongestReconcile.Seconds() }),
	}}
}

func (g *gauges) Describe(to chan<- *prometheus.Desc) {
	for _, x := range g.all {
		to <- x.desc
	}
}

func (g *gauges) Collect(to chan<- prometheus.Metric) {
	for _, c := range g.manager.controllers() {
		name, s := c.state()
		labels := []string{name, name}
		for _, x := range g.all {
			l := labels[:1]
			if x.ofQueue {
				l = labels
			}
			to <- prometheus.MustNewConstMetric(x.desc, prometheus.GaugeValue, x.value(s), l...)
		}
	}
}

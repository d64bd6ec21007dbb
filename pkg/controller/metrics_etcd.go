package controller

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/homeostat/homeostat/pkg/controller/internal/members"
)

// etcdMetrics collects what the manager knows of the members of its etcd.
type etcdMetrics struct{ manager *Manager }

var (
	descAlarms = prometheus.NewDesc("homeostat_etcd_alarms",
		"Members of etcd that have raised an alarm, by alarm: NOSPACE or CORRUPT.", []string{"alarm"}, nil)
	descMemberUp = prometheus.NewDesc("homeostat_etcd_member_up",
		"Whether a member of etcd answered when it was last asked for its state, and can accept writes: 1 or 0.", []string{"endpoint"}, nil)
	descQuota = prometheus.NewDesc("homeostat_etcd_quota_used_ratio",
		"Part of its quota that the database of a member of etcd has reached, for etcd from 3.6 on.", []string{"endpoint"}, nil)
	descWritesRefused = prometheus.NewDesc("homeostat_etcd_writes_refused",
		"Whether etcd refuses the manager's writes, because of an alarm or a missing permission: 1 or 0.", nil, nil)
)

func (etcdMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descAlarms, descMemberUp, descQuota, descWritesRefused} {
		to <- d
	}
}

func (c etcdMetrics) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	raised := map[string]int{}
	for _, name := range c.manager.members.Alarms() {
		raised[name]++
	}
	for _, name := range members.Names() {
		gauge(descAlarms, float64(raised[name]), name)
	}
	seen := map[string]bool{}
	for _, m := range c.manager.members.Members() {
		if seen[m.Endpoint] { // a client may have the same twice
			continue
		}
		seen[m.Endpoint] = true
		gauge(descMemberUp, oneIf(m.Err == nil), m.Endpoint)
		if used := m.Used(); used > 0 {
			gauge(descQuota, used, m.Endpoint)
		}
	}
	gauge(descWritesRefused, oneIf(c.manager.writes.problem() != nil))
}

func oneIf(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

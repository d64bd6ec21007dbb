package controller

import (
	"github.com/prometheus/client_golang/prometheus"
)

// coordinationMetrics collects the metrics of a manager's leadership and sharding, if
// it has them. They cost nothing until they are collected.
type coordinationMetrics struct{ manager *Manager }

var (
	descLeading = prometheus.NewDesc("homeostat_leading",
		"Whether the manager holds the leadership, as far as it knows: 1 or 0.", []string{"leadership"}, nil)
	descTerms = prometheus.NewDesc("homeostat_leadership_terms_total",
		"Terms of leadership that the manager has won.", []string{"leadership"}, nil)
	descLost = prometheus.NewDesc("homeostat_leadership_lost_total",
		"Terms of leadership that ended while the manager wanted to go on.", []string{"leadership"}, nil)
	descBuckets = prometheus.NewDesc("homeostat_sharding_buckets",
		"Buckets by state: owned by this process (some of them waiting or draining), or ownerless for longer than the lease time.",
		[]string{"sharding", "state"}, nil)
	descMoves = prometheus.NewDesc("homeostat_sharding_moves_total",
		"Buckets that this process has gained, released or lost.", []string{"sharding", "move"}, nil)
	descMembers = prometheus.NewDesc("homeostat_sharding_members",
		"Live processes, as this one sees them.", []string{"sharding"}, nil)
)

func (coordinationMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descLeading, descTerms, descLost, descBuckets, descMoves, descMembers} {
		to <- d
	}
}

func (c coordinationMetrics) Collect(to chan<- prometheus.Metric) {
	put := func(d *prometheus.Desc, t prometheus.ValueType, n int, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, t, float64(n), labels...)
	}
	if l := c.manager.Leadership(); l.Name != "" {
		leading := 0
		if l.Leading {
			leading = 1
		}
		put(descLeading, prometheus.GaugeValue, leading, l.Name)
		put(descTerms, prometheus.CounterValue, l.Terms, l.Name)
		put(descLost, prometheus.CounterValue, l.Lost, l.Name)
	}
	if s := c.manager.Sharding(); s.Name != "" {
		put(descMembers, prometheus.GaugeValue, len(s.Members), s.Name)
		for state, n := range map[string]int{"owned": s.Owned, "waiting": s.Waiting, "draining": s.Draining, "ownerless": len(s.Ownerless)} {
			put(descBuckets, prometheus.GaugeValue, n, s.Name, state)
		}
		for move, n := range map[string]int{"gained": s.Gained, "released": s.Released, "lost": s.Lost} {
			put(descMoves, prometheus.CounterValue, n, s.Name, move)
		}
	}
}

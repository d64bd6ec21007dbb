package controller

import (
	"context"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// standing has the metrics of how a manager stands with regard to its leadership
// and its sharding, if it has them. They cost nothing until they are asked for.
type standing struct{ manager *Manager }

var (
	descLeading = prometheus.NewDesc("homeostat_leading",
		"Whether the manager holds the leadership, as far as it knows: 1 or 0.", []string{"leadership"}, nil)
	descTerms = prometheus.NewDesc("homeostat_leadership_terms_total",
		"Times that the manager has won the leadership.", []string{"leadership"}, nil)
	descLost = prometheus.NewDesc("homeostat_leadership_lost_total",
		"Terms of the manager's that ended otherwise than by its stop.", []string{"leadership"}, nil)
	descBuckets = prometheus.NewDesc("homeostat_sharding_buckets",
		"Buckets by state: owned by this process, of which some are waiting or draining, and those that are ownerless for too long.",
		[]string{"sharding", "state"}, nil)
	descMoves = prometheus.NewDesc("homeostat_sharding_moves_total",
		"Buckets that this process has gained, released or lost.", []string{"sharding", "move"}, nil)
	descMembers = prometheus.NewDesc("homeostat_sharding_members",
		"Live processes, as this one sees them.", []string{"sharding"}, nil)
)

func (standing) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descLeading, descTerms, descLost, descBuckets, descMoves, descMembers} {
		to <- d
	}
}

func (s standing) Collect(to chan<- prometheus.Metric) {
	put := func(d *prometheus.Desc, t prometheus.ValueType, n int, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, t, float64(n), labels...)
	}
	if l := s.manager.Leadership(); l.Name != "" {
		leading := 0
		if l.Leading {
			leading = 1
		}
		put(descLeading, prometheus.GaugeValue, leading, l.Name)
		put(descTerms, prometheus.CounterValue, l.Terms, l.Name)
		put(descLost, prometheus.CounterValue, l.Lost, l.Name)
	}
	if x := s.manager.Sharding(); x.Name != "" {
		put(descMembers, prometheus.GaugeValue, len(x.Members), x.Name)
		for state, n := range map[string]int{"owned": x.Owned, "waiting": x.Waiting, "draining": x.Draining, "ownerless": len(x.Ownerless)} {
			put(descBuckets, prometheus.GaugeValue, n, x.Name, state)
		}
		for move, n := range map[string]int{"gained": x.Gained, "released": x.Released, "lost": x.Lost} {
			put(descMoves, prometheus.CounterValue, n, x.Name, move)
		}
	}
}

// standingChecks are what the manager's leadership and sharding add to /readyz.
func (m *Manager) standingChecks() (all []namedCheck) {
	if m.election != nil {
		all = append(all, namedCheck{"leadership", func(context.Context) error { return m.Leadership().Err }})
	}
	if m.shards != nil {
		all = append(all, namedCheck{"sharding", func(context.Context) error { return m.Sharding().wrong() }})
	}
	return all
}

func (s ShardingStatus) wrong() error {
	if s.Err != nil {
		return s.Err
	}
	if n := len(s.Ownerless); n > 0 {
		return fmt.Errorf("%d of %d buckets are nobody's, the first being %d: their keys are not reconciled", n, s.Buckets, s.Ownerless[0])
	}
	return nil
}

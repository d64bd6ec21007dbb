package informer

import (
	"math"
	"slices"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// Collector returns the replica's metrics for a Prometheus registry. They are read from
// [Replica.Status] when they are collected. The package documentation lists them. If
// several replicas share a registry, give each a label of your own with
// [prometheus.WrapRegistererWith].
func (r *Replica) Collector() prometheus.Collector {
	return &collector{
		replica: r,
		whole: []metric[Status]{
			gauge[Status]("synced", "Whether every registered kind was listed: 1 or 0.",
				func(s Status) float64 { return oneIf(s.Synced) }),
			gauge[Status]("disturbed", "Whether something keeps the replica from following etcd: 1 or 0.",
				func(s Status) float64 { return oneIf(s.Err != nil) }),
			gauge[Status]("revision", "Revision of etcd that the newest snapshot shows.",
				func(s Status) float64 { return float64(s.Revision) }),
			gauge[Status]("etcd_revision", "Newest revision of etcd that the replica knows of.",
				func(s Status) float64 { return float64(s.EtcdRevision) }),
			gauge[Status]("lag_seconds", "Time since the replica was last known to have all that etcd had.", lagSeconds),
			gauge[Status]("unapplied_bytes", "Memory that changes take which were received and not applied yet.",
				func(s Status) float64 { return float64(s.Unapplied) }),
			counter[Status]("watches_total", "Watches that were opened, or tried to.",
				func(s Status) float64 { return float64(s.Watches) }),
			counter[Status]("failures_total", "Lists that failed, and watches that ended or could not be opened.",
				func(s Status) float64 { return float64(s.Failures) }),
			counter[Status]("foreign_events_total", "Events of keys that are of no registered kind.",
				func(s Status) float64 { return float64(s.Foreign) }),
		},
		kinds: []metric[KindStatus]{
			gauge[KindStatus]("objects", "Objects in the newest snapshot.",
				func(k KindStatus) float64 { return float64(k.Objects) }, kindLabels...),
			gauge[KindStatus]("object_bytes", "Size of the objects as stored in etcd, keys included.",
				func(k KindStatus) float64 { return float64(k.Bytes) }, kindLabels...),
			gauge[KindStatus]("undecodable_keys", "Keys whose values cannot be decoded.",
				func(k KindStatus) float64 { return float64(k.Undecodable) }, kindLabels...),
			gauge[KindStatus]("handlers", "Handlers that receive changes.",
				func(k KindStatus) float64 { return float64(len(k.Backlogs)) }, kindLabels...),
			gauge[KindStatus]("handler_backlog_changes", "Undelivered changes of the handler that is furthest behind.",
				longestBacklog, kindLabels...),
			counter[KindStatus]("changes_total", "Changes of objects that were taken in.",
				func(k KindStatus) float64 { return float64(k.Changes) }, kindLabels...),
		},
		forms: descOf("objects_by_form", "Objects by the form in which etcd has them.",
			append(slices.Clone(kindLabels), "stored_version", "codec", "encryption_key", "unknown_fields")...),
		lists: descOf("lists_total", "Lists of all kinds, by what they were for.", "reason"),
	}
}

// collector implements [prometheus.Collector].
type collector struct {
	replica *Replica
	whole   []metric[Status]
	kinds   []metric[KindStatus]
	forms   *prometheus.Desc
	lists   *prometheus.Desc
}

var kindLabels = []string{"group", "version", "kind"}

// metric is one number of a status. NaN is left out.
type metric[S any] struct {
	desc  *prometheus.Desc
	as    prometheus.ValueType
	value func(S) float64
}

func gauge[S any](name, help string, value func(S) float64, labels ...string) metric[S] {
	return metric[S]{descOf(name, help, labels...), prometheus.GaugeValue, value}
}

func counter[S any](name, help string, value func(S) float64, labels ...string) metric[S] {
	return metric[S]{descOf(name, help, labels...), prometheus.CounterValue, value}
}

func descOf(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName("homeostat", "replica", name), help, labels, nil)
}

func (m metric[S]) collect(to chan<- prometheus.Metric, of S, labels ...string) {
	if v := m.value(of); !math.IsNaN(v) {
		to <- prometheus.MustNewConstMetric(m.desc, m.as, v, labels...)
	}
}

func (c *collector) Describe(to chan<- *prometheus.Desc) {
	for _, m := range c.whole {
		to <- m.desc
	}
	for _, m := range c.kinds {
		to <- m.desc
	}
	to <- c.forms
	to <- c.lists
}

func (c *collector) Collect(to chan<- prometheus.Metric) {
	st := c.replica.Status()
	for _, m := range c.whole {
		m.collect(to, st)
	}
	for _, k := range st.Kinds {
		for _, m := range c.kinds {
			m.collect(to, k, k.Group, k.Version, k.Kind)
		}
		for form, n := range k.Forms {
			to <- prometheus.MustNewConstMetric(c.forms, prometheus.GaugeValue, float64(n), k.Group, k.Version, k.Kind,
				form.Version, string(form.Codec), form.EncryptionKey, strconv.FormatBool(form.UnknownFields))
		}
	}
	for reason, n := range st.Relists {
		to <- prometheus.MustNewConstMetric(c.lists, prometheus.CounterValue, float64(n), reason)
	}
}

func oneIf(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// lagSeconds returns NaN before the first list.
func lagSeconds(s Status) float64 {
	if s.CurrentAt.IsZero() {
		return math.NaN()
	}
	return s.Lag.Seconds()
}

func longestBacklog(k KindStatus) float64 {
	if len(k.Backlogs) == 0 {
		return 0
	}
	return float64(slices.Max(k.Backlogs))
}

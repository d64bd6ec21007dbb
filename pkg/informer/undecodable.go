package informer

import (
	"context"
	"strings"
	"time"

	"github.com/homeostat/homeostat/pkg/internal/retry"
)

// undecodableInterval is the least time between two log lines about one cause.
const undecodableInterval = time.Minute

// undecodableCauses bounds the causes that are told apart for each kind. Errors can
// quote their values, so the number of different errors has no bound of its own.
const undecodableCauses = 4

// otherCauses is the cause of all errors beyond undecodableCauses.
const otherCauses = "other causes"

// undecodable is the value of a key that cannot be decoded.
type undecodable struct {
	revision int64
	err      error
	report   *undecodableReport
}

// undecodableReport counts the undecodable values of one kind and cause for the log.
type undecodableReport struct {
	kind, cause    string
	keys, logged   int   // the keys that have such a value, now and at the last log line
	values, before int64 // the values found so far, and until the last log line
}

// undecodable records a key with a value that cannot be decoded. It logs the first value
// of each kind and cause; reportUndecodable logs the others in summary.
func (r *Replica) undecodable(k *kind, etcdKey string, revision int64, err error) {
	if r.status.undecodable(k.info.GroupVersionKind.Kind, etcdKey, revision, err) {
		r.log.Error(err, "value cannot be decoded; keeping the last known object", "kind", k.info.GroupVersionKind.Kind,
			"key", etcdKey, "revision", revision)
		signal(r.undecodableSeen)
	}
}

// reportUndecodable logs the number of undecodable values of each kind and cause, at
// most once per undecodableInterval, and when there are none left. It returns when ctx
// is done.
func (r *Replica) reportUndecodable(ctx context.Context) {
	for left := false; ; {
		if !left {
			select {
			case <-r.undecodableSeen:
			case <-ctx.Done():
				return
			}
		}
		if retry.Sleep(ctx, r.clock, undecodableInterval) != nil {
			signal(r.undecodableSeen) // for the next Run
			return
		}
		left = r.logUndecodable()
	}
}

// logUndecodable reports whether undecodable values are left.
func (r *Replica) logUndecodable() (left bool) {
	changed, left := r.status.changedReports()
	for _, c := range changed {
		if c.report.keys == 0 {
			r.log.Info("all values can be decoded again", "kind", c.report.kind, "cause", c.report.cause, "values", c.report.values)
			continue
		}
		r.log.Error(c.err, "values cannot be decoded; keeping the last known objects", "kind", c.report.kind,
			"cause", c.report.cause, "keys", c.report.keys, "values", c.report.values, "key", c.key)
	}
	return left
}

// undecodable records a value, and reports whether it is the first of its kind and
// cause.
func (k *statusKeeper) undecodable(kind, key string, revision int64, err error) (first bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.bad == nil {
		k.bad = map[string]undecodable{}
	}
	known, ok := k.bad[key]
	if ok && known.revision == revision {
		known.err = err // a checkpoint may have withheld it
		k.bad[key] = known
		return false
	}
	k.remove(key)
	report := k.reportOf(kind, err.Error())
	first = report.values == 0
	report.keys++
	report.values++
	if first {
		report.logged, report.before = report.keys, report.values
	}
	k.bad[key] = undecodable{revision, err, report}
	return first
}

// reportOf returns the report of a kind and cause, or that of the kind's other causes
// if the kind has many. It is called with mu held.
func (k *statusKeeper) reportOf(kind, cause string) *undecodableReport {
	n := 0
	for _, report := range k.reports {
		switch {
		case report.kind != kind:
		case report.cause == cause:
			return report
		case report.cause != otherCauses:
			n++
		}
	}
	if n >= undecodableCauses && cause != otherCauses {
		return k.reportOf(kind, otherCauses)
	}
	report := &undecodableReport{kind: kind, cause: cause}
	k.reports = append(k.reports, report)
	return report
}

func (k *statusKeeper) decodable(key string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.remove(key)
}

// remove is called with mu held.
func (k *statusKeeper) remove(key string) {
	if known, ok := k.bad[key]; ok {
		known.report.keys--
		delete(k.bad, key)
	}
}

// onlyUndecodable removes the keys below a prefix for which still returns false.
// still gets the key and the revision of the value that could not be decoded.
func (k *statusKeeper) onlyUndecodable(prefix string, still func(key string, revision int64) bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for key, u := range k.bad {
		if strings.HasPrefix(key, prefix) && !still(key, u.revision) {
			k.remove(key)
		}
	}
}

// changedReport is a report that has changed, with one of its keys and the key's error.
type changedReport struct {
	report undecodableReport
	key    string
	err    error
}

// changedReports returns the reports that have changed since the last call, and whether
// any report has keys. It drops those that have none.
func (k *statusKeeper) changedReports() (changed []changedReport, left bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	reports := k.reports
	k.reports = nil
	for _, report := range reports {
		if report.keys > 0 {
			k.reports = append(k.reports, report)
		}
		if report.keys == report.logged && report.values == report.before && report.keys > 0 {
			continue
		}
		report.logged, report.before = report.keys, report.values
		c := changedReport{report: *report}
		for key, u := range k.bad {
			if u.report == report && (c.key == "" || key < c.key) {
				c.key, c.err = key, u.err
			}
		}
		changed = append(changed, c)
	}
	return changed, len(k.reports) > 0
}

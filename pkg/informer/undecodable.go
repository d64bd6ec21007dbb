package informer

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/homeostat/homeostat/pkg/internal/retry"
	"github.com/homeostat/homeostat/pkg/store"
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
	resolved bool // a decodable value, or a deletion, followed; the next snapshot has it
}

// decodableWaiter is a function to call when a key has no undecodable value any more.
type decodableWaiter struct{ f func() }

// Undecodable returns an error if the value that is stored under a key cannot be
// decoded, and nil if it can or if there is none. Snapshots then have the last good
// object of the key, or none. The error names the key and the revision of the value.
//
// After nil, a snapshot that is taken later has the object as it was at some time after
// the last undecodable value. Undecodable costs next to nothing while the replica has
// no undecodable value.
func (i *Informer[T]) Undecodable(key store.Key) error {
	k := &i.replica.status
	if k.badKeys.Load() == 0 {
		return nil
	}
	etcdKey := string(appendKey([]byte(i.kind.prefix), key))
	k.mu.Lock()
	defer k.mu.Unlock()
	u, ok := k.bad[etcdKey]
	if !ok {
		return nil
	}
	return fmt.Errorf("the value of %s at revision %d cannot be decoded: %w", etcdKey, u.revision, u.err)
}

// AfterDecodable calls f once [Informer.Undecodable] returns nil for a key: because a
// value that can be decoded was stored, or the key was deleted. The snapshot then has
// the change. AfterDecodable calls f before it returns if that is so already. Otherwise
// the replica's own goroutine calls f, which must not block.
//
// The function stop cancels the call of f. It returns false if f was called already or
// the call has begun.
func (i *Informer[T]) AfterDecodable(key store.Key, f func()) (stop func() bool) {
	k, etcdKey, w := &i.replica.status, string(appendKey([]byte(i.kind.prefix), key)), &decodableWaiter{f}
	k.mu.Lock()
	if _, ok := k.bad[etcdKey]; !ok {
		k.mu.Unlock()
		f()
		return func() bool { return false }
	}
	if k.waiting == nil {
		k.waiting = map[string][]*decodableWaiter{}
	}
	k.waiting[etcdKey] = append(k.waiting[etcdKey], w)
	k.mu.Unlock()
	return func() bool { return k.stopWaiting(etcdKey, w) }
}

func (k *statusKeeper) stopWaiting(etcdKey string, w *decodableWaiter) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	all := k.waiting[etcdKey]
	at := slices.Index(all, w)
	if at < 0 {
		return false
	}
	if k.waiting[etcdKey] = slices.Delete(all, at, at+1); len(all) == 1 {
		delete(k.waiting, etcdKey)
	}
	return true
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
		known.err, known.resolved = err, false // a checkpoint may have withheld the error
		k.bad[key] = known
		return false
	}
	if ok {
		known.report.keys--
	}
	report := k.reportOf(kind, err.Error())
	first = report.values == 0
	report.keys++
	report.values++
	if first {
		report.logged, report.before = report.keys, report.values
	}
	k.bad[key] = undecodable{revision: revision, err: err, report: report}
	k.badKeys.Store(int64(len(k.bad)))
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

// decodable records that a key has a value that can be decoded, or was deleted. The key
// counts as undecodable until the next snapshot is published.
func (k *statusKeeper) decodable(key string) {
	if k.badKeys.Load() == 0 { // only the caller's goroutine, and those it waits for, add keys
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.resolve(key)
}

// resolve is called with mu held.
func (k *statusKeeper) resolve(key string) {
	if u, ok := k.bad[key]; ok && !u.resolved {
		u.resolved = true
		k.bad[key] = u
		k.resolved = append(k.resolved, key)
	}
}

// onlyUndecodable resolves the keys below a prefix for which still returns false.
// still gets the key and the revision of the value that could not be decoded.
func (k *statusKeeper) onlyUndecodable(prefix string, still func(key string, revision int64) bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for key, u := range k.bad {
		if strings.HasPrefix(key, prefix) && !still(key, u.revision) {
			k.resolve(key)
		}
	}
}

// published drops the keys that are resolved: a snapshot shows what followed. The
// functions that wait for them are called by release.
func (k *statusKeeper) published() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, key := range k.resolved {
		u, ok := k.bad[key]
		if !ok || !u.resolved {
			continue // an undecodable value followed
		}
		u.report.keys--
		delete(k.bad, key)
		k.released = append(k.released, k.waiting[key]...)
		delete(k.waiting, key)
	}
	k.resolved = nil
	k.badKeys.Store(int64(len(k.bad)))
}

// release calls the functions that waited for keys which published has dropped.
func (k *statusKeeper) release() {
	k.mu.Lock()
	released := k.released
	k.released = nil
	k.mu.Unlock()
	for _, w := range released {
		w.f()
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

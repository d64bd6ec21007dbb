package queue

import (
	"slices"
	"time"
)

// failedKept is how many keys the queue remembers that failed for good. They are
// never tried again by themselves, so that nothing else bounds their number.
const failedKept = 1024

// Result is how a reconcile ended, and when its key comes back.
type Result[C any] struct {
	// Err is the failure, or nil.
	Err error
	// After is the pause until the key comes back. Without one the key comes back
	// after Backoff, and otherwise not.
	After time.Duration
	// Backoff makes the key come back after the pause of the rate limiter, unless
	// After is set. A failure with neither is one for good.
	Backoff bool
	// Cause and Priority are those that the key has when it comes back.
	Cause    C
	Priority Priority
	// Wrote has the reconcile's own writes. After a failure, the changes that they made
	// do not bring the key back. Otherwise a reconcile that reports its failure would
	// cause the next at once. Leave out writes that replaced what the reconcile had not
	// seen: events may join these changes.
	Wrote []Write
}

// Write is a write of a reconcile.
type Write struct {
	Revision int64
	Keys     []string // of all that it changed
}

// Changed reports whether the write made a change of a key.
func (w Write) Changed(key string, revision int64) bool {
	return w.Revision == revision && slices.Contains(w.Keys, key)
}

// Finish says how a reconcile ended. It replaces the time at which the key comes
// back. Success, and a failure for good, end a row of failures. It returns how many
// reconciles of the key have now failed in a row.
func (q *Queue[R, C]) Finish(key R, o Result[C]) (failures int) {
	now := q.config.Clock.Now()
	pause, text := o.After, ""
	switch {
	case o.Err == nil || o.After <= 0 && !o.Backoff:
		q.config.RateLimiter.Forget(key)
	case o.After <= 0:
		pause = q.config.RateLimiter.When(key)
	}
	if o.Err != nil {
		text = o.Err.Error()
	}
	q.mu.Lock()
	r := q.recordOf(key)
	q.noteFailure(r, o, text, now)
	if r.pending != nil && r.failure != nil && r.pending.revision != 0 && q.isOwn(r.failure, r.pending.every()...) {
		q.takeCauses(r) // Begin returns none for the key
	}
	earliest := false
	if pause > 0 || o.Backoff {
		earliest = q.setTimer(r, &requeueTimer[R, C]{
			set: now, due: now.Add(pause), backoff: o.Err != nil, cause: o.Cause, priority: o.Priority})
	} else {
		q.clearTimer(r)
	}
	if r.failure != nil {
		failures = r.failure.count
	}
	q.forget(r)
	q.mu.Unlock()
	if earliest {
		q.wake()
	}
	return failures
}

// Forget clears the failures of a key, its backoff, and what is known of a write with
// an unknown outcome: another process owns the key now. If the key comes back to this
// process, it does so at a revision that shows all writes.
func (q *Queue[R, C]) Forget(key R) {
	q.config.RateLimiter.Forget(key)
	q.mu.Lock()
	defer q.mu.Unlock()
	if r := q.records.get(key); r != nil {
		q.clearFailure(r)
		r.unknownOutcome = false
		if r.requeue != nil && r.requeue.backoff {
			q.clearTimer(r)
		}
		q.forget(r)
	}
}

func (q *Queue[R, C]) noteFailure(r *record[R, C], o Result[C], text string, now time.Time) {
	if o.Err == nil {
		q.clearFailure(r)
		return
	}
	f := r.failure
	if f == nil {
		f = &failure[R, C]{}
		f.node.of, r.failure = r, f
	}
	f.count, f.text, f.at, f.wrote = f.count+1, text, now, o.Wrote
	terminal := o.After <= 0 && !o.Backoff
	if f.terminal {
		q.failed.remove(&f.node)
	}
	if f.terminal = terminal; !terminal {
		return
	}
	q.failed.push(&f.node)
	if q.failed.len > failedKept {
		oldest := q.failed.first.of
		q.clearFailure(oldest)
		q.forget(oldest)
	}
}

func (q *Queue[R, C]) clearFailure(r *record[R, C]) {
	if r.failure == nil {
		return
	}
	if r.failure.terminal {
		q.failed.remove(&r.failure.node)
	}
	r.failure = nil
}

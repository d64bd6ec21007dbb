package queue

import (
	"context"
	"sync"
	"time"

	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
)

// Config is what a [Queue] needs from outside. Every field is required. The
// functions must be safe for concurrent use. The queue calls none of them while it
// holds a lock of records; client-go's lock may be held while Tenant runs.
type Config[R comparable, C any] struct {
	Clock clock.WithTickerAndDelayedExecution
	// Tenant returns the tenant of a key: always the same for the same key. It must
	// be fast and must not panic.
	Tenant func(R) string
	// RateLimiter returns the pauses after failures.
	RateLimiter workqueue.TypedRateLimiter[R]
	// Revision returns the revision that the replica has reached.
	Revision func() int64
	// AfterRevision calls f once the replica has reached a revision, at once if it
	// has already. It must not wait for f. stop keeps f from being called.
	AfterRevision func(revision int64, f func()) (stop func() bool)
	// CurrentRevision asks etcd for its revision.
	CurrentRevision func(ctx context.Context) (int64, error)
	// Released returns the cause to give a key that had to wait for a revision and
	// may now be reconciled.
	Released func(revision int64) C
	// RevisionOf returns the revision of the change that a cause is, or 0 if it is none.
	RevisionOf func(C) int64
	// KeyOf returns the key that such a change changed, as [Write] has it. Changes of
	// several keys, and of several writers, may have one revision.
	KeyOf func(C) string
	// Added is called whenever a key gets a cause, for metrics.
	Added func()
}

// Queue is a work queue of keys. Its methods may be called concurrently. R is the
// type of the keys, and C that of the causes, which the queue only keeps.
type Queue[R comparable, C any] struct {
	config Config[R, C]
	// work is client-go's queue of the keys that are ready. While it holds its own
	// lock it calls order's methods, which take mu. So mu comes after that lock:
	// never call work's methods, nor anything else outside of this package, while mu
	// is held.
	work *workqueue.Typed[R]
	poke chan struct{} // wakes runTimers

	mu sync.Mutex
	// mu guards the fields below, all fields of the records and of their gates and
	// timers, and the order.
	records  table[R, *record[R, C]]
	order    *order[R, C]
	pending  list[record[R, C]] // with causes, the one that has waited longest first
	active   list[record[R, C]] // being reconciled
	failed   list[record[R, C]] // failed for good, the latest last
	gates    list[gate[R, C]]
	timers   timerHeap[R, C]
	held     int // gates that are wanted
	backoffs int // timers that follow a failure
	stopped  bool
}

// New returns an empty queue. Run it, and shut it down in the end.
func New[R comparable, C any](config Config[R, C]) *Queue[R, C] {
	q := &Queue[R, C]{config: config, poke: make(chan struct{}, 1)}
	q.order = &order[R, C]{queue: q, mu: &q.mu}
	q.work = workqueue.NewTypedWithConfig(workqueue.TypedQueueConfig[R]{Clock: config.Clock, Queue: q.order})
	return q
}

// Run adds keys when their times have come, and releases keys that wait for a
// revision which etcd has lost. It returns when ctx is done and nothing that it
// started is left.
func (q *Queue[R, C]) Run(ctx context.Context) {
	var running sync.WaitGroup
	running.Go(func() { q.runTimers(ctx) })
	running.Go(func() { q.runReviews(ctx) })
	running.Wait()
}

// ShutDown makes Get return false once the queue is empty. From now on the queue
// takes no keys, and forgets all times and revisions that keys wait for. It may be
// called more than once.
func (q *Queue[R, C]) ShutDown() {
	q.mu.Lock()
	q.stopped = true
	for len(q.timers) > 0 {
		r := q.timers[len(q.timers)-1].record
		q.clearTimer(r)
		q.forget(r)
	}
	var stops []func() bool
	for q.gates.first != nil {
		r := q.gates.first.of.record
		stops = append(stops, q.removeGate(r))
		q.forget(r)
	}
	q.mu.Unlock()
	for _, stop := range stops {
		stop()
	}
	q.work.ShutDown()
}

// Add queues a key because of a cause. A key that is queued already gets one more
// cause, and moves up if the priority is higher. Add does nothing if the key's last
// reconcile failed, and the cause is a change that this reconcile wrote itself.
func (q *Queue[R, C]) Add(key R, cause C, p Priority) {
	now := q.config.Clock.Now()
	q.mu.Lock()
	if q.stopped {
		q.mu.Unlock()
		return
	}
	r := q.recordOf(key)
	if q.isOwn(r.failure, cause) {
		q.mu.Unlock()
		return
	}
	q.addCause(r, cause, p, now)
	q.mu.Unlock()
	q.ready(key)
}

// ready hands a key that has causes to client-go's queue. A reconcile that begins
// in between takes the causes with it, and Begin returns none for the key.
func (q *Queue[R, C]) ready(key R) {
	q.config.Added()
	q.work.Add(key)
}

// RequeueAfter sets the time at which a key comes back, in place of any other. With
// a pause of 0 or less it queues the key at once, with high priority. A key that has
// causes, because its last reconcile could not begin, comes back no later than before.
func (q *Queue[R, C]) RequeueAfter(key R, pause time.Duration, cause C) {
	now := q.config.Clock.Now()
	if pause > 0 {
		q.mu.Lock()
		r := q.recordOf(key)
		t := &requeueTimer[R, C]{set: now, due: now.Add(pause), cause: cause, priority: Low}
		if old := r.requeue; old != nil && r.isPostponed() {
			t.backoff = old.backoff
			if old.due.Before(t.due) {
				t.due = old.due
			}
		}
		earliest := q.setTimer(r, t)
		q.forget(r) // after the shutdown
		q.mu.Unlock()
		if earliest {
			q.wake()
		}
		return
	}
	q.mu.Lock()
	if r := q.records.get(key); r != nil {
		q.clearTimer(r)
		q.forget(r)
	}
	q.mu.Unlock()
	q.Add(key, cause, High)
}

// Get returns the next key, and waits until there is one. It returns false after
// the shutdown, once no key is queued. Done follows.
func (q *Queue[R, C]) Get() (key R, ok bool) {
	key, stopped := q.work.Get()
	return key, !stopped
}

// Begin returns the causes of a key that Get returned, and marks the key as being
// reconciled. It returns nil if the key needs no reconcile now: an earlier one has
// had its causes, or the key waits for a revision. It returns an error, and leaves
// the causes, if etcd does not answer how a write of the key's ended.
func (q *Queue[R, C]) Begin(ctx context.Context, key R) (*Causes[C], error) {
	if err := q.resolve(ctx, key); err != nil {
		return nil, err
	}
	now, revision := q.config.Clock.Now(), q.config.Revision()
	q.mu.Lock()
	r := q.records.get(key)
	if r == nil || r.pending == nil {
		q.mu.Unlock()
		return nil, nil
	}
	if g := r.gate; g != nil && g.revision > revision {
		if !g.wanted {
			g.wanted = true
			q.held++
		}
		q.mu.Unlock()
		return nil, nil
	}
	stop := q.removeGate(r)
	causes := q.takeCauses(r)
	r.running, r.started = causes, now
	q.active.push(&r.active)
	q.mu.Unlock()
	stop()
	return causes, nil
}

// Done ends a worker's hold of a key that Get returned. If the key was added since,
// it is queued again.
func (q *Queue[R, C]) Done(key R) {
	q.mu.Lock()
	if r := q.records.get(key); r != nil {
		if r.running != nil {
			r.running = nil
			q.active.remove(&r.active)
		}
		q.forget(r)
	}
	q.mu.Unlock()
	q.work.Done(key)
}

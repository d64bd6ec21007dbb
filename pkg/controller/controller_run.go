package controller

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/go-logr/logr"
	"k8s.io/client-go/util/workqueue"

	"github.com/homeostat/homeostat/pkg/controller/internal/queue"
	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/internal/retry"
	"github.com/homeostat/homeostat/pkg/store"
)

// run is one run of a controller: a queue, and workers that reconcile its keys.
// Nothing of it outlives the run.
type run[R comparable] struct {
	controller *Controller[R]
	queue      *queue.Queue[R, Cause]

	undecodable undecodableKeys[R]
	holders     holders[R]
	races       raceLog
}

// causes are why a key is reconciled.
type causes = queue.Causes[Cause]

func newRateLimiter[R comparable](o Options) workqueue.TypedRateLimiter[R] {
	return workqueue.NewTypedItemExponentialFailureRateLimiter[R](o.BackoffBase, o.BackoffMax)
}

func (c *Controller[R]) newRun() *run[R] { return &run[R]{controller: c, queue: c.newQueue()} }

// enqueue is how sources add keys.
func (r *run[R]) enqueue(key R, c Cause) { r.queue.Add(key, c, c.priority()) }

// run reconciles until ctx is done. Then it starts no reconcile any more, and lets
// those that are running finish under the context work, which it cancels after the
// grace period. It returns when every goroutine that it started has ended.
func (c *Controller[R]) run(ctx, work context.Context) error {
	work, cancel := context.WithCancel(work)
	defer cancel()
	r := c.newRun()
	var running sync.WaitGroup
	for range c.options.Workers {
		running.Go(func() { r.worker(ctx, work) })
	}
	running.Go(func() { r.queue.Run(ctx) })
	c.sources.begin(r)
	<-ctx.Done()
	grace := c.manager.settings().Clock.AfterFunc(c.manager.settings().GracePeriod, cancel)
	defer grace.Stop()
	r.queue.ShutDown()
	c.sources.end()
	running.Wait()
	r.undecodable.end()
	r.holders.end()
	return nil
}

// worker reconciles keys until the queue is shut down and empty.
func (r *run[R]) worker(ctx, work context.Context) {
	for r.processNextItem(ctx, work) {
	}
}

// processNextItem takes one key from the queue. It returns false when there will be
// none. Once ctx or work is done it drops the key.
func (r *run[R]) processNextItem(ctx, work context.Context) bool {
	key, ok := r.queue.Get()
	if !ok {
		return false
	}
	defer r.queue.Done(key)
	if ctx.Err() == nil && work.Err() == nil {
		began := r.controller.manager.settings().Clock.Now()
		r.reconcileHandler(ctx, work, key)
		r.controller.metrics.handled(r.controller.manager.settings().Clock.Since(began))
	}
	return true
}

// reconcileHandler reconciles a key, unless that is not due: see
// [queue.Queue.Begin].
func (r *run[R]) reconcileHandler(ctx, work context.Context, key R) {
	causes, err := r.queue.Begin(ctx, key)
	switch {
	case err != nil:
		r.handleResult(ctx, r.logFor(key, nil), key, attempt{priority: queue.Low}, Result{}, err)
	case causes == nil:
	case r.controller.filter != nil:
		r.reconcileSharded(work, key, causes)
	default:
		r.reconcile(work, key, causes)
	}
}

// reconcileSharded reconciles a key of a sharded controller. It drops the key if that
// belongs to another process. If the bucket becomes this process's meanwhile, the key
// is enqueued with a new cause.
func (r *run[R]) reconcileSharded(work context.Context, key R, causes *causes) {
	ctx, leave, ok := r.controller.filter.admit(work, any(key).(Request).Key)
	if !ok {
		r.queue.Forget(key)
		return
	}
	defer leave()
	r.reconcile(ctx, key, causes)
}

// reconcile calls the reconciler for a key and decides when the key comes back.
func (r *run[R]) reconcile(ctx context.Context, key R, causes *causes) {
	if r.awaitDecodable(key) {
		return
	}
	c := r.controller
	log := r.logFor(key, causes)
	began := c.manager.settings().Clock.Now()
	c.metrics.began(began.Sub(causes.Since))
	replica := c.manager.Replica()
	writes := &observedWrites{replica: replica, causes: causes, seen: replica.Snapshot().Revision()}
	traced, spans := c.startSpans(ctx, key, causes, began)
	reconcileCtx := context.WithValue(logr.NewContext(traced, log), writesKey{}, writes)
	result, err := c.callReconciler(store.ObserveWrites(reconcileCtx, writes.observe), key)
	label := resultOf(result, err, ctx.Err() != nil)
	spans.end(label, result, err)
	c.metrics.reconciled(c.manager.settings().Clock.Since(began), label, err)
	made := writes.result()
	r.queue.Wrote(key, made.revision, made.unknownOutcome)
	r.handleResult(ctx, log, key, attempt{causes.Priority, made}, result, err)
	for _, holder := range made.holders {
		r.await(log, key, holder)
	}
}

// callReconciler turns a panic of the reconciler into an error.
func (c *Controller[R]) callReconciler(ctx context.Context, key R) (result Result, err error) {
	if c.options.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = retry.WithTimeoutCause(ctx, c.manager.settings().Clock, c.options.Timeout,
			fmt.Errorf("the reconcile took longer than %s", c.options.Timeout))
		defer cancel()
	}
	err = c.manager.guard("reconciler", func() error {
		result, err = c.reconciler.Reconcile(ctx, key)
		return sound(err)
	})
	if err == nil && result.RequeueAfter < 0 {
		err = fmt.Errorf("the result's RequeueAfter is %s: it must not be negative; use a short time for a moment that has passed", result.RequeueAfter)
	}
	if err != nil && ctx.Err() == context.DeadlineExceeded {
		err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	return result, err
}

// ownKept is how many of its own writes a reconcile remembers.
const ownKept = 16

// observedWrites are the writes of one reconcile. The reconcile's context has them.
type observedWrites struct {
	replica *informer.Replica
	causes  *causes // of the reconcile
	seen    int64   // the revision of the replica when the reconcile began

	mu   sync.Mutex
	made writes // guarded by mu
}

// writes are what the queue must know of the writes of a reconcile.
type writes struct {
	revision       int64 // that the next reconcile must see
	unknownOutcome bool  // there may be a later one
	again          bool  // the key must come back after its writes

	// holders are objects that have names which the reconcile needs. The key must come
	// back after their end.
	holders []store.Object

	// own has the changes that the reconcile made to states that it had seen. Another
	// writer's change is in none of them, nor in an event that joins one with earlier
	// changes of its object. It may have the same revision.
	own []queue.Write
}

func (w *observedWrites) observe(write store.Write) {
	if write.Client != w.replica.Store().Client() || !w.covers(write.Keys) {
		return // revisions of another etcd mean nothing here
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.made.revision = max(w.made.revision, write.Revision)
	w.made.unknownOutcome = w.made.unknownOutcome || store.IsUnknownOutcome(write.Err)
	if write.Replaced == nil {
		return
	}
	for i, revision := range write.Replaced {
		if w.isUnseen(write.Keys[i], revision) {
			return
		}
	}
	if len(w.made.own) == ownKept {
		w.made.own = w.made.own[1:]
	}
	w.made.own = append(w.made.own, queue.Write{Revision: write.Revision, Keys: write.Keys})
}

// isUnseen reports whether another writer may have changed a key at a revision after the
// reconcile began. It is called with mu held.
func (w *observedWrites) isUnseen(key string, revision int64) bool {
	return revision > w.seen && !slices.ContainsFunc(w.made.own, func(own queue.Write) bool { return own.Changed(key, revision) })
}

func (w *observedWrites) covers(keys []string) bool {
	for _, key := range keys {
		if w.replica.Covers(key) {
			return true
		}
	}
	return false
}

// result returns the writes so far. Those that the reconciler left behind in goroutines
// may end later; they do not count.
func (w *observedWrites) result() writes {
	w.mu.Lock()
	defer w.mu.Unlock()
	made := w.made
	made.own, made.holders = slices.Clone(made.own), slices.Clone(made.holders)
	return made
}

// writesKey is the key of the observedWrites in a reconcile's context.
type writesKey struct{}

// comeBackAfter makes the key of a reconcile come back after the end of objects, as
// comeBack does after its writes.
func comeBackAfter(ctx context.Context, holders []store.Object) {
	w, ok := ctx.Value(writesKey{}).(*observedWrites)
	if !ok || len(holders) == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.made.holders = append(w.made.holders, holders...)
}

// comeBack makes the key of a reconcile come back after its writes, whether or not a
// filter lets their changes pass. ctx is that of the reconcile; for another, as in a
// test that reconciles once, comeBack does nothing.
func comeBack(ctx context.Context) {
	w, ok := ctx.Value(writesKey{}).(*observedWrites)
	if !ok {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.made.again = true
}

package controller

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"

	"github.com/homeostat/homeostat/pkg/controller/internal/queue"
)

// Controller calls a [Reconciler] for the keys that its sources name. R is the type of
// the keys. [New], [NewFor] and [NewReconciler] make a Controller and add it to a
// manager, which runs it. Under [Leadership] it runs while this process leads, and
// starts each term with an empty queue.
//
// Its methods may be called at any time and from any goroutine, reconcilers
// included.
type Controller[R comparable] struct {
	name       string
	manager    *Manager
	reconciler Reconciler[R]
	options    Options
	filter     *shardFilter // nil unless the keys are sharded
	// decodability is that of the objects that the keys name; nil if they name none.
	decodability decodability
	log          logr.Logger
	sources      sources[R]
	reconciles   atomic.Uint64 // how many began; numbers them in log lines
	metrics      *controllerMetrics
}

// Options configure a controller. The zero value is useful.
type Options struct {
	// Workers is how many keys are reconciled at once, at most 65536. Each costs a
	// goroutine. Defaults to 1.
	Workers int
	// Timeout limits the time of one reconcile by [ManagerOptions].Clock. After it, the
	// Err of the reconcile's context is context.DeadlineExceeded. Defaults to no limit.
	Timeout time.Duration
	// EveryProcess makes the controller run in every process and reconcile all keys,
	// although the manager has a [Leadership] or a [Sharding]. Its writes carry no
	// fence. Defaults to false.
	EveryProcess bool
	// BackoffBase is the pause after a key's first failure. Each further failure in a
	// row doubles the pause, up to BackoffMax. They default to 5 ms and 5 minutes. More
	// than 100 years count as 100 years.
	BackoffBase, BackoffMax time.Duration
}

const maxWorkers = 1 << 16

func (o Options) withDefaults() Options {
	if o.Workers <= 0 {
		o.Workers = 1
	}
	if o.BackoffBase <= 0 {
		o.BackoffBase = 5 * time.Millisecond
	}
	if o.BackoffMax <= 0 {
		o.BackoffMax = 5 * time.Minute
	}
	// Near the end of its numbers, client-go's rate limiter returns negative pauses.
	o.BackoffMax = min(o.BackoffMax, 100*365*24*time.Hour)
	o.BackoffBase = min(o.BackoffBase, o.BackoffMax)
	return o
}

func newController[R comparable](m *Manager, name string, r Reconciler[R], o Options, kind forKind) *Controller[R] {
	log := m.settings().Log.WithName(name)
	return &Controller[R]{
		name: name, manager: m, reconciler: r, options: o.withDefaults(), log: log, metrics: m.metricsFor(name),
		filter: kind.filter, decodability: kind.decodability,
		sources: sources[R]{binding: binding[R]{manager: m, log: log, primary: kind.primary}},
	}
}

// Name returns the controller's name, which is unique in its manager.
func (c *Controller[R]) Name() string { return c.name }

// Requeue queues a key with high priority. It is RequeueAfter without a pause.
func (c *Controller[R]) Requeue(key R) error { return c.RequeueAfter(key, 0) }

// RequeueAfter queues a key after pause with low priority, or at once with high
// priority if pause is 0 or less.
//
// A key has at most one time at which it comes back. RequeueAfter replaces the time
// that an earlier RequeueAfter, a [Result] or a backoff set, whether that was earlier
// or later. The next reconcile of the key to end replaces it in turn, even one that
// is running now.
//
// It returns an error if the controller does not run in this process now.
func (c *Controller[R]) RequeueAfter(key R, pause time.Duration) error {
	r := c.sources.current()
	if r == nil {
		return fmt.Errorf("controller %q: it does not run in this process: %v is not requeued", c.name, key)
	}
	r.queue.RequeueAfter(key, pause, Cause{Type: CauseRequeueAfter})
	return nil
}

// ReconcileOnce calls the reconciler for one key, in the caller's goroutine, and
// returns its result. The error is the reconciler's, that of its commit, a recovered
// panic, or that the value of the key cannot be decoded. ReconcileOnce is for tests (see package controllertest) and for
// programs that do one thing and end.
//
// The controller's sources, queue and backoff take no part. In particular, the
// reconcile does not wait for earlier writes: it reads the newest snapshot of the
// manager's replica, and the caller ensures that this is new enough.
//
// The manager need not run, but its replica must have synced: run it with
// [informer.Replica.Run]. Under [Leadership] or [Sharding], ctx must come from a
// runnable of the manager, or the reconcile's writes are refused. A controller that
// runs in every process accepts any context.
func (c *Controller[R]) ReconcileOnce(ctx context.Context, key R) (Result, error) {
	if c.options.EveryProcess {
		ctx = c.manager.unfenced(ctx)
	}
	if !c.manager.Replica().Status().Synced {
		return Result{}, fmt.Errorf("controller %q: the manager's replica has not synced: run it and wait with WaitForSync", c.name)
	}
	log := c.log.WithValues("key", key, "reconcile", c.reconciles.Add(1))
	if err := c.undecodable(key); err != nil {
		return Result{}, fmt.Errorf("controller %q: %w", c.name, err)
	}
	return c.callReconciler(logr.NewContext(ctx, log), key)
}

// newQueue returns the queue for one run of the controller.
func (c *Controller[R]) newQueue() *queue.Queue[R, Cause] {
	replica := c.manager.Replica()
	return queue.New(queue.Config[R, Cause]{
		Clock:           c.manager.settings().Clock,
		Tenant:          tenantOf[R](),
		RateLimiter:     newRateLimiter[R](c.options),
		Revision:        func() int64 { return replica.Snapshot().Revision() },
		AfterRevision:   replica.AfterRevision,
		CurrentRevision: replica.CurrentRevision,
		Released:        func(revision int64) Cause { return Cause{Type: CauseOwnWrites, Revision: revision} },
		RevisionOf:      changeRevision,
		KeyOf:           changedKey,
		Added:           c.metrics.added,
	})
}

// AddSource adds a source to the controller, before or while it runs. If the controller
// runs, the source starts at once: one that reacts to changes first reports all
// objects that exist, after the manager's replica has listed their kind. It returns an
// error if the source cannot work with this controller.
//
// remove ends the source. It returns when no function of the source is running, so
// these functions must not call it. Keys that the source has named are still
// reconciled, and the replica keeps the source's kind. remove may be called more than
// once.
func (c *Controller[R]) AddSource(source Source[R]) (remove func(), err error) {
	s, err := c.sources.add(source)
	if err != nil {
		return nil, fmt.Errorf("controller %q: %w", c.name, err)
	}
	return func() { c.sources.remove(s) }, nil
}

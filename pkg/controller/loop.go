package controller

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/go-logr/logr"
	"k8s.io/client-go/util/workqueue"

	"github.com/homeostat/homeostat/pkg/store"
)

// Controller calls a reconciler for the keys that its sources name. R is the type
// of the keys. [New], [NewFor] and [NewReconciler] make one and add it to a manager,
// which runs it; under [Leadership] it runs once in every term.
//
// Its methods may be called at any time and by several goroutines.
type Controller[R comparable] struct {
	name       string
	manager    *Manager
	reconciler Reconciler[R]
	options    Options
	filter     *shardFilter // nil unless its keys are sharded
	log        logr.Logger
	sources    sources[R]
	ids        atomic.Uint64 // numbers the reconciles, for their log lines
	metrics    *loopMetrics
}

// run is one run of a controller: a queue of keys, and workers that reconcile them.
// Keys get into the queue by add alone.
type run[R comparable] struct {
	*Controller[R]
	notes   notes[R] // why which keys are to be reconciled
	queue   workqueue.TypedInterface[R]
	gates   *gates[R]
	delays  *delays[R]
	backoff workqueue.TypedRateLimiter[R]
	workers []worker
}

// Name returns the name that the controller has in its manager.
func (l *Controller[R]) Name() string { return l.name }

func newController[R comparable](m *Manager, name string, r Reconciler[R], o Options, primary store.KindInfo) *Controller[R] {
	log := m.log.WithName(name)
	return &Controller[R]{
		name: name, manager: m, reconciler: r, options: o.withDefaults(), log: log, metrics: m.metrics.of(name),
		sources: sources[R]{binding: binding[R]{manager: m, log: log, primary: primary}},
	}
}

func (l *Controller[R]) newRun() *run[R] {
	r := &run[R]{
		Controller: l,
		notes:      notes[R]{now: l.manager.clock.Now},
		workers:    make([]worker, l.options.Workers),
		backoff:    workqueue.NewTypedItemExponentialFailureRateLimiter[R](l.options.BackoffBase, l.options.BackoffMax),
	}
	r.queue = workqueue.NewTypedWithConfig(workqueue.TypedQueueConfig[R]{
		Clock: l.manager.clock,
		Queue: newOrder(r.notes.class),
	})
	r.delays = newDelays(l.manager.clock, r.add)
	r.gates = newGates(l.manager.replica, func(key R, revision int64) {
		r.enqueue(key, Cause{Type: CauseOwnWrites, Revision: revision})
	})
	return r
}

// enqueue has a key reconciled, as soon as befits the cause.
func (r *run[R]) enqueue(key R, c Cause) { r.add(key, c, c.class()) }

func (r *run[R]) add(key R, c Cause, cl class) {
	r.notes.add(key, c, cl)
	r.metrics.adds.Inc()
	r.queue.Add(key)
}

// run reconciles until ctx is done and then lets the reconciles that are under
// way finish, for as long as the grace period lasts, or until work is done, the
// context that they go by. It returns when the last has ended and no source is
// told anything any more.
func (l *Controller[R]) run(ctx, work context.Context) error {
	work, cancel := context.WithCancel(work)
	defer cancel()
	r := l.newRun()
	var running sync.WaitGroup
	for i := range r.workers {
		running.Go(func() { r.work(ctx, work, &r.workers[i]) })
	}
	running.Go(func() {
		ticker := l.manager.clock.NewTicker(reviewInterval)
		defer ticker.Stop()
		r.gates.watchOver(ctx, ticker.C())
	})
	l.sources.begin(r)
	<-ctx.Done()
	grace := l.manager.clock.AfterFunc(l.manager.options.GracePeriod, cancel)
	defer grace.Stop()
	r.queue.ShutDown()
	r.delays.stop()
	l.sources.end()
	running.Wait()
	r.gates.stop()
	return nil
}

package controller

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/go-logr/logr"
	"k8s.io/client-go/util/workqueue"
)

// loop is a controller: a reconciler, and the sources of its keys. It may run
// again after it has run; it keeps nothing of a run but the numbers of its
// reconciles.
type loop[R comparable] struct {
	name       string
	manager    *Manager
	reconciler Reconciler[R]
	options    Options
	log        logr.Logger
	starts     []starter[R]  // of the sources
	ids        atomic.Uint64 // numbers the reconciles, for their log lines
}

// run is one run of a loop: a queue of keys, and workers that reconcile them.
type run[R comparable] struct {
	*loop[R]
	queue   workqueue.TypedInterface[R]
	gates   *gates[R]
	delays  *delays[R]
	backoff workqueue.TypedRateLimiter[R]
}

func newLoop[R comparable](m *Manager, name string, r Reconciler[R], o Options) *loop[R] {
	return &loop[R]{name: name, manager: m, reconciler: r, options: o.withDefaults(), log: m.log.WithName(name)}
}

func (l *loop[R]) controllerName() string { return l.name }

func (l *loop[R]) newRun() *run[R] {
	queue := workqueue.NewTypedWithConfig(workqueue.TypedQueueConfig[R]{Clock: l.manager.clock})
	return &run[R]{
		loop:    l,
		queue:   queue,
		gates:   newGates(l.manager.replica, queue.Add),
		delays:  newDelays(l.manager.clock, queue.Add),
		backoff: workqueue.NewTypedItemExponentialFailureRateLimiter[R](l.options.BackoffBase, l.options.BackoffMax),
	}
}

// run reconciles until ctx is done and then lets the reconciles that are under
// way finish, for as long as the grace period lasts. It returns when the last
// has ended and no source is told anything any more.
func (l *loop[R]) run(ctx context.Context) error {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	r := l.newRun()
	var running sync.WaitGroup
	for range l.options.Workers {
		running.Go(func() { r.work(ctx, work) })
	}
	running.Go(func() {
		ticker := l.manager.clock.NewTicker(reviewInterval)
		defer ticker.Stop()
		r.gates.watchOver(ctx, ticker.C())
	})
	var stops []func()
	for _, start := range l.starts {
		stops = append(stops, start(r.queue.Add))
	}
	<-ctx.Done()
	grace := l.manager.clock.AfterFunc(l.manager.options.GracePeriod, cancel)
	defer grace.Stop()
	r.queue.ShutDown()
	r.delays.stop()
	for _, stop := range stops {
		stop()
	}
	running.Wait()
	r.gates.stop()
	return nil
}

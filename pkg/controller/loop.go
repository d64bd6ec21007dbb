package controller

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/go-logr/logr"
	"k8s.io/client-go/util/workqueue"

	"github.com/homeostat/homeostat/pkg/store"
)

// loop is a controller: a queue of keys, workers that reconcile them, and the
// sources that fill it.
type loop[R comparable] struct {
	name       string
	manager    *Manager
	reconciler Reconciler[R]
	options    Options
	log        logr.Logger
	starts     []func() (stop func()) // of the sources

	queue   workqueue.TypedInterface[R]
	gates   *gates[R]
	delays  *delays[R]
	backoff workqueue.TypedRateLimiter[R]
	ids     atomic.Uint64 // numbers the reconciles, for their log lines
}

func newLoop[R comparable](m *Manager, name string, r Reconciler[R], o Options) *loop[R] {
	o = o.withDefaults()
	queue := workqueue.NewTypedWithConfig(workqueue.TypedQueueConfig[R]{Clock: m.clock})
	return &loop[R]{
		name: name, manager: m, reconciler: r, options: o, log: m.log.WithName(name),
		queue:   queue,
		gates:   newGates(m.replica, queue.Add),
		delays:  newDelays(m.clock, queue.Add),
		backoff: workqueue.NewTypedItemExponentialFailureRateLimiter[R](o.BackoffBase, o.BackoffMax),
	}
}

func (l *loop[R]) controllerName() string { return l.name }

// run reconciles until ctx is done and then lets the reconciles that are under
// way finish, for as long as the grace period lasts. It returns when the last
// has ended.
func (l *loop[R]) run(ctx context.Context) error {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var running sync.WaitGroup
	for range l.options.Workers {
		running.Go(func() { l.work(ctx, work) })
	}
	running.Go(func() {
		ticker := l.manager.clock.NewTicker(reviewInterval)
		defer ticker.Stop()
		l.gates.watchOver(ctx, ticker.C())
	})
	var stops []func()
	for _, start := range l.starts {
		stops = append(stops, start())
	}
	<-ctx.Done()
	grace := l.manager.clock.AfterFunc(l.manager.options.GracePeriod, cancel)
	defer grace.Stop()
	l.queue.ShutDown()
	l.delays.stop()
	for _, stop := range stops {
		stop()
	}
	running.Wait()
	return nil
}

// work reconciles keys in the context work until none are left. No reconcile
// begins once ctx is done.
func (l *loop[R]) work(ctx, work context.Context) {
	for {
		key, stopped := l.queue.Get()
		if stopped {
			return
		}
		if ctx.Err() == nil {
			l.process(ctx, work, key)
		}
		l.queue.Done(key)
	}
}

// process reconciles one key, unless it has to wait for its own writes.
func (l *loop[R]) process(ctx, work context.Context, key R) {
	log := l.log.WithValues("key", key, "reconcile", l.ids.Add(1))
	switch admitted, err := l.gates.admit(ctx, key); {
	case err != nil:
		l.settle(ctx, log, key, Result{}, err)
		return
	case !admitted:
		return
	}
	wrote := &writes{replica: l.manager.replica}
	result, err := l.reconcile(store.ObserveWrites(logr.NewContext(work, log), wrote.observe), key)
	revision, unknown := wrote.result()
	l.gates.raise(key, revision)
	if unknown {
		l.gates.doubt(key)
	}
	l.settle(work, log, key, result, err)
}

// reconcile calls the reconciler. A panic of it is a failure.
func (l *loop[R]) reconcile(ctx context.Context, key R) (result Result, err error) {
	if l.options.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, l.options.Timeout,
			fmt.Errorf("the reconcile took longer than %s", l.options.Timeout))
		defer cancel()
	}
	err = guard("reconciler", func() error {
		result, err = l.reconciler.Reconcile(ctx, key)
		return err
	})
	if err != nil && ctx.Err() == context.DeadlineExceeded {
		err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	return result, err
}

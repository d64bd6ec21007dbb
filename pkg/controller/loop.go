package controller

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
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

	queue workqueue.TypedRateLimitingInterface[R]
	gates gates[R]
	ids   atomic.Uint64 // numbers the reconciles, for their log lines
}

func (l *loop[R]) controllerName() string { return l.name }

// run reconciles until ctx is done and then lets the reconciles that are under
// way finish, for as long as the grace period lasts. It returns when the last
// has ended.
func (l *loop[R]) run(ctx context.Context) error {
	l.queue = workqueue.NewTypedRateLimitingQueueWithConfig(
		workqueue.NewTypedItemExponentialFailureRateLimiter[R](l.options.BackoffBase, l.options.BackoffMax),
		workqueue.TypedRateLimitingQueueConfig[R]{Clock: l.manager.clock})
	l.gates = gates[R]{replica: l.manager.replica, enqueue: func(key R) { l.queue.Add(key) }}
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var workers sync.WaitGroup
	for range l.options.Workers {
		workers.Go(func() { l.work(work) })
	}
	var stops []func()
	for _, start := range l.starts {
		stops = append(stops, start())
	}
	<-ctx.Done()
	for _, stop := range stops {
		stop()
	}
	l.queue.ShutDown()
	grace := l.manager.clock.AfterFunc(l.manager.options.GracePeriod, cancel)
	defer grace.Stop()
	workers.Wait()
	return nil
}

func (l *loop[R]) work(ctx context.Context) {
	for {
		key, stopped := l.queue.Get()
		if stopped {
			return
		}
		l.process(ctx, key)
	}
}

// process reconciles one key, unless it has to wait for its own writes.
func (l *loop[R]) process(ctx context.Context, key R) {
	defer l.queue.Done(key)
	if l.queue.ShuttingDown() || !l.gates.admit(key) {
		return
	}
	log := l.log.WithValues("key", key, "reconcile", l.ids.Add(1))
	wrote := &writes{replica: l.manager.replica}
	result, err := l.reconcile(store.ObserveWrites(logr.NewContext(ctx, log), wrote.observe), key)
	revision, revErr := wrote.needed(ctx)
	if revErr != nil && err == nil {
		err = revErr
	}
	l.gates.raise(key, revision)
	l.settle(log, key, result, err)
}

// settle decides when the key comes back.
func (l *loop[R]) settle(log logr.Logger, key R, result Result, err error) {
	switch {
	case err == nil && result.RequeueAfter > 0:
		l.queue.Forget(key)
		l.queue.AddAfter(key, result.RequeueAfter)
	case err == nil:
		l.queue.Forget(key)
	case isTerminal(err):
		l.queue.Forget(key)
		log.Error(err, "reconcile failed for good; waiting for a change")
	case isLookAgain(err):
		log.V(1).Info("reconcile met another writer; looking again", "cause", err.Error())
		l.queue.AddRateLimited(key)
	default:
		logFailure(log, err)
		if result.RequeueAfter > 0 {
			l.queue.AddAfter(key, result.RequeueAfter)
		} else {
			l.queue.AddRateLimited(key)
		}
	}
}

func logFailure(log logr.Logger, err error) {
	if p, ok := err.(*panicError); ok {
		log.Error(err, "reconcile failed", "stack", p.stack)
		return
	}
	log.Error(err, "reconcile failed")
}

// isLookAgain reports whether a reconcile failed only because somebody else
// was faster.
func isLookAgain(err error) bool {
	var outdated *lookAgainError
	return apierrors.IsConflict(err) || errors.As(err, &outdated)
}

func (l *loop[R]) reconcile(ctx context.Context, key R) (result Result, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &panicError{p, string(debug.Stack())}
		}
	}()
	if l.options.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, l.options.Timeout,
			fmt.Errorf("reconcile took longer than %s", l.options.Timeout))
		defer cancel()
	}
	return l.reconciler.Reconcile(ctx, key)
}

// Options configure a controller. The zero value is useful.
type Options struct {
	// Workers is how many keys are reconciled at once. Defaults to 1.
	Workers int
	// Timeout bounds one reconcile: its context is done after it. Defaults to
	// none.
	Timeout time.Duration
	// BackoffBase is the pause after a key's first failure; it doubles with
	// each further one up to BackoffMax. They default to 5 ms and 5 minutes.
	BackoffBase, BackoffMax time.Duration
}

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
	return o
}

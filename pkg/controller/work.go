package controller

import (
	"context"
	"fmt"

	"github.com/go-logr/logr"

	"github.com/homeostat/homeostat/pkg/store"
)

// work reconciles keys in the context work until none are left. No reconcile
// begins once ctx or work is done.
func (r *run[R]) work(ctx, work context.Context, w *worker) {
	for {
		key, stopped := r.queue.Get()
		if stopped {
			return
		}
		if ctx.Err() == nil && work.Err() == nil {
			began := r.manager.clock.Now()
			w.begin(began)
			r.take(ctx, work, key)
			w.end()
			r.metrics.worked.Observe(r.manager.clock.Since(began).Seconds())
		}
		r.queue.Done(key)
	}
}

func (r *run[R]) take(ctx, work context.Context, key R) {
	if r.filter != nil {
		r.processSharded(ctx, work, key)
		return
	}
	r.process(ctx, work, key)
}

// process reconciles one key, unless a reconcile has begun since that serves
// it, or it has to wait for its own writes.
func (r *run[R]) process(ctx, work context.Context, key R) {
	if !r.notes.has(key) {
		return
	}
	why := &reasons{}
	log := r.logOf(key, why)
	switch admitted, err := r.gates.admit(ctx, key); {
	case err != nil:
		r.settle(ctx, log, key, later, Result{}, err)
		return
	case !admitted:
		return
	}
	*why = r.notes.take(key)
	began := r.manager.clock.Now()
	r.metrics.waited.Observe(why.age(began).Seconds())
	wrote := &writes{replica: r.manager.replica}
	traced, spans := r.startSpans(work, key, why, began)
	reconcileCtx := context.WithValue(logr.NewContext(traced, log), causesKey{}, why)
	result, err := r.reconcile(store.ObserveWrites(reconcileCtx, wrote.observe), key)
	label := resultOf(result, err, work.Err() != nil)
	spans.end(label, result, err)
	r.metrics.reconciled(r.manager.clock.Since(began), label, err)
	revision, unknown := wrote.result()
	r.gates.raise(key, revision)
	if unknown {
		r.gates.doubt(key)
	}
	r.settle(work, log, key, why.class, result, err)
}

// reconcile calls the reconciler. A panic of it is a failure.
func (l *Controller[R]) reconcile(ctx context.Context, key R) (result Result, err error) {
	if l.options.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, l.options.Timeout,
			fmt.Errorf("the reconcile took longer than %s", l.options.Timeout))
		defer cancel()
	}
	err = guard("reconciler", func() error {
		result, err = l.reconciler.Reconcile(ctx, key)
		return sound(err)
	})
	if err != nil && ctx.Err() == context.DeadlineExceeded {
		err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	return result, err
}

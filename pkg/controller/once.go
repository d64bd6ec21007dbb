package controller

import (
	"context"
	"fmt"

	"github.com/go-logr/logr"
)

// ReconcileOnce calls the reconciler for one key, in the caller's goroutine, and
// returns its result. The error is the reconciler's, that of its commit, or a
// recovered panic. ReconcileOnce is for tests (see package controllertest) and for
// programs that do one thing and end.
//
// The controller's sources, queue and backoff take no part. In particular, the
// reconcile does not wait for earlier writes: it reads the newest snapshot of the
// manager's replica, and the caller ensures that this is new enough.
//
// The manager need not run, but its replica must have synced: run it with
// [informer.Replica.Run]. Under [Leadership] or [Sharding], ctx must come from a
// runnable of the manager, or the reconcile's writes are refused. A controller that
// runs in every process takes any context.
func (l *Controller[R]) ReconcileOnce(ctx context.Context, key R) (Result, error) {
	m := l.manager
	if l.options.EveryProcess {
		ctx = m.unfenced(ctx)
	}
	if !m.replica.Status().Synced {
		return Result{}, fmt.Errorf("controller %q: the manager's replica has not synced: run it and wait with WaitForSync", l.name)
	}
	log := l.log.WithValues("key", key, "reconcile", l.ids.Add(1))
	return l.reconcile(logr.NewContext(ctx, log), key)
}

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/homeostat/homeostat/examples/deployment-controller/internal/progress"
	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// waiter waits for the rollouts of Deployments.
type waiter struct {
	view     *view
	rollouts map[store.Key]progress.Rollout
	pending  map[store.Key]error     // why those that are not complete are not
	rechecks map[store.Key]time.Time // of the rollouts that may fail without a change
}

// wait returns nil when all rollouts are complete at the same time, or an error when one
// has failed, when its Deployment was deleted, or when ctx is done.
func (w *waiter) wait(ctx context.Context) error {
	w.pending, w.rechecks = map[store.Key]error{}, map[store.Key]time.Time{}
	for key, rollout := range w.rollouts {
		if due := rollout.Recheck(); !due.IsZero() {
			w.rechecks[key] = due
		}
	}
	dirty := newDirtyKeys()
	dirty.add(slices.Collect(maps.Keys(w.rollouts))...)
	defer w.view.deployments.AddHandler(func(_ context.Context, e informer.Event[*appsv1.Deployment]) {
		if _, ok := w.rollouts[store.KeyOf(e.Object)]; ok {
			dirty.add(store.KeyOf(e.Object))
		}
	}).Remove()
	for {
		if err := w.check(dirty.take()); err != nil || len(w.pending) == 0 {
			return err
		}
		recheck, stop := w.recheck()
		select {
		case <-dirty.wake:
		case <-recheck:
			dirty.add(slices.Collect(maps.Keys(w.rechecks))...)
		case <-ctx.Done():
			stop()
			return fmt.Errorf("%w: %w", context.Cause(ctx), w.unfinished())
		}
		stop()
	}
}

// check looks at Deployments again. It returns an error for those that cannot complete.
func (w *waiter) check(keys map[store.Key]struct{}) error {
	var failed error
	snapshot, now := w.view.replica.Snapshot(), time.Now()
	for _, key := range slices.SortedFunc(maps.Keys(keys), compareKeys) {
		delete(w.pending, key)
		d, ok := w.view.deployments.Get(snapshot, key)
		if !ok {
			failed = errors.Join(failed, fmt.Errorf("deployment %s was deleted", key))
			continue
		}
		rollout := w.rollouts[key]
		if reason, bad := rollout.Failed(d, now); bad {
			failed = errors.Join(failed, failure{d, reason})
		}
		if !rollout.Complete(d) {
			w.pending[key] = fmt.Errorf("deployment %s: %d of %d replicas are updated, %d available, %d terminating",
				key, d.Status.UpdatedReplicas, replicasOf(d), d.Status.AvailableReplicas, terminatingOf(d))
		}
	}
	return failed
}

func terminatingOf(d *appsv1.Deployment) int32 {
	if d.Status.TerminatingReplicas == nil {
		return 0
	}
	return *d.Status.TerminatingReplicas
}

// recheck returns a channel that is ready when a rollout may have failed without a change
// of its Deployment.
func (w *waiter) recheck() (at <-chan time.Time, stop func() bool) {
	var next time.Time
	for _, due := range w.rechecks {
		if due.After(time.Now()) && (next.IsZero() || due.Before(next)) {
			next = due
		}
	}
	if next.IsZero() {
		return nil, func() bool { return true }
	}
	timer := time.NewTimer(time.Until(next))
	return timer.C, timer.Stop
}

// maxUnfinished is how many Deployments an error names.
const maxUnfinished = 10

// unfinished says what the wait is for.
func (w *waiter) unfinished() error {
	var errs []error
	for _, key := range slices.SortedFunc(maps.Keys(w.pending), compareKeys) {
		if len(errs) == maxUnfinished {
			errs = append(errs, fmt.Errorf("and %d more", len(w.pending)-maxUnfinished))
			break
		}
		errs = append(errs, w.pending[key])
	}
	return errors.Join(errs...)
}

func compareKeys(a, b store.Key) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

package controller

import (
	"context"
	"errors"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/homeostat/homeostat/pkg/controller/internal/queue"
)

// lostRaces is how many failures in a row a key may have before one more lost race
// is reported as a failure. What is in its way may be no race, such as an object
// that exists but cannot be decoded.
const lostRaces = 10

// attempt is what a reconcile was and did.
type attempt struct {
	priority queue.Priority // that the key had
	writes   writes
}

// handleResult decides when a key comes back. What an earlier reconcile asked for no
// longer counts. A key that is tried again has the priority that it had. ctx is the
// reconcile's.
func (r *run[R]) handleResult(ctx context.Context, log logr.Logger, key R, a attempt, result Result, err error) {
	switch {
	case err == nil:
		r.queue.Finish(key, queue.Result[Cause]{
			After: result.RequeueAfter, Cause: Cause{Type: CauseRequeueAfter}, Priority: queue.Low})
		if a.writes.again {
			r.enqueue(key, Cause{Type: CauseOwnWrites, Revision: a.writes.revision})
		}
	case ctx.Err() != nil: // the controller stops, or another process gets the key
		r.queue.Forget(key)
		log.V(1).Info("reconcile ended by the stop of the controller", "error", err.Error(), "cause", context.Cause(ctx).Error())
	case isTerminal(err):
		logFailure(log, err, "reconcile failed for good; waiting for a change")
		r.queue.Finish(key, queue.Result[Cause]{Err: err, Wrote: a.writes.own})
	case isLookAgain(err):
		if r.retry(key, a, err) > lostRaces {
			logFailure(log, err, "reconcile lost again and again to another writer")
		} else {
			r.races.lost(r.controller.manager.settings().Clock, log, err)
		}
	default:
		logFailure(log, err, "reconcile failed")
		if result.RequeueAfter > 0 {
			r.queue.Finish(key, queue.Result[Cause]{
				Err: err, After: result.RequeueAfter, Cause: Cause{Type: CauseRequeueAfter}, Priority: a.priority, Wrote: a.writes.own})
			return
		}
		r.retry(key, a, err)
	}
}

// retry makes a key come back after its backoff. It returns how many reconciles of
// the key have failed in a row.
func (r *run[R]) retry(key R, a attempt, err error) (failures int) {
	r.controller.metrics.retried()
	return r.queue.Finish(key, queue.Result[Cause]{
		Err: err, Backoff: true, Cause: Cause{Type: CauseBackoff}, Priority: a.priority, Wrote: a.writes.own})
}

func logFailure(log logr.Logger, err error, message string) {
	if stack, ok := stackOf(err); ok {
		log = log.WithValues("stack", stack)
	}
	log.Error(err, message)
}

// isLookAgain reports whether a reconcile failed only because another writer was
// faster.
func isLookAgain(err error) bool {
	var outdated *outdatedError
	return apierrors.IsConflict(err) || errors.As(err, &outdated)
}

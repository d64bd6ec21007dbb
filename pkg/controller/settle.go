package controller

import (
	"context"
	"errors"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// lostRaces is how many times in a row a key may lose a race before that is
// reported as a failure: what it loses to may not be a race at all, such as an
// object that is there but cannot be decoded.
const lostRaces = 10

// settle decides when the key comes back. What an earlier reconcile of it has
// asked for no longer counts. ctx is the reconcile's, and cl the class that it
// had: trying again is as urgent as trying was.
func (r *run[R]) settle(ctx context.Context, log logr.Logger, key R, cl class, result Result, err error) {
	switch {
	case err == nil:
		r.backoff.Forget(key)
		if result.RequeueAfter <= 0 {
			r.delays.clear(key)
			return
		}
		r.delays.set(key, result.RequeueAfter, Cause{Type: CauseRequeueAfter}, later)
	case ctx.Err() != nil:
		log.V(1).Info("reconcile ended by the stop of the controller", "error", err.Error(), "cause", context.Cause(ctx).Error())
	case isTerminal(err):
		r.backoff.Forget(key)
		r.delays.clear(key)
		logFailure(log, err, "reconcile failed for good; waiting for a change")
	case isLookAgain(err):
		if r.backoff.NumRequeues(key) >= lostRaces {
			logFailure(log, err, "reconcile lost again and again to another writer")
		} else {
			log.V(1).Info("reconcile met another writer; looking again", "cause", err.Error())
		}
		r.retry(key, cl)
	default:
		logFailure(log, err, "reconcile failed")
		if result.RequeueAfter > 0 {
			r.delays.set(key, result.RequeueAfter, Cause{Type: CauseRequeueAfter}, cl)
			return
		}
		r.retry(key, cl)
	}
}

// retry has a key tried again after a pause that doubles.
func (r *run[R]) retry(key R, cl class) {
	r.metrics.retries.Inc()
	r.delays.set(key, r.backoff.When(key), Cause{Type: CauseBackoff}, cl)
}

func logFailure(log logr.Logger, err error, message string) {
	var p *panicError
	if errors.As(err, &p) {
		log = log.WithValues("stack", p.stack)
	}
	log.Error(err, message)
}

// isLookAgain reports whether a reconcile failed only because somebody else
// was faster.
func isLookAgain(err error) bool {
	var outdated *lookAgainError
	return apierrors.IsConflict(err) || errors.As(err, &outdated)
}

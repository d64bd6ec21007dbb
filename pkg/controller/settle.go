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
// asked for no longer counts. ctx is the reconcile's.
func (r *run[R]) settle(ctx context.Context, log logr.Logger, key R, result Result, err error) {
	switch {
	case err == nil:
		r.backoff.Forget(key)
		r.delays.set(key, result.RequeueAfter)
	case ctx.Err() != nil:
		log.V(1).Info("reconcile ended by the stop of the manager", "cause", err.Error())
	case isTerminal(err):
		r.backoff.Forget(key)
		r.delays.set(key, 0)
		logFailure(log, err, "reconcile failed for good; waiting for a change")
	case isLookAgain(err):
		if r.backoff.NumRequeues(key) >= lostRaces {
			logFailure(log, err, "reconcile lost again and again to another writer")
		} else {
			log.V(1).Info("reconcile met another writer; looking again", "cause", err.Error())
		}
		r.delays.set(key, r.backoff.When(key))
	default:
		logFailure(log, err, "reconcile failed")
		pause := result.RequeueAfter
		if pause <= 0 {
			pause = r.backoff.When(key)
		}
		r.delays.set(key, pause)
	}
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

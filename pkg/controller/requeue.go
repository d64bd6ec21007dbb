package controller

import (
	"fmt"
	"time"
)

// Requeue queues a key for a reconcile now. It is RequeueAfter with no pause.
func (l *Controller[R]) Requeue(key R) error { return l.RequeueAfter(key, 0) }

// RequeueAfter queues a key for a reconcile after pause, or at once for 0 or less.
//
// A key has at most one time at which it comes back. RequeueAfter replaces the one
// that an earlier RequeueAfter, a [Result] or a backoff set, be it earlier or later.
// The next reconcile of the key to end replaces it in turn; so does one that is
// under way.
//
// It fails when the controller does not run in this process now.
func (l *Controller[R]) RequeueAfter(key R, pause time.Duration) error {
	r := l.sources.current()
	if r == nil {
		return fmt.Errorf("controller %q: it does not run here now: %v is not requeued", l.name, key)
	}
	if pause > 0 {
		r.delays.set(key, pause, Cause{Type: CauseRequeueAfter}, later)
		return nil
	}
	r.delays.clear(key)
	r.add(key, Cause{Type: CauseRequeueAfter}, prompt)
	return nil
}

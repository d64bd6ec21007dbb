package controller

import (
	"fmt"
	"time"
)

// RequeueAfter has a controller of a manager reconcile a key after a while: at
// once for 0 or less. name is the controller's. It moves what was set before, be
// it by this function, by a [Result] or as the backoff of a failure, earlier or
// later: a key has one such time at most. The next reconcile of the key to end
// sets it anew, as does one that is under way.
//
// It fails when the controller does not run in this process now.
func RequeueAfter[R comparable](m *Manager, name string, key R, pause time.Duration) error {
	l, err := loopNamed[R](m, name)
	if err != nil {
		return err
	}
	r := l.sources.current()
	if r == nil {
		return fmt.Errorf("controller %q: it does not run here now: %v is not requeued", name, key)
	}
	if pause > 0 {
		r.delays.set(key, pause, Cause{Type: CauseRequeueAfter}, later)
		return nil
	}
	r.delays.clear(key)
	r.add(key, Cause{Type: CauseRequeueAfter}, prompt)
	return nil
}

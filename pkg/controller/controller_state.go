package controller

import (
	"time"

	"github.com/homeostat/homeostat/pkg/controller/internal/queue"
)

// KeyPhase says what a key does or waits for; see [Controller.KeyState].
type KeyPhase string

// The phases of a key.
const (
	// KeyIdle is a key for which there is nothing to do. The controller may never
	// have heard of it.
	KeyIdle KeyPhase = "idle"
	// KeyQueued is a key that waits for a worker to be free.
	KeyQueued KeyPhase = "queued"
	// KeyReconciling is a key that a worker reconciles.
	KeyReconciling KeyPhase = "reconciling"
	// KeyWaitingForRevision is a key that waits until the replica has what the key's
	// last reconcile wrote.
	KeyWaitingForRevision KeyPhase = "waiting for revision"
	// KeyInBackoff is a key that failed, or lost a race, and waits for its retry.
	KeyInBackoff KeyPhase = "in backoff"
	// KeyWaitingForTime is a key that waits for the time that [Result].RequeueAfter or
	// [Controller.RequeueAfter] set.
	KeyWaitingForTime KeyPhase = "waiting for time"
	// KeyFailed is a key that failed with a [TerminalError]. It waits for a change.
	// The controller remembers the latest thousand or so; older ones are idle.
	KeyFailed KeyPhase = "failed"
	// KeyUndecodable is a key whose stored value cannot be decoded: LastError has the
	// reason. It waits until the value can be decoded, or is gone.
	KeyUndecodable KeyPhase = "undecodable"
)

var keyPhases = map[queue.Phase]KeyPhase{
	queue.Idle: KeyIdle, queue.Queued: KeyQueued, queue.Reconciling: KeyReconciling,
	queue.WaitingForRevision: KeyWaitingForRevision, queue.InBackoff: KeyInBackoff,
	queue.WaitingForTime: KeyWaitingForTime, queue.Failed: KeyFailed,
}

// KeyState says why a key is not being reconciled, since when, and what comes next.
// [Controller.KeyState] returns it. Begin with Phase, then LastError and Next.
type KeyState[R comparable] struct {
	// Key is the key, and Phase what it does or waits for.
	Key   R
	Phase KeyPhase
	// Since is when the phase began: for a queued key and one that waits for a
	// revision, the time of its first cause. It is zero for an idle key.
	Since time.Time

	// Causes are the first four and the last four causes of the reconcile that is
	// running, or else of the next one. TotalCauses is how many there are.
	Causes      []Cause
	TotalCauses int
	// HighPriority says that something changed: the key goes before those that come
	// by time or were there at the start.
	HighPriority bool
	// Again says that the key is being reconciled, and will be reconciled again,
	// because it was queued meanwhile.
	Again bool

	// Failures is how many reconciles in a row failed or lost a race. LastError is the
	// error of the latest of them, and LastErrorTime is when it returned. They are
	// zero after a success.
	Failures      int
	LastError     string
	LastErrorTime time.Time

	// Next is when the key comes back, unless a change brings it back earlier. It is
	// zero if no time is set.
	Next time.Time
	// Revision is the revision that the replica must reach before the key is
	// reconciled again, or 0 if the key waits for none.
	Revision int64
	// UnknownOutcome says that a write of the key may or may not have happened. The
	// next reconcile first asks etcd for its revision.
	UnknownOutcome bool
}

// ControllerState is how a controller is doing. The counts of keys overlap: a key
// that is being reconciled may also be in backoff, until the reconcile has ended.
type ControllerState struct {
	// Running says whether the controller runs in this process. If not, everything
	// below but Workers is zero.
	Running bool
	// Workers is [Options].Workers, or its default.
	Workers int

	// The number of keys in each phase; see [KeyPhase]. If Reconciling equals Workers
	// and Queued grows, the controller needs more workers or faster reconciles.
	Reconciling, Queued, WaitingForRevision, InBackoff, WaitingForTime, Failed, Undecodable int

	// OldestWait is how long the oldest cause has waited for a reconcile.
	// LongestReconcile is how long the longest of the running reconciles has taken,
	// and TotalReconcile is the sum over all running reconciles.
	OldestWait, LongestReconcile, TotalReconcile time.Duration
}

// State returns how the controller is doing. It is cheap, however many keys there
// are.
func (c *Controller[R]) State() ControllerState {
	s := ControllerState{Workers: c.options.Workers}
	r := c.sources.current()
	if r == nil {
		return s
	}
	q := r.queue.State()
	s.Running = true
	s.Reconciling, s.Queued, s.WaitingForRevision = q.Reconciling, q.Queued, q.WaitingForRevision
	s.InBackoff, s.WaitingForTime, s.Failed = q.InBackoff, q.WaitingForTime, q.Failed
	s.Undecodable = r.undecodable.len()
	s.OldestWait, s.LongestReconcile, s.TotalReconcile = q.OldestWait, q.LongestWork, q.TotalWork
	return s
}

// KeyState returns what the controller knows of a key in this process: why the key is
// not being reconciled, since when, and what comes next. A key is idle while the
// controller does not run, or while the key's bucket belongs to another process.
func (c *Controller[R]) KeyState(key R) KeyState[R] {
	r := c.sources.current()
	if r == nil {
		return KeyState[R]{Key: key, Phase: KeyIdle}
	}
	return r.newKeyState(r.queue.KeyState(key))
}

// KeyStates returns the states of keys that are not idle, at most as many as most says.
// Keys that are being reconciled come first, then those that have causes, the oldest
// first, and then the others in no particular order. [Controller.State] counts all of
// them.
func (c *Controller[R]) KeyStates(most int) []KeyState[R] {
	r := c.sources.current()
	if r == nil {
		return nil
	}
	var states []KeyState[R]
	for _, s := range r.queue.KeyStates(most) {
		states = append(states, r.newKeyState(s))
	}
	for _, key := range r.undecodable.keys(most - len(states)) {
		if s := r.queue.KeyState(key); s.Phase == queue.Idle { // others are listed already
			states = append(states, r.newKeyState(s))
		}
	}
	return states
}

func (r *run[R]) newKeyState(s queue.KeyState[R, Cause]) KeyState[R] {
	k := KeyState[R]{
		Key: s.Key, Phase: keyPhases[s.Phase], Since: s.Since, Causes: s.Causes.List(), Again: s.Again,
		Failures: s.Failures, LastError: s.LastError, LastErrorTime: s.LastErrorTime,
		Next: s.Next, Revision: s.Revision, UnknownOutcome: s.UnknownOutcome,
	}
	if s.Causes != nil {
		k.TotalCauses, k.HighPriority = s.Causes.Total, s.Causes.Priority == queue.High
	}
	if since, ok := r.undecodable.since(s.Key); ok && (s.Phase == queue.Idle || s.Phase == queue.WaitingForTime) {
		if err := r.controller.undecodable(s.Key); err != nil {
			k.Phase, k.Since, k.LastError = KeyUndecodable, since, err.Error()
		}
	}
	return k
}

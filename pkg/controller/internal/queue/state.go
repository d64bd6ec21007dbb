package queue

import "time"

// Phase is what a key does or waits for.
type Phase int

// The phases of a key. Where several fit, it is the first.
const (
	Idle               Phase = iota // nothing is to be done
	Reconciling                     // a worker has it
	WaitingForRevision              // the replica must first reach a revision
	Queued                          // a worker must be free
	InBackoff                       // it failed, and is tried again
	WaitingForTime                  // it was asked to come back
	Failed                          // it failed for good: only a change brings it back
)

// KeyState is what the queue knows of a key.
type KeyState[R comparable, C any] struct {
	Key   R
	Phase Phase
	Since time.Time // of the phase; zero when idle

	Causes   *Causes[C] // of the reconcile that runs, or else of the next; nil: there are none
	Priority Priority   // of Causes
	// Again says that the key is reconciled and has causes for one more reconcile.
	Again bool

	Failures       int // in a row
	LastError      string
	LastErrorTime  time.Time
	Next           time.Time // when the key comes back by itself; zero: it does not
	Revision       int64     // that the next reconcile waits for; 0: none
	UnknownOutcome bool      // etcd must first say how a write ended
}

// KeyState returns what the queue knows of a key: no more than the key's name and
// Idle if there is no record.
func (q *Queue[R, C]) KeyState(key R) KeyState[R, C] {
	q.mu.Lock()
	defer q.mu.Unlock()
	if r := q.records.get(key); r != nil {
		return r.state()
	}
	return KeyState[R, C]{Key: key}
}

// KeyStates returns the states of at most so many keys: first those that are
// reconciled, then those that have causes, the one that has waited longest first,
// then others in no order.
func (q *Queue[R, C]) KeyStates(most int) []KeyState[R, C] {
	most = max(0, most)
	q.mu.Lock()
	defer q.mu.Unlock()
	states := make([]KeyState[R, C], 0, min(most, q.records.len()))
	for n := q.active.first; n != nil && len(states) < most; n = n.next {
		states = append(states, n.of.state())
	}
	for n := q.pending.first; n != nil && len(states) < most; n = n.next {
		if n.of.running == nil {
			states = append(states, n.of.state())
		}
	}
	if len(states) < most {
		for _, r := range q.records.m {
			if len(states) == most {
				break
			}
			if r.running == nil && r.pending == nil {
				states = append(states, r.state())
			}
		}
	}
	return states
}

func (r *record[R, C]) state() KeyState[R, C] {
	s := KeyState[R, C]{Key: r.key, Causes: r.running.clone(), UnknownOutcome: r.unknownOutcome}
	s.Phase, s.Since = r.phase()
	s.Again = r.running != nil && r.pending != nil
	if s.Causes == nil {
		s.Causes = r.pending.clone()
	}
	if s.Causes != nil {
		s.Priority = s.Causes.Priority
	}
	if f := r.failure; f != nil {
		s.Failures, s.LastError, s.LastErrorTime = f.count, f.text, f.at
	}
	if r.requeue != nil {
		s.Next = r.requeue.due
	}
	if r.gate != nil {
		s.Revision = r.gate.revision
	}
	return s
}

func (r *record[R, C]) phase() (Phase, time.Time) {
	switch t := r.requeue; {
	case r.running != nil:
		return Reconciling, r.started
	case r.gate != nil && r.gate.wanted:
		return WaitingForRevision, r.pending.Since
	case r.pending != nil && (r.tenant != nil || t == nil || !t.backoff):
		return Queued, r.pending.Since
	case t != nil && t.backoff:
		return InBackoff, t.set
	case t != nil:
		return WaitingForTime, t.set
	case r.failure != nil:
		return Failed, r.failure.at
	}
	return Idle, time.Time{}
}

// clone returns a copy that does not change, or nil for nil.
func (c *Causes[C]) clone() *Causes[C] {
	if c == nil {
		return nil
	}
	copied := *c
	copied.more = append([]C(nil), c.more...)
	return &copied
}

// State is how many keys do and wait for what. A key may count more than once: one
// that is reconciled may also be about to come back.
type State struct {
	Reconciling, Queued, WaitingForRevision, InBackoff, WaitingForTime, Failed int

	OldestWait  time.Duration // since the first cause of the key that has waited longest
	TotalWork   time.Duration // that the reconciles under way have taken, in total
	LongestWork time.Duration // that the longest of them has taken
}

// State returns how the queue fares. Its cost does not grow with the number of
// keys.
func (q *Queue[R, C]) State() State {
	now := q.config.Clock.Now()
	q.mu.Lock()
	defer q.mu.Unlock()
	s := State{
		Reconciling: q.active.len, Queued: q.order.ages.len, WaitingForRevision: q.held,
		InBackoff: q.backoffs, WaitingForTime: len(q.timers) - q.backoffs, Failed: q.failed.len,
	}
	if n := q.pending.first; n != nil {
		s.OldestWait = max(0, now.Sub(n.of.pending.Since))
	}
	for n := q.active.first; n != nil; n = n.next {
		took := max(0, now.Sub(n.of.started))
		s.TotalWork += took
		s.LongestWork = max(s.LongestWork, took)
	}
	return s
}

package queue

import (
	"container/heap"
	"context"
	"time"
)

// firedAtOnce bounds how many timers fire while the mutex is held.
const firedAtOnce = 256

// requeueTimer is the time at which a key comes back.
type requeueTimer[R comparable, C any] struct {
	record   *record[R, C]
	set, due time.Time
	backoff  bool // it follows a failure
	cause    C
	priority Priority
	index    int // in the heap
}

// timerHeap has the timers of all keys, the earliest first.
type timerHeap[R comparable, C any] []*requeueTimer[R, C]

func (h timerHeap[R, C]) Len() int           { return len(h) }
func (h timerHeap[R, C]) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h timerHeap[R, C]) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *timerHeap[R, C]) Push(x any) {
	t := x.(*requeueTimer[R, C])
	t.index = len(*h)
	*h = append(*h, t)
}

func (h *timerHeap[R, C]) Pop() any {
	old := *h
	last := len(old) - 1
	t := old[last]
	old[last] = nil
	*h = old[:last]
	if last == 0 {
		*h = nil // gives the memory back
	}
	return t
}

// setTimer makes the time of t the one at which the key comes back. It reports
// whether that is now the earliest of all: the caller then calls wake.
func (q *Queue[R, C]) setTimer(r *record[R, C], t *requeueTimer[R, C]) (earliest bool) {
	q.clearTimer(r)
	if q.stopped {
		return false
	}
	t.record, r.requeue = r, t
	heap.Push(&q.timers, t)
	if t.backoff {
		q.backoffs++
	}
	return t.index == 0
}

func (q *Queue[R, C]) clearTimer(r *record[R, C]) {
	t := r.requeue
	if t == nil {
		return
	}
	heap.Remove(&q.timers, t.index)
	r.requeue = nil
	if t.backoff {
		q.backoffs--
	}
}

// wake makes runTimers look at the earliest timer again.
func (q *Queue[R, C]) wake() {
	select {
	case q.poke <- struct{}{}:
	default:
	}
}

// runTimers adds keys when their time has come, until ctx is done. It waits on a
// channel of the clock's, never in a callback: a clock may call those under its own
// lock, as k8s.io/utils/clock/testing.FakeClock does.
func (q *Queue[R, C]) runTimers(ctx context.Context) {
	for ctx.Err() == nil {
		next, ok := q.fire()
		if !ok {
			select {
			case <-ctx.Done():
			case <-q.poke:
			}
			continue
		}
		timer := q.config.Clock.NewTimer(next.Sub(q.config.Clock.Now()))
		// A clock that is stepped may have passed next before the timer was set.
		if q.config.Clock.Now().Before(next) {
			select {
			case <-ctx.Done():
			case <-q.poke:
			case <-timer.C():
			}
		}
		timer.Stop()
	}
}

// fire adds the keys whose time has come. It returns when the next is due, or
// false if there is none.
func (q *Queue[R, C]) fire() (next time.Time, ok bool) {
	for {
		keys := q.expire(q.config.Clock.Now())
		for _, key := range keys {
			q.ready(key)
		}
		if len(keys) == firedAtOnce {
			continue
		}
		q.mu.Lock()
		defer q.mu.Unlock()
		if len(q.timers) == 0 {
			return time.Time{}, false
		}
		return q.timers[0].due, true
	}
}

// expire removes the timers that are due and gives their keys a cause.
func (q *Queue[R, C]) expire(now time.Time) (keys []R) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.timers) > 0 && len(keys) < firedAtOnce && !q.timers[0].due.After(now) {
		t := q.timers[0]
		q.clearTimer(t.record)
		q.addCause(t.record, t.cause, t.priority, now)
		keys = append(keys, t.record.key)
	}
	return keys
}

package stream

import (
	"context"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/semaphore"
)

// Step is a portion of the stream.
type Step struct {
	// Events are all events of one or more revisions. It may be empty.
	Events []*clientv3.Event
	// Position is the position after the events.
	Position Position

	size  int64
	queue *queue
}

// Done releases the step's memory. The reader must call it for every step.
func (s Step) Done() { s.queue.room.Release(s.size) }

// Steps is the channel from a stream to its reader.
type Steps chan Step

const (
	// maxWaiting bounds the bytes in the queue. A single larger response of etcd
	// still fits.
	maxWaiting = 64 << 20
	// Each step and each event counts for its keys and values and for these.
	stepOverhead, eventOverhead = 4 << 10, 256
)

// NewSteps makes a channel that never blocks the stream.
func NewSteps() Steps { return make(Steps, maxWaiting/stepOverhead) }

// queue bounds the memory of the steps that wait.
type queue struct {
	steps Steps
	room  *semaphore.Weighted
}

func newQueue(steps Steps) *queue {
	return &queue{steps: steps, room: semaphore.NewWeighted(maxWaiting)}
}

// put queues a step if there is room. Otherwise it drops the step and returns false;
// the stream later continues after the last queued step.
func (q *queue) put(s Step) bool {
	s.queue, s.size = q, stepOverhead
	for _, ev := range s.Events {
		s.size += eventOverhead + int64(len(ev.Kv.Key)+len(ev.Kv.Value))
		if ev.PrevKv != nil {
			s.size += int64(len(ev.PrevKv.Key) + len(ev.PrevKv.Value))
		}
	}
	s.size = min(s.size, maxWaiting)
	if !q.room.TryAcquire(s.size) {
		return false
	}
	q.steps <- s
	return true
}

// drain waits until the reader is done with all queued steps. It always returns an
// error, which is errBehind if the wait succeeded.
func (q *queue) drain(ctx context.Context) error {
	if err := q.room.Acquire(ctx, maxWaiting); err != nil {
		return fmt.Errorf("%w: %w", errBehind, err)
	}
	q.room.Release(maxWaiting)
	return errBehind
}

package stream

import (
	"context"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/semaphore"
)

// Step is a piece of the stream.
type Step struct {
	// Events are those of whole revisions; there may be none.
	Events []*clientv3.Event
	// Position is where the stream is after them.
	Position Position

	size int64
	of   *queue
}

// Done says that the step has been dealt with. It must be called for each.
func (s Step) Done() { s.of.room.Release(s.size) }

// Steps carries steps from a stream to its reader.
type Steps chan Step

const (
	// maxWaiting bounds the bytes that wait to be taken, except that one
	// response of etcd's may be larger.
	maxWaiting = 64 << 20
	// What is counted for each step and each event on top.
	stepOverhead, eventOverhead = 4 << 10, 256
)

// NewSteps makes a channel in which there is room for all that may wait.
func NewSteps() Steps { return make(Steps, maxWaiting/stepOverhead) }

// queue bounds what waits in steps.
type queue struct {
	steps Steps
	room  *semaphore.Weighted
}

func newQueue(steps Steps) *queue {
	return &queue{steps: steps, room: semaphore.NewWeighted(maxWaiting)}
}

// put hands a step on if there is room. What does not fit is lost: the stream
// then goes on from what was handed on before.
func (q *queue) put(s Step) bool {
	s.of, s.size = q, stepOverhead
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

// drained waits until the reader has dealt with all that was handed on.
func (q *queue) drained(ctx context.Context) error {
	if err := q.room.Acquire(ctx, maxWaiting); err != nil {
		return fmt.Errorf("%w: %w", errBehind, err)
	}
	q.room.Release(maxWaiting)
	return errBehind
}

package informer

import (
	"context"
	"math"
	"time"

	"k8s.io/utils/clock"

	"github.com/homeostat/homeostat/pkg/store"
)

// Debounce bounds how long changes are collected before a batch handler gets them.
// With the zero value, a batch has the changes that arrived while the handler was
// busy with the batch before. A negative time counts as 0.
type Debounce struct {
	// Quiet is how long no change must arrive before the batch is delivered. Defaults
	// to Max: the batch is delivered when its first change has waited for Max.
	Quiet time.Duration
	// Max is the longest that the first change of a batch waits, even if further
	// changes keep arriving. Defaults to ten times Quiet.
	Max time.Duration
}

// Batch has the net changes of the objects of one kind since the batch before, with
// each object once. A handler that applies each batch to its own state has exactly
// what etcd held at the batch's Revision, of the objects that pass its filters.
type Batch[T store.Object] struct {
	// Revision is etcd's. The batch and those before it have all changes up to this
	// revision, and none after it. A transaction is never split.
	Revision int64
	// Initial says that this is the first batch. It has all objects, as Added
	// events.
	Initial bool
	// Events are in the order of their revisions; those of the first batch are in
	// the order of keys. An object that was deleted and created again has two
	// adjacent events, Deleted and Added. Every other object has one, which is its
	// difference from the batch before.
	Events []Event[T]
}

// BatchHandler is called with the changes of the objects of one kind, one batch at
// a time. The rules of [Handler] apply: objects are shared, the handler may take its
// time but must return when ctx is done, and if it panics, the batch is not delivered
// again.
type BatchHandler[T store.Object] func(ctx context.Context, b Batch[T])

// AddBatchHandler registers a handler of batches. The first batch has all objects
// of a snapshot that pass all filters. It is delivered once the kind was listed,
// even if it is empty, so that the handler knows that there is nothing.
//
// After that, changes are collected. A batch is delivered when no change has arrived
// for d.Quiet, or when its first change has waited for d.Max, but not before the
// handler has returned from the batch before. Changes of one object are joined into
// one. An object that was created and deleted within a batch does not appear, and
// an empty batch is not delivered. The number of collected changes is bounded by the
// number of objects. They are kept while the replica does not run.
//
// With a checkpoint, the next process may deliver an object, as initial and then as
// Deleted, that this process never delivered: one that was created and deleted within
// one batch.
//
// The replica measures the times with [Options].Clock.
func (i *Informer[T]) AddBatchHandler(d Debounce, handle BatchHandler[T], filters ...Filter[T]) *Registration {
	q := i.newBatchQueue(d, handle)
	q.backlog = newBacklog(0, 0) // joins all changes of an object
	return i.register(q, filters)
}

// AddBatchHandlerWithJoined is [Informer.AddBatchHandler] for a handler that must learn
// of every change; [Informer.AddHandlerWithJoined] says why. The Events of a batch are
// single changes, in the order of revisions. Only if the handler falls far behind are
// changes of one object joined, after a call of joined with each of them. The batch that
// would have had them is delivered even if all its changes cancel out.
func (i *Informer[T]) AddBatchHandlerWithJoined(d Debounce, handle BatchHandler[T], joined func(e Event[T]), filters ...Filter[T]) *Registration {
	q := i.newBatchQueue(d, handle)
	q.joined = func(c change) { joined(eventOf[T](c, false)) }
	return i.register(q, filters)
}

func (i *Informer[T]) newBatchQueue(d Debounce, handle BatchHandler[T]) *handlerQueue {
	q := newHandlerQueue(i.kind, nil)
	q.debouncer = &debouncer{debounce: d, clock: i.replica.clock, call: func(ctx context.Context, changes []change, revision int64, initial bool) {
		handle(ctx, batchOf[T](changes, revision, initial))
	}}
	return q
}

func batchOf[T store.Object](changes []change, revision int64, initial bool) Batch[T] {
	b := Batch[T]{Revision: revision, Initial: initial, Events: make([]Event[T], 0, len(changes))}
	for _, c := range changes {
		for step := range c.steps() {
			b.Events = append(b.Events, eventOf[T](step, initial))
		}
	}
	return b
}

// debouncer is the part of a handlerQueue that only batch handlers have. It never
// changes.
type debouncer struct {
	debounce Debounce
	clock    clock.WithTickerAndDelayedExecution
	call     func(ctx context.Context, changes []change, revision int64, initial bool)
}

// arrived is called with q.mu held when changes have come. first says that none
// waited before.
func (q *handlerQueue) noteArrival(first bool, revision int64) {
	q.lastAt, q.batchRevision = q.debouncer.clock.Now(), revision
	if first {
		q.firstAt = q.lastAt
	}
}

// due returns the time at which to deliver a batch. Its first and last changes arrived
// at first and last.
func (d Debounce) due(first, last time.Time) time.Time {
	if d.Quiet <= 0 {
		return first.Add(max(d.Max, 0))
	}
	longest := d.Max
	if longest <= 0 {
		longest = 10 * min(d.Quiet, math.MaxInt64/10)
	}
	quiet, latest := last.Add(d.Quiet), first.Add(longest)
	if latest.Before(quiet) {
		return latest
	}
	return quiet
}

// deliverNextBatch delivers a batch, or waits until there is something to do.
func (q *handlerQueue) deliverNextBatch(ctx context.Context) {
	q.mu.Lock()
	initial := q.initial
	q.mu.Unlock()
	if initial != nil {
		q.deliverInitialBatch(ctx, initial)
		return
	}
	changes, revision, left := q.nextBatch()
	switch {
	case revision > 0:
		q.deliverBatch(ctx, changes, revision, false)
		q.markDelivered(ctx)
	case left > 0:
		due := q.debouncer.clock.NewTimer(left)
		defer due.Stop()
		q.wait(ctx, due.C())
	default:
		q.wait(ctx, nil)
	}
}

// deliverInitialBatch delivers the first batch, unless ctx ends before the filter
// has seen all objects.
func (q *handlerQueue) deliverInitialBatch(ctx context.Context, i *initialObjects) {
	var changes []change
	i.objects.Scan(func(key string, e *entry) bool {
		if c, ok := q.applyFilterTo(change{q.kind, key, nil, e, e.rev}); ok {
			changes = append(changes, c)
		}
		return ctx.Err() == nil
	})
	if ctx.Err() != nil {
		return
	}
	q.mu.Lock()
	q.initial = nil
	q.mu.Unlock()
	q.deliverBatch(ctx, changes, i.revision, true)
	q.markInitialDelivered()
}

// nextBatch removes and returns the collected changes if they are due. Otherwise the
// revision is 0, and left is the time until they are; 0 if there are none.
func (q *handlerQueue) nextBatch() (changes []change, revision int64, left time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.idle() {
		return nil, 0, 0
	}
	b := q.debouncer
	if left := b.debounce.due(q.firstAt, q.lastAt).Sub(b.clock.Now()); left > 0 {
		return nil, 0, left
	}
	changes = make([]change, 0, q.backlog.live)
	for {
		c, ok := q.backlog.pop()
		if !ok {
			q.delivering, q.cancelled = true, false
			return changes, q.batchRevision, 0
		}
		changes = append(changes, c)
	}
}

func (q *handlerQueue) deliverBatch(ctx context.Context, changes []change, revision int64, initial bool) {
	if q.isRemoved() {
		return
	}
	defer func() {
		if p := recover(); p != nil {
			q.panicked(p, "revision", revision, "changes", len(changes))
		}
	}()
	q.debouncer.call(ctx, changes, revision, initial)
}

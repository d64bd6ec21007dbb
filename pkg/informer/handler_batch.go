package informer

import (
	"context"
	"time"

	"k8s.io/utils/clock"

	"github.com/homeostat/homeostat/pkg/store"
)

// Debounce says how long changes are collected. The zero value collects what comes
// while the last batch is handled, and no longer.
type Debounce struct {
	// Quiet is how long nothing must have come.
	Quiet time.Duration
	// Max is how long the first change of a batch waits at most, however busy
	// it is. Defaults to ten times Quiet.
	Max time.Duration
}

// Batch is what has happened to the objects of one kind between the revision of
// the last batch and its own: the net difference, each object once. Who applies
// each batch to what he knew after the last one has exactly what etcd held at
// the batch's revision, as far as it passes the filters.
type Batch[T store.Object] struct {
	// Revision is etcd's. All that happened up to it is part of this batch or of
	// one before, and nothing that happened later; a transaction is never split.
	Revision int64
	// Initial says that this is the first batch: all that there is, as Added
	// events.
	Initial bool
	// Events are in the order of their revisions, those of the first batch in the
	// order of their keys. An object that was deleted and created again has two,
	// Deleted and Added, one after the other; any other has one, which says how
	// it differs from what the last batch left.
	Events []Event[T]
}

// BatchHandler is told what happens to the objects of one kind, one batch at a
// time. What holds for a [Handler] holds for it: objects are shared, it may take
// its time but returns when ctx is done, and a batch that it panicked over counts
// as told.
type BatchHandler[T store.Object] func(ctx context.Context, b Batch[T])

// AddBatchHandler is [Informer.AddHandler] for a handler of batches. The first
// one has all objects that there are and that pass all filters, at the revision
// of a snapshot. It is told as soon as there is a list, even when it is empty, so
// that its handler knows that there is nothing.
//
// From then on changes are collected, and told as one batch once none has come
// for as long as the window's Quiet, or when the first of them has waited for
// Max; in either case not before the last batch was handled. Changes of an object
// are joined to one; an object that came and went within a batch does not appear
// in it, and a batch in which nothing is left is not told. What is collected is
// bounded by the number of objects, and kept while the replica does not run.
//
// A process that begins with a checkpoint may be told, as initial and then as
// Deleted, of an object that came and went within a batch of the process before,
// which told nobody of it.
//
// The time is that of [Options].Clock.
func (i *Informer[T]) AddBatchHandler(w Debounce, handle BatchHandler[T], filters ...Filter[T]) *Registration {
	l := newHandlerQueue(i.kind, nil)
	l.backlog = newBacklog(0) // joins from the first change on
	l.debouncer = &debouncer{debounce: w, clock: i.replica.clock, call: func(ctx context.Context, changes []change, revision int64, initial bool) {
		handle(ctx, batchOf[T](changes, revision, initial))
	}}
	return i.register(l, filters)
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

// batching is what a listener has of a batch handler.
type debouncer struct {
	debounce Debounce
	clock    clock.WithTickerAndDelayedExecution
	call     func(ctx context.Context, changes []change, revision int64, initial bool)
}

// arrived is called with l.mu held when changes have come. first says that none
// waited before.
func (l *handlerQueue) noteArrival(first bool, revision int64) {
	l.lastAt, l.batchRevision = l.debouncer.clock.Now(), revision
	if first {
		l.firstAt = l.lastAt
	}
}

// due is when what waits is to be told.
func (w Debounce) due(first, last time.Time) time.Time {
	longest := w.Max
	if longest <= 0 {
		longest = 10 * w.Quiet
	}
	quiet, latest := last.Add(w.Quiet), first.Add(longest)
	if latest.Before(quiet) {
		return latest
	}
	return quiet
}

// stepBatch tells a batch, or waits until there is something to do.
func (l *handlerQueue) deliverNextBatch(ctx context.Context) {
	l.mu.Lock()
	initial := l.initial
	l.mu.Unlock()
	if initial != nil {
		l.deliverInitialBatch(ctx, initial)
		return
	}
	changes, revision, left := l.nextBatch()
	switch {
	case len(changes) > 0:
		l.deliverBatch(ctx, changes, revision, false)
		l.markDelivered(ctx)
	case left > 0:
		due := l.debouncer.clock.NewTimer(left)
		defer due.Stop()
		l.wait(ctx, due.C())
	default:
		l.wait(ctx, nil)
	}
}

// tellInitial tells the first batch, unless ctx ends before the filter has seen
// all objects.
func (l *handlerQueue) deliverInitialBatch(ctx context.Context, i *initialObjects) {
	var changes []change
	i.objects.Scan(func(key string, e *entry) bool {
		if c, ok := l.applyFilterTo(change{l.kind, key, nil, e, e.rev}); ok {
			changes = append(changes, c)
		}
		return ctx.Err() == nil
	})
	if ctx.Err() != nil {
		return
	}
	l.mu.Lock()
	l.initial = nil
	l.mu.Unlock()
	l.deliverBatch(ctx, changes, i.revision, true)
}

// nextBatch takes out what waits, if it is due. Otherwise it returns how long
// that takes; 0 when nothing waits.
func (l *handlerQueue) nextBatch() (changes []change, revision int64, left time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.backlog.live == 0 {
		return nil, 0, 0
	}
	b := l.debouncer
	if left := b.debounce.due(l.firstAt, l.lastAt).Sub(b.clock.Now()); left > 0 {
		return nil, 0, left
	}
	changes = make([]change, 0, l.backlog.live)
	for {
		c, ok := l.backlog.pop()
		if !ok {
			l.delivering = true
			return changes, l.batchRevision, 0
		}
		changes = append(changes, c)
	}
}

func (l *handlerQueue) deliverBatch(ctx context.Context, changes []change, revision int64, initial bool) {
	if l.isRemoved() {
		return
	}
	defer func() {
		if p := recover(); p != nil {
			l.panicked(p, "revision", revision, "changes", len(changes))
		}
	}()
	l.debouncer.call(ctx, changes, revision, initial)
}

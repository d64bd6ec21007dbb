package informer

import (
	"context"

	"github.com/homeostat/homeostat/pkg/store"
)

// Event is a change, as a handler gets it.
type Event[T store.Object] = store.Event[T]

// Handler is called with the changes of the objects of one kind, one call at
// a time. The objects are shared: change only copies. A handler may take its time
// without harm to other handlers. It must return when ctx is done, which happens
// when the handler is removed or the replica stops. If it panics, the replica logs
// that and does not deliver the event again.
type Handler[T store.Object] func(ctx context.Context, e Event[T])

// Registration is the registration of a handler with a replica. It is safe for
// concurrent use.
type Registration struct {
	queue *handlerQueue
}

// Remove ends the calls of the handler. It does not wait for a call that has begun
// or is about to begin, so that a handler can remove itself. Further calls of Remove
// do nothing.
func (r *Registration) Remove() { r.queue.remove() }

// Synced reports whether the handler's calls with all initial objects have returned. For
// a batch handler, that is the call with the first batch. A handler without initial
// objects is synced once the replica has listed the kind. If the replica started from a
// checkpoint, the initial objects are those of the file.
//
// Synced never becomes false again. If the handler is removed before it is synced, Synced
// stays false. A call that panicked counts as returned, and so does one that was
// interrupted by the end of [Replica.Run].
func (r *Registration) Synced() bool { return r.queue.isSynced() }

// Backlog returns the number of undelivered changes. Of the initial objects, it
// counts those that the filters have not evaluated yet.
func (r *Registration) Backlog() int { return r.queue.pending() }

// AddHandler registers a handler. The handler first gets every object of
// a snapshot, as Added events with Initial set. Then it gets every later change, in
// the order of revisions and without a gap. If the handler falls far behind, by 4,096
// changes or by 1 MiB of keys and values, it gets the net change of an object instead
// of each change. An object that was created and deleted in between does not appear.
// An object that was deleted and created again still arrives as Deleted and Added, both
// with the revision of the new object.
//
// The handler gets only the changes that pass all filters; [Filter] says how.
//
// AddHandler can be called at any time. Calls begin once the replica runs and has
// listed the kind. Use [Informer.AddBatchHandler] if the work is done once for many
// changes, and [Registration.Remove] to end the calls.
func (i *Informer[T]) AddHandler(handle Handler[T], filters ...Filter[T]) *Registration {
	q := newHandlerQueue(i.kind, func(ctx context.Context, c change, initial bool) {
		handle(ctx, eventOf[T](c, initial))
	})
	return i.register(q, filters)
}

// AddHandlerWithJoined is [Informer.AddHandler] for a handler that must learn of every
// change even if it falls far behind, such as one that maps changes to the keys of
// a queue: an owner that an object had only for a while is missing in a net change.
//
// Before changes of an object are joined into a net change, joined is called with each
// of them. The net change follows, with a call of handle, unless it is none. By the time
// of a call of joined, [Replica.Snapshot] has the change.
//
// The replica calls joined in its own goroutine, which may be at the same time as a call
// of handle. So joined must be fast, must not block or wait for the replica, and must not
// change the objects or keep them. If it panics, the replica logs that.
func (i *Informer[T]) AddHandlerWithJoined(handle Handler[T], joined func(e Event[T]), filters ...Filter[T]) *Registration {
	q := newHandlerQueue(i.kind, func(ctx context.Context, c change, initial bool) {
		handle(ctx, eventOf[T](c, initial))
	})
	q.joined = func(c change) { joined(eventOf[T](c, false)) }
	return i.register(q, filters)
}

func (i *Informer[T]) register(q *handlerQueue, filters []Filter[T]) *Registration {
	if len(filters) > 0 {
		q.filter = And(filters...).apply
	}
	i.replica.addHandler(q)
	return &Registration{q}
}

func eventOf[T store.Object](c change, initial bool) Event[T] {
	e := Event[T]{Revision: c.revision, Initial: initial, Key: c.kind.prefix + c.key}
	if c.new != nil {
		e.Size = c.new.size - len(e.Key)
	}
	switch {
	case c.new == nil:
		e.Type, e.Object = store.Deleted, c.old.obj.(T)
	case c.old == nil:
		e.Type, e.Object = store.Added, c.new.obj.(T)
	default:
		e.Type, e.Object, e.Old = store.Modified, c.new.obj.(T), c.old.obj.(T)
	}
	return e
}

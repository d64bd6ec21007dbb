package informer

import (
	"context"

	"github.com/homeostat/homeostat/pkg/store"
)

// Event is a change that a handler is told of.
type Event[T store.Object] = store.Event[T]

// Handler is told what happens to the objects of one kind, one call at a time.
// Objects are shared: change only copies. The handler may take its time, which
// harms no other; it must return when ctx is done, which it is when the handler
// is removed or the replica stops. What a handler that panicked was told counts
// as told.
type Handler[T store.Object] func(ctx context.Context, e Event[T])

// Registration is a handler's place in a replica.
type Registration struct {
	queue *handlerQueue
}

// Remove ends the calls of the handler; one that is under way is not waited for,
// so that a handler may remove itself. It may be called more than once.
func (r *Registration) Remove() { r.queue.remove() }

// Backlog returns how many changes the handler was not told yet. Of what there
// was at first, it counts what no filter has looked at yet.
func (r *Registration) Backlog() int { return r.queue.pending() }

// AddHandler has a handler told of every object that there is, as Added events
// with Initial set, and then of every change: each once, in the order of
// revisions, beginning with the very next after the state that it was first
// told. A handler that falls far behind is told the net change of an object
// instead of each. An object that was deleted and created again is told as
// Deleted and Added even so, both with the revision of what is there now.
//
// It is told only what passes all filters, and as they see it: an object that
// comes to pass is Added, one that ceases to is Deleted.
//
// It can be called at any time. The calls begin when the replica runs and has
// listed.
func (i *Informer[T]) AddHandler(handle Handler[T], filters ...Filter[T]) *Registration {
	l := newHandlerQueue(i.kind, func(ctx context.Context, c change, initial bool) {
		handle(ctx, eventOf[T](c, initial))
	})
	return i.register(l, filters)
}

func (i *Informer[T]) register(l *handlerQueue, filters []Filter[T]) *Registration {
	if len(filters) > 0 {
		l.filter = And(filters...).judge
	}
	i.replica.addHandler(l)
	return &Registration{l}
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

package controller

import (
	"context"
	"errors"
	"sync"

	"github.com/go-logr/logr"

	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// listen returns what starts a source: a handler of an informer's events.
func listen[T store.Object, R comparable](b *binding[R], inf *informer.Informer[T], keys func(context.Context, informer.Event[T]) []R, predicates []Predicate[T]) (starter[R], error) {
	if keys == nil {
		return nil, errors.New("watches: the function that names keys is nil")
	}
	return func(enqueue func(R, Cause)) (stop func()) {
		l := &listener[T, R]{binding: b, informer: inf, enqueue: enqueue, keys: keys, predicates: predicates}
		registration := l.register()
		return func() {
			registration.Remove()
			l.stop()
		}
	}, nil
}

// listener turns events into keys.
type listener[T store.Object, R comparable] struct {
	*binding[R]
	informer   *informer.Informer[T]
	enqueue    func(R, Cause)
	keys       func(context.Context, informer.Event[T]) []R
	predicates []Predicate[T]

	mu      sync.Mutex // held while an event is handled; there is one at a time
	stopped bool
	kind    string // of the events' objects; known from the first on
}

func (l *listener[T, R]) register() *informer.Registration {
	filters, _ := l.filters.([]informer.Filter[T])
	if l.window == nil {
		return l.informer.AddHandler(l.handle, filters...)
	}
	return l.informer.AddBatchHandler(*l.window, func(ctx context.Context, b informer.Batch[T]) {
		for _, e := range b.Events {
			l.handle(ctx, e)
		}
	}, filters...)
}

func (l *listener[T, R]) handle(ctx context.Context, e informer.Event[T]) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped {
		return
	}
	var keys []R
	l.guard(e, "the function that names keys", func() {
		if l.passes(e) {
			keys = l.keys(ctx, e)
		}
	})
	if len(keys) == 0 {
		return
	}
	cause := l.cause(e)
	for _, key := range keys {
		l.enqueue(key, cause)
	}
}

func (l *listener[T, R]) cause(e informer.Event[T]) Cause {
	if l.kind == "" {
		l.kind = l.kindOf(e)
	}
	c := Cause{Kind: l.kind, Object: store.KeyOf(e.Object), Revision: e.Revision}
	switch {
	case e.Initial:
		c.Type = CauseInitial
	case e.Type == store.Added:
		c.Type = CauseAdded
	case e.Type == store.Modified:
		c.Type = CauseModified
	case e.Type == store.Deleted:
		c.Type = CauseDeleted
	}
	return c
}

// passes reports whether all predicates pass an event. One that panics passes
// it: a reconcile too many does no harm, one too few does.
func (l *listener[T, R]) passes(e informer.Event[T]) bool {
	for _, p := range l.predicates {
		pass := true
		l.guard(e, "a predicate", func() { pass = p(e) })
		if !pass {
			return false
		}
	}
	return true
}

func (l *listener[T, R]) guard(e informer.Event[T], what string, f func()) {
	err := guard(what, func() error { f(); return nil })
	if err != nil {
		logFailure(l.logOf(e), err, "event not handled as it should be")
	}
}

func (l *listener[T, R]) logOf(e informer.Event[T]) logr.Logger {
	return l.log.WithValues("event", e.Type, "kind", l.kindOf(e), "object", store.KeyOf(e.Object), "revision", e.Revision)
}

// kindOf asks the informer's own store: another replica's may know other kinds.
func (l *listener[T, R]) kindOf(e informer.Event[T]) string {
	kind, _ := l.informer.Replica().Store().KindOf(e.Object)
	return kind.GroupVersionKind.Kind
}

func (l *listener[T, R]) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped = true
}

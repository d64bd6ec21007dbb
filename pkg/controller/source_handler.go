package controller

import (
	"context"
	"errors"
	"sync"

	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// handleEvents returns a starter that registers a handler with an informer.
func handleEvents[T store.Object, R comparable](b *binding[R], inf *informer.Informer[T], keys func(context.Context, informer.Event[T]) []R, filters []informer.Filter[T]) (starter[R], error) {
	if keys == nil {
		return nil, errors.New("watches: the function that names keys is nil")
	}
	return func(enqueue func(R, Cause)) (stop func()) {
		h := &eventHandler[T, R]{binding: b, informer: inf, enqueue: enqueue, keys: keys}
		registration := h.register(filters)
		return func() {
			registration.Remove()
			h.stop()
		}
	}, nil
}

// eventHandler turns events of an informer into keys.
type eventHandler[T store.Object, R comparable] struct {
	binding  *binding[R]
	informer *informer.Informer[T]
	enqueue  func(R, Cause)
	keys     func(context.Context, informer.Event[T]) []R

	mu      sync.Mutex // guards the fields below; held while an event is handled
	stopped bool
	kind    string // of the events' objects; "" before the first event
}

func (h *eventHandler[T, R]) register(filters []informer.Filter[T]) *informer.Registration {
	if h.binding.debounce == nil {
		return h.informer.AddHandler(h.handle, filters...)
	}
	return h.informer.AddBatchHandler(*h.binding.debounce, func(ctx context.Context, b informer.Batch[T]) {
		for _, e := range b.Events {
			h.handle(ctx, e)
		}
	}, filters...)
}

func (h *eventHandler[T, R]) handle(ctx context.Context, e informer.Event[T]) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stopped {
		return
	}
	var keys []R
	err := h.binding.manager.guard("the function that names keys", func() error { keys = h.keys(ctx, e); return nil })
	if err != nil {
		log := h.binding.log.WithValues("event", e.Type, "kind", h.kindOf(e), "object", store.KeyOf(e.Object), "revision", e.Revision)
		logFailure(log, err, "event reconciles no keys")
	}
	if len(keys) == 0 {
		return
	}
	cause := h.cause(e)
	for _, key := range keys {
		h.enqueue(key, cause)
	}
}

func (h *eventHandler[T, R]) cause(e informer.Event[T]) Cause {
	if h.kind == "" {
		h.kind = h.kindOf(e)
	}
	c := Cause{Kind: h.kind, Object: store.KeyOf(e.Object), Revision: e.Revision, elsewhere: h.isElsewhere()}
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

// isElsewhere reports whether the events are of another etcd than the manager's.
func (h *eventHandler[T, R]) isElsewhere() bool {
	return h.informer.Replica().Store().Client() != h.binding.manager.Store().Client()
}

// kindOf asks the informer's own store: that of another replica has other kinds.
func (h *eventHandler[T, R]) kindOf(e informer.Event[T]) string {
	kind, _ := h.informer.Replica().Store().KindOf(e.Object)
	return kind.GroupVersionKind.Kind
}

// stop waits until no event is being handled, and drops all later ones.
func (h *eventHandler[T, R]) stop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stopped = true
}

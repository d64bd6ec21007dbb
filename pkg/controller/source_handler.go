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
		ctx, cancel := context.WithCancel(context.Background())
		registration := h.register(ctx, filters)
		return func() {
			registration.Remove()
			cancel()
			h.stop()
		}
	}, nil
}

// eventHandler turns events of an informer into keys. It handles each single change: a
// net change lacks the owner that an object had only in between, and that owner may
// have been reconciled with the object.
type eventHandler[T store.Object, R comparable] struct {
	binding  *binding[R]
	informer *informer.Informer[T]
	enqueue  func(R, Cause)
	keys     func(context.Context, informer.Event[T]) []R

	mu       sync.Mutex // guards the fields below
	stopped  bool
	handling sync.WaitGroup // the calls of handle; grows only while stopped is false
	kind     string         // of the events' objects; "" before the first event
	prefix   string         // of their causes
}

// register begins the calls of handle. Those with joined changes get ctx.
func (h *eventHandler[T, R]) register(ctx context.Context, filters []informer.Filter[T]) *informer.Registration {
	joined := func(e informer.Event[T]) { h.handle(ctx, e) }
	if h.binding.debounce == nil {
		return h.informer.AddHandlerWithJoined(h.handle, joined, filters...)
	}
	var burst latestCauses[R]
	enqueue := h.enqueue
	h.enqueue = burst.add
	return h.informer.AddBatchHandlerWithJoined(*h.binding.debounce, func(ctx context.Context, b informer.Batch[T]) {
		for _, e := range b.Events {
			h.handle(ctx, e)
		}
		burst.drain(enqueue)
	}, joined, filters...)
}

// begin returns the kind of an event's object and the prefix of its causes, or false if
// the handler was stopped. If it returns true, the caller must call handling.Done.
func (h *eventHandler[T, R]) begin(e informer.Event[T]) (kind, prefix string, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stopped {
		return "", "", false
	}
	if h.kind == "" {
		h.kind, h.prefix = h.kindOf(e)
	}
	h.handling.Add(1)
	return h.kind, h.prefix, true
}

// handle may be called by two goroutines at once: by the handler's, and by the replica's
// with a change that is joined.
func (h *eventHandler[T, R]) handle(ctx context.Context, e informer.Event[T]) {
	kind, prefix, ok := h.begin(e)
	if !ok {
		return
	}
	defer h.handling.Done()
	var keys []R
	err := h.binding.manager.guard("the function that names keys", func() error { keys = h.keys(ctx, e); return nil })
	if err != nil {
		log := h.binding.log.WithValues("event", e.Type, "kind", kind, "object", store.KeyOf(e.Object), "revision", e.Revision)
		logFailure(log, err, "event reconciles no keys")
	}
	if len(keys) == 0 {
		return
	}
	cause := h.causeOf(e, kind, prefix)
	for _, key := range keys {
		h.enqueue(key, cause)
	}
}

func (h *eventHandler[T, R]) causeOf(e informer.Event[T], kind, prefix string) Cause {
	c := Cause{Kind: kind, Object: store.KeyOf(e.Object), Revision: e.Revision, prefix: prefix}
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

// kindOf asks the informer's own store: that of another replica has other kinds. The
// prefix is empty if the events are of another etcd than the manager's.
func (h *eventHandler[T, R]) kindOf(e informer.Event[T]) (kind, prefix string) {
	s := h.informer.Replica().Store()
	info, _ := s.KindOf(e.Object)
	if s.Client() == h.binding.manager.Store().Client() {
		prefix, _, _ = s.Decoder(e.Object, store.DecodeOptions{})
	}
	return info.GroupVersionKind.Kind, prefix
}

// stop waits until no event is being handled, and drops all later ones.
func (h *eventHandler[T, R]) stop() {
	h.mu.Lock()
	h.stopped = true
	h.mu.Unlock()
	h.handling.Wait()
}

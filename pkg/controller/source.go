package controller

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"github.com/go-logr/logr"

	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// Source says what has a controller reconcile which keys. Changes of objects do:
// [For], [Owns], [OwnsAny], [Watches] and [WatchesInformer], which [Filtered] and
// [Batched] tell less of; so do other parts of the program, [FromChannel]; and
// time, [Every] and [Resync]. [Controller.AddSource] adds one to a controller that is there
// already.
type Source[R comparable] struct {
	primary bool         // it is For
	watched reflect.Type // of the objects, where it is one of their changes
	bind    func(b *binding[R]) (starter[R], error)
}

// binding is what a source needs of the controller that it is given to.
type binding[R comparable] struct {
	manager *Manager
	log     logr.Logger
	primary store.KindInfo // empty where the controller is for no kind

	filters any                // []informer.Filter[T], T being what the source watches; or nil
	window  *informer.Debounce // nil: each change is told by itself
}

// starter starts a source for one run of its controller, which it hands its
// keys to. stop ends it, and returns when no call of the source's functions is
// under way any more and no key will follow.
type starter[R comparable] func(enqueue func(R, Cause)) (stop func())

// For has the objects of the kind T reconciled when they change: all changes
// that pass all predicates.
func For[T store.Object](predicates ...Predicate[T]) Source[Request] {
	keys := func(_ context.Context, e informer.Event[T]) []Request {
		return []Request{{store.KeyOf(e.Object)}}
	}
	return Source[Request]{primary: true, watched: reflect.TypeFor[T](), bind: func(b *binding[Request]) (starter[Request], error) {
		k, err := store.KindOf[T](b.manager.store)
		switch {
		case err != nil:
			return nil, fmt.Errorf("for: %w", err)
		case b.primary.GroupVersionKind.Empty():
			return nil, fmt.Errorf("for %s: the controller is for no kind: make it with New or NewFor, or use Watches", k.GroupVersionKind.Kind)
		case k != b.primary:
			return nil, fmt.Errorf("for %s: the controller is one for %s: use Watches", k.GroupVersionKind.Kind, b.primary.GroupVersionKind.Kind)
		}
		return watch(b, keys, predicates)
	}}
}

// Watches has the keys reconciled that a function names for each change of an
// object of the kind T that passes all predicates. The function may read the
// replica's snapshots; it must be fast. When it panics, the change is logged and
// names no keys.
func Watches[T store.Object, R comparable](keys func(ctx context.Context, e informer.Event[T]) []R, predicates ...Predicate[T]) Source[R] {
	return Source[R]{watched: reflect.TypeFor[T](), bind: func(b *binding[R]) (starter[R], error) {
		return watch(b, keys, predicates)
	}}
}

// WatchesInformer is [Watches] for an informer, which may be one of another
// replica, or of a kind that is known only when the program runs. A replica
// other than the manager's is run by the manager when it was given to
// [Manager.AddReplica], and otherwise by the caller. Reconciles do not wait for
// it: what they write may not be in its snapshots yet.
func WatchesInformer[T store.Object, R comparable](inf *informer.Informer[T], keys func(ctx context.Context, e informer.Event[T]) []R, predicates ...Predicate[T]) Source[R] {
	return Source[R]{watched: reflect.TypeFor[T](), bind: func(b *binding[R]) (starter[R], error) {
		if inf == nil {
			return nil, errors.New("watches: the informer is nil")
		}
		return listen(b, inf, keys, predicates)
	}}
}

func watch[T store.Object, R comparable](b *binding[R], keys func(context.Context, informer.Event[T]) []R, predicates []Predicate[T]) (starter[R], error) {
	inf, err := informer.For[T](b.manager.replica)
	if err != nil {
		return nil, err
	}
	return listen(b, inf, keys, predicates)
}

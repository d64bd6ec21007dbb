package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/go-logr/logr"

	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// Source says which keys a controller reconciles, and when. R is the type of the
// controller's keys.
//
//   - [For], [Owns], [OwnsAny], [Watches] and [WatchesInformer] react to changes of
//     objects. Filters say which changes matter; see [informer.Filter]. [Debounced]
//     joins bursts of changes.
//   - [FromChannel] takes keys from other parts of the program.
//   - [Every] and [Resync] name keys again and again.
//
// Pass sources to [New], [NewFor] or [NewReconciler], or add them to a running
// controller with [Controller.AddSource]. One source can be given to several
// controllers. The zero value is not a source.
type Source[R comparable] struct {
	primary bool // it is made by For
	watches bool // it reacts to changes of objects
	bind    func(b *binding[R]) (starter[R], error)
}

// isPrimary reports whether the source is made by For.
func (s Source[R]) isPrimary() bool { return s.primary }

// binding is what a source gets from the controller that it is added to.
type binding[R comparable] struct {
	manager  *Manager
	log      logr.Logger
	primary  store.KindInfo     // the controller's kind; empty without one
	debounce *informer.Debounce // nil: changes are delivered one by one
}

// starter starts a source for one run of its controller. The source passes its keys to
// enqueue. stop ends the source; when it returns, no function of the source is
// running, and enqueue is not called again.
type starter[R comparable] func(enqueue func(R, Cause)) (stop func())

// For reconciles objects of kind T when they change. T must be the controller's kind.
// If there are filters, only changes that pass all of them count. [New] and [NewFor]
// add For if it is missing, so pass it only to give filters.
func For[T store.Object](filters ...informer.Filter[T]) Source[Request] {
	keys := func(_ context.Context, e informer.Event[T]) []Request {
		return []Request{{store.KeyOf(e.Object)}}
	}
	return Source[Request]{primary: true, watches: true, bind: func(b *binding[Request]) (starter[Request], error) {
		k, err := store.KindOf[T](b.manager.Store())
		switch {
		case err != nil:
			return nil, fmt.Errorf("for: %w", err)
		case b.primary.GroupVersionKind.Empty():
			return nil, fmt.Errorf("for %s: the controller is for no kind: make it with New or NewFor, or use Watches", k.GroupVersionKind.Kind)
		case k != b.primary:
			return nil, fmt.Errorf("for %s: the controller is one for %s: use Watches", k.GroupVersionKind.Kind, b.primary.GroupVersionKind.Kind)
		}
		return watchKind(b, keys, filters)
	}}
}

// Watches reconciles the keys that a function names for a changed object of kind T. It
// calls keys for the object after the change and, if the object was modified, for the
// object before: an object that names another key than before reconciles both. Use it
// for objects that the controller does not own.
//
// If there are filters, only changes that pass all of them count. An object that starts
// or stops to pass counts as added or deleted, and keys is called for it once.
//
// keys may read the replica's snapshots. It must be fast, must not block or wait for the
// replica, and must not change the object. If the controller falls far behind, two
// goroutines may call keys at once, one of which is the replica's own: no key is missed,
// but a slow function then delays the replica. If keys panics, the panic is logged and
// the change reconciles nothing.
func Watches[T store.Object, R comparable](keys func(ctx context.Context, obj T) []R, filters ...informer.Filter[T]) Source[R] {
	return WatchesEvents(oldAndNew(keys), filters...)
}

// WatchesEvents is [Watches] for functions that need to know what happened to an object:
// it calls keys once for each change.
func WatchesEvents[T store.Object, R comparable](keys func(ctx context.Context, e informer.Event[T]) []R, filters ...informer.Filter[T]) Source[R] {
	return Source[R]{watches: true, bind: func(b *binding[R]) (starter[R], error) {
		return watchKind(b, keys, filters)
	}}
}

// WatchesInformer is [Watches] for a given informer. Use it for a replica other than
// the manager's, or for a kind that is known only at run time. Add another replica to
// the manager with [Manager.AddReplica], or run it yourself. A reconcile waits only
// until the manager's replica has the earlier writes of its key; another replica may
// not have them yet.
func WatchesInformer[T store.Object, R comparable](inf *informer.Informer[T], keys func(ctx context.Context, obj T) []R, filters ...informer.Filter[T]) Source[R] {
	return WatchesInformerEvents(inf, oldAndNew(keys), filters...)
}

// WatchesInformerEvents is [WatchesEvents] for a given informer, as [WatchesInformer] is
// Watches for one.
func WatchesInformerEvents[T store.Object, R comparable](inf *informer.Informer[T], keys func(ctx context.Context, e informer.Event[T]) []R, filters ...informer.Filter[T]) Source[R] {
	return Source[R]{watches: true, bind: func(b *binding[R]) (starter[R], error) {
		if inf == nil {
			return nil, errors.New("watches: the informer is nil")
		}
		return handleEvents(b, inf, keys, filters)
	}}
}

// oldAndNew makes a function of events from one of objects. It returns nil for nil.
func oldAndNew[T store.Object, R comparable](keys func(context.Context, T) []R) func(context.Context, informer.Event[T]) []R {
	if keys == nil {
		return nil
	}
	return func(ctx context.Context, e informer.Event[T]) []R {
		all := keys(ctx, e.Object)
		if e.Type != store.Modified {
			return all
		}
		for _, key := range keys(ctx, e.Old) {
			if !slices.Contains(all, key) {
				all = append(all[:len(all):len(all)], key)
			}
		}
		return all
	}
}

func watchKind[T store.Object, R comparable](b *binding[R], keys func(context.Context, informer.Event[T]) []R, filters []informer.Filter[T]) (starter[R], error) {
	inf, err := informer.For[T](b.manager.Replica())
	if err != nil {
		return nil, err
	}
	return handleEvents(b, inf, keys, filters)
}

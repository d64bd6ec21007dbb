package controller

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// Source says which changes have a controller reconcile which keys. The
// sources of this package are [For], [Owns] and [Watches].
type Source[R comparable] struct {
	primary bool // it is For
	bind    func(b *binding[R]) (start func() (stop func()), err error)
}

// binding is what a source needs of the controller that it is given to.
type binding[R comparable] struct {
	manager *Manager
	primary store.KindInfo
	enqueue func(R)
}

// Predicate decides whether a change matters. It must be fast and must not
// change the objects. Objects that were there before the controller started
// come as Added events with Initial set.
type Predicate[T store.Object] func(e informer.Event[T]) bool

func passes[T store.Object](e informer.Event[T], predicates []Predicate[T]) bool {
	for _, p := range predicates {
		if !p(e) {
			return false
		}
	}
	return true
}

// For has the objects of the kind T reconciled when they change: all changes
// that pass all predicates.
func For[T store.Object](predicates ...Predicate[T]) Source[Request] {
	s := Watches(func(_ context.Context, e informer.Event[T]) []Request {
		return []Request{{store.KeyOf(e.Object)}}
	}, predicates...)
	bind := s.bind
	s.primary = true
	s.bind = func(b *binding[Request]) (func() func(), error) {
		k, err := store.KindOf[T](b.manager.store)
		if err != nil {
			return nil, fmt.Errorf("for: %w", err)
		}
		if k != b.primary {
			return nil, fmt.Errorf("for %s: the controller is one for %s: use Watches", k.GroupVersionKind.Kind, b.primary.GroupVersionKind.Kind)
		}
		return bind(b)
	}
	return s
}

// Owns has an object reconciled when an object of the kind T changes whose
// controller, by its owner reference, it is or was. The owner is of the kind
// that the controller is for, in the same namespace or cluster-scoped.
func Owns[T store.Object](predicates ...Predicate[T]) Source[Request] {
	return Source[Request]{bind: func(b *binding[Request]) (func() func(), error) {
		if b.primary.GroupVersionKind.Empty() {
			return nil, fmt.Errorf("owns: the owner's kind is not known: make the controller with New or NewFor")
		}
		owner := b.primary
		return watch(b, func(_ context.Context, e informer.Event[T]) []Request {
			requests := ownerRequests(nil, e.Object, owner)
			if e.Type == store.Modified {
				requests = ownerRequests(requests, e.Old, owner)
			}
			return requests
		}, predicates)
	}}
}

// ownerRequests appends a request for the object's controller, when it is of
// the owner's kind and not the one that was found just before.
func ownerRequests(requests []Request, obj metav1.Object, owner store.KindInfo) []Request {
	ref := metav1.GetControllerOfNoCopy(obj)
	if ref == nil || ref.Kind != owner.GroupVersionKind.Kind {
		return requests
	}
	if gv, err := schema.ParseGroupVersion(ref.APIVersion); err != nil || gv.Group != owner.GroupVersionKind.Group {
		return requests
	}
	r := Request{store.Key{Namespace: obj.GetNamespace(), Name: ref.Name}}
	if owner.ClusterScoped {
		r.Namespace = ""
	}
	if len(requests) > 0 && requests[0] == r {
		return requests
	}
	return append(requests, r)
}

// Watches has the keys reconciled that a function names for each change of an
// object of the kind T. The function may read the replica's snapshots; it must
// be fast.
func Watches[T store.Object, R comparable](keys func(ctx context.Context, e informer.Event[T]) []R, predicates ...Predicate[T]) Source[R] {
	return Source[R]{bind: func(b *binding[R]) (func() func(), error) {
		return watch(b, keys, predicates)
	}}
}

func watch[T store.Object, R comparable](b *binding[R], keys func(context.Context, informer.Event[T]) []R, predicates []Predicate[T]) (func() func(), error) {
	inf, err := informer.For[T](b.manager.replica)
	if err != nil {
		return nil, err
	}
	return func() func() {
		return inf.AddHandler(func(ctx context.Context, e informer.Event[T]) {
			if !passes(e, predicates) {
				return
			}
			for _, key := range keys(ctx, e) {
				b.enqueue(key)
			}
		}).Remove
	}, nil
}

// WatchesInformer is [Watches] for an informer, which may be one of another
// replica, or of a kind that is known only when the program runs. A replica
// other than the manager's is run by the caller.
func WatchesInformer[T store.Object, R comparable](inf *informer.Informer[T], keys func(ctx context.Context, e informer.Event[T]) []R) Source[R] {
	return Source[R]{bind: func(b *binding[R]) (func() func(), error) {
		return func() func() {
			return inf.AddHandler(func(ctx context.Context, e informer.Event[T]) {
				for _, key := range keys(ctx, e) {
					b.enqueue(key)
				}
			}).Remove
		}, nil
	}}
}

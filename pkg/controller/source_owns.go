package controller

import (
	"context"
	"errors"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// Owns reconciles the owner of an object of kind T when that object changes. The owner
// is the one whose owner reference has controller set, if it is of the controller's
// kind. It is in the object's namespace or cluster-scoped. When the reference changes,
// Owns reconciles both the owner before and the owner after. Use it for a controller
// that creates objects of kind T, with [Apply] or [Tx.Own].
//
// If there are filters, only changes that pass all of them count. A change of the owner
// counts without passing them.
func Owns[T store.Object](filters ...informer.Filter[T]) Source[Request] {
	return owns(filters, func(ref metav1.OwnerReference) bool { return ref.Controller != nil && *ref.Controller })
}

// OwnsAny is [Owns] for all owner references, whether they have controller set or
// not. Use it for objects that several owners share.
func OwnsAny[T store.Object](filters ...informer.Filter[T]) Source[Request] {
	return owns(filters, func(metav1.OwnerReference) bool { return true })
}

func owns[T store.Object](filters []informer.Filter[T], counts func(metav1.OwnerReference) bool) Source[Request] {
	return Source[Request]{watches: true, bind: func(b *binding[Request]) (starter[Request], error) {
		owner := b.primary
		if owner.GroupVersionKind.Empty() {
			return nil, errors.New("owns: the owner's kind is not known: make the controller with New or NewFor")
		}
		ownersOf := func(obj T) []Request { return ownerRequests(nil, obj, owner, counts) }
		var passes []informer.Filter[T]
		if len(filters) > 0 {
			// An object whose update makes it enter or leave the filters is Added or
			// Deleted, without its other state: one of two owners would be missed.
			passes = append(passes, informer.Or(informer.And(filters...), ownersChanged(ownersOf)))
		}
		return watchKind(b, func(_ context.Context, e informer.Event[T]) []Request {
			requests := ownersOf(e.Object)
			if e.Type == store.Modified {
				requests = ownerRequests(requests, e.Old, owner, counts)
			}
			return requests
		}, passes)
	}}
}

// ownersChanged is a filter that holds for updates that changed an object's owners.
func ownersChanged[T store.Object](ownersOf func(T) []Request) informer.Filter[T] {
	return informer.And(informer.Operations[T](informer.Update),
		informer.Transition(func(old, new T) bool { return !slices.Equal(ownersOf(old), ownersOf(new)) }))
}

// ownerRequests appends requests for the object's owners that count and are of the
// owner's kind, unless they are among the requests already.
func ownerRequests(requests []Request, obj metav1.Object, owner store.KindInfo, counts func(metav1.OwnerReference) bool) []Request {
	for _, ref := range obj.GetOwnerReferences() {
		if !counts(ref) || !isOfKind(ref, owner) {
			continue
		}
		r := Request{store.Key{Namespace: obj.GetNamespace(), Name: ref.Name}}
		if owner.ClusterScoped {
			r.Namespace = ""
		}
		if !slices.Contains(requests, r) {
			requests = append(requests, r)
		}
	}
	return requests
}

// isOfKind reports whether an owner reference names an object of a kind, in any
// version.
func isOfKind(ref metav1.OwnerReference, kind store.KindInfo) bool {
	if ref.Kind != kind.GroupVersionKind.Kind {
		return false
	}
	gv, err := schema.ParseGroupVersion(ref.APIVersion)
	return err == nil && gv.Group == kind.GroupVersionKind.Group
}

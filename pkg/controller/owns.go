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

// Owns has an object reconciled when an object of the kind T changes whose
// controller, by its owner reference, it is or was. The owner is of the kind
// that the controller is for, in the same namespace or cluster-scoped.
func Owns[T store.Object](predicates ...Predicate[T]) Source[Request] {
	return Source[Request]{bind: func(b *binding[Request]) (starter[Request], error) {
		owner := b.primary
		if owner.GroupVersionKind.Empty() {
			return nil, errors.New("owns: the owner's kind is not known: make the controller with New or NewFor")
		}
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
// the owner's kind and not among the requests yet.
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
	if slices.Contains(requests, r) {
		return requests
	}
	return append(requests, r)
}

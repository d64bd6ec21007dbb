package controller

import (
	"context"
	"errors"
	"reflect"
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
	return owns(predicates, func(ref metav1.OwnerReference) bool { return ref.Controller != nil && *ref.Controller })
}

// OwnsAny is [Owns] for all owners of the controller's kind that an object has or
// had, whether they control it or not.
func OwnsAny[T store.Object](predicates ...Predicate[T]) Source[Request] {
	return owns(predicates, func(metav1.OwnerReference) bool { return true })
}

func owns[T store.Object](predicates []Predicate[T], counts func(metav1.OwnerReference) bool) Source[Request] {
	return Source[Request]{watched: reflect.TypeFor[T](), bind: func(b *binding[Request]) (starter[Request], error) {
		owner := b.primary
		if owner.GroupVersionKind.Empty() {
			return nil, errors.New("owns: the owner's kind is not known: make the controller with New or NewFor")
		}
		return watch(b, func(_ context.Context, e informer.Event[T]) []Request {
			requests := ownerRequests(nil, e.Object, owner, counts)
			if e.Type == store.Modified {
				requests = ownerRequests(requests, e.Old, owner, counts)
			}
			return requests
		}, predicates)
	}}
}

// ownerRequests appends requests for those of the object's owners that count and
// are of the owner's kind, unless they are among the requests already.
func ownerRequests(requests []Request, obj metav1.Object, owner store.KindInfo, counts func(metav1.OwnerReference) bool) []Request {
	for _, ref := range obj.GetOwnerReferences() {
		if !counts(ref) || !isOf(ref, owner) {
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

// isOf reports whether an owner is of a kind, in whatever version.
func isOf(ref metav1.OwnerReference, kind store.KindInfo) bool {
	if ref.Kind != kind.GroupVersionKind.Kind {
		return false
	}
	gv, err := schema.ParseGroupVersion(ref.APIVersion)
	return err == nil && gv.Group == kind.GroupVersionKind.Group
}

// Package claim decides which objects a controller owns.
//
// An object is owned when its controller reference names the owner and its
// labels match the owner's selector. An object that matches and has no
// controller is adopted; one that names the owner but no longer matches is
// released. Other controllers' objects are never touched.
//
// It guarantees that no object passed in is changed, and that an owner that is
// being deleted neither adopts nor releases. It does not write: the decision
// holds only if the changed copies are written on condition that neither they
// nor the owner have changed since they were read, or an object may be adopted
// by an owner that is already gone.
package claim

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Object is what can be owned: a pointer to an API object that can copy itself.
type Object[T any] interface {
	metav1.Object
	DeepCopy() T
}

// Result is what one owner owns and what has to be written for that to be so.
type Result[T any] struct {
	// Owned are the objects of the owner, in the order given: those passed in,
	// or for adopted ones the copy in Adopted.
	Owned []T
	// Adopted are copies that now name the owner as their controller.
	Adopted []T
	// Released are copies that no longer name the owner.
	Released []T
}

// Of claims objects for owner, an object of the given kind with the given
// selector. Objects of other namespaces are ignored.
func Of[T Object[T]](owner metav1.Object, kind schema.GroupVersionKind, selector labels.Selector, objects []T) Result[T] {
	var result Result[T]
	deleting := owner.GetDeletionTimestamp() != nil
	for _, object := range objects {
		if object.GetNamespace() != owner.GetNamespace() {
			continue
		}
		matches := selector.Matches(labels.Set(object.GetLabels()))
		switch controller := metav1.GetControllerOfNoCopy(object); {
		case controller == nil && matches && !deleting && object.GetDeletionTimestamp() == nil:
			adopted := adopt(owner, kind, object)
			result.Adopted = append(result.Adopted, adopted)
			result.Owned = append(result.Owned, adopted)
		case controller == nil || controller.UID != owner.GetUID():
		case matches:
			result.Owned = append(result.Owned, object)
		case !deleting:
			result.Released = append(result.Released, release(owner, object))
		}
	}
	return result
}

// adopt makes owner the controller. A plain reference to it, which somebody may
// have written by hand, becomes the controller reference.
func adopt[T Object[T]](owner metav1.Object, kind schema.GroupVersionKind, object T) T {
	adopted := release(owner, object)
	refs := append(adopted.GetOwnerReferences(), *metav1.NewControllerRef(owner, kind))
	adopted.SetOwnerReferences(refs)
	return adopted
}

func release[T Object[T]](owner metav1.Object, object T) T {
	released := object.DeepCopy()
	refs := slices.DeleteFunc(released.GetOwnerReferences(), func(ref metav1.OwnerReference) bool {
		return ref.UID == owner.GetUID()
	})
	released.SetOwnerReferences(refs)
	return released
}

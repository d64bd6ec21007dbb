// Package claim decides which objects a controller owns.
//
// An owner owns an object if the object's controller reference names the owner and its
// labels match the owner's selector. The owner adopts a matching object that has no
// controller. It releases an object that names it but no longer matches. It never
// touches objects of other controllers.
//
// The package never modifies its input, and an owner that is being deleted neither
// adopts nor releases. The package does not write. Write the changed copies on
// condition that neither they nor the owner have changed; otherwise an owner that is
// already gone may adopt an object.
package claim

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Object is a pointer to an API object that can copy itself.
type Object[T any] interface {
	metav1.Object
	DeepCopy() T
}

// Result has the objects of one owner, and the copies to write.
type Result[T any] struct {
	// Owned are the objects of the owner, in input order. For an adopted object it has
	// the copy in Adopted.
	Owned []T
	// Adopted are copies that now name the owner as their controller.
	Adopted []T
	// Released are copies that no longer name the owner.
	Released []T
}

// Of claims objects for owner, which has the given kind and selector. It ignores
// objects in other namespaces.
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

// adopt makes owner the controller. It replaces a plain reference to owner, which
// somebody may have written by hand.
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

package controller

import (
	"fmt"
	"iter"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/homeostat/homeostat/pkg/store"
)

// Own makes owner the controller of owned, so that garbage collection deletes owned
// with its owner, [Owned] finds it, and a source made by [Owns] watches it. It changes
// owned, and writes nothing: call it before [Tx.Create]. It returns an error if owned
// has another controller, or if owner is in another namespace. An earlier object of
// owner's name, which had another uid, is another controller.
func (tx *Tx) Own(owner, owned store.Object) error {
	ref, err := tx.manager.Store().OwnerReference(owner)
	if err != nil {
		return err
	}
	if ns := owner.GetNamespace(); ns != "" && ns != owned.GetNamespace() {
		return fmt.Errorf("own %s: the owner %s is in another namespace", store.KeyOf(owned), store.KeyOf(owner))
	}
	if other := metav1.GetControllerOfNoCopy(owned); other != nil && other.UID != ref.UID {
		return fmt.Errorf("own %s: it is controlled by %s %s with uid %s, and not by %s %s with uid %s",
			store.KeyOf(owned), other.Kind, other.Name, other.UID, ref.Kind, ref.Name, ref.UID)
	}
	others := slices.DeleteFunc(slices.Clone(owned.GetOwnerReferences()), func(r metav1.OwnerReference) bool { return r.UID == ref.UID })
	owned.SetOwnerReferences(append(others, ref))
	return nil
}

// Owned yields the objects of kind T whose controller is owner, as the Tx sees them.
// They are in owner's namespace, or in any namespace if owner has none. The first use
// for a kind adds an index to the replica.
func Owned[T store.Object](tx *Tx, owner store.Object) iter.Seq[T] {
	return func(yield func(T) bool) {
		x, err := ownedIndex[T](tx.manager)
		if err != nil {
			tx.fail(err)
			return
		}
		Lookup(tx, x, string(owner.GetUID()), owner.GetNamespace())(yield)
	}
}

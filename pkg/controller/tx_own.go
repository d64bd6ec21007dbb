package controller

import (
	"fmt"
	"iter"
	"reflect"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// Own makes owner the controller of another object, which is usually about to
// be created and which it changes: garbage collection deletes it with its
// owner. It fails when the object has another controller already, and when
// owner is in another namespace, where nobody would find it.
func (tx *Tx) Own(owner, owned store.Object) error {
	ref, err := tx.manager.store.OwnerReference(owner)
	if err != nil {
		return err
	}
	if ns := owner.GetNamespace(); ns != "" && ns != owned.GetNamespace() {
		return fmt.Errorf("own %s: its owner %s is in another namespace", store.KeyOf(owned), store.KeyOf(owner))
	}
	if other := metav1.GetControllerOfNoCopy(owned); other != nil && other.UID != ref.UID {
		return fmt.Errorf("own %s: it is controlled by %s %s", store.KeyOf(owned), other.Kind, other.Name)
	}
	others := slices.DeleteFunc(slices.Clone(owned.GetOwnerReferences()), func(r metav1.OwnerReference) bool { return r.UID == ref.UID })
	owned.SetOwnerReferences(append(others, ref))
	return nil
}

// Owned yields the objects of a kind whose controller is owner, as the Tx sees
// them. They are in owner's namespace, or in any when it has none. The replica
// has an index for it from the first use on.
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

// ownedIndex finds objects by the uids of their controllers.
func ownedIndex[T store.Object](m *Manager) (*informer.Index[T], error) {
	if x, ok := m.owned.Load(reflect.TypeFor[T]()); ok {
		return x.(*informer.Index[T]), nil
	}
	inf, err := knownInformer[T](m)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if x, ok := m.owned.Load(reflect.TypeFor[T]()); ok {
		return x.(*informer.Index[T]), nil
	}
	x := inf.AddIndex(func(obj T) []string {
		if ref := metav1.GetControllerOfNoCopy(obj); ref != nil {
			return []string{string(ref.UID)}
		}
		return nil
	})
	m.owned.Store(reflect.TypeFor[T](), x)
	return x, nil
}

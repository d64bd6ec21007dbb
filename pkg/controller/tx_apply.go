package controller

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/homeostat/homeostat/pkg/controller/internal/declare"
	"github.com/homeostat/homeostat/pkg/internal/secretdata"
	"github.com/homeostat/homeostat/pkg/store"
)

// Apply makes the objects of kind T that owner controls equal to the declared ones:
// it creates missing objects, updates objects that differ, and deletes objects that
// are no longer declared. Without declared objects it deletes all, so name the type
// where the list can be empty:
//
//	_, err := controller.Apply[*corev1.ConfigMap](tx, site, maps...)
//
// Call Apply once for each owner and kind: a second call would delete the objects that
// the first has declared. Apply writes only objects that differ, and makes its writes
// conditional on owner being as it was read.
//
// Apply returns the objects as they will be after the commit, with their present
// status, in the order of the declared ones. It leaves out objects that cannot be
// created yet. The returned objects may be shared: change only copies. Apply does not
// change the declared objects. After an error the Tx is not committed, even if the
// reconcile function ignores the error.
//
// # Fields
//
// An object declares the fields in its JSON, except its status, and except metadata
// other than labels and annotations. As with Kubernetes' server-side apply, a field
// that its type omits when empty is not declared when empty. An update
//
//   - sets the declared fields,
//   - removes the fields that the last Apply declared and this one does not, and
//   - keeps all other fields, such as defaults and fields set by other writers.
//
// Maps are merged key by key. A list is declared as a whole. The object's
// managedFields record the declared fields. Finalizers and owner references of a
// declared object are used only when the object is created. A declared object needs
// a name. One without a namespace gets owner's, if its kind has namespaces.
//
// # Ownership
//
// Apply makes owner the controller of each object. An existing object without a
// controller gets owner as its controller; one with another controller makes Apply
// fail, and the key comes back after its backoff, or when that controller changes or
// the object is gone. A controller is known by its uid: an earlier object of owner's
// name is another one.
//
// Apply does not change objects that are being deleted, whoever controls them. If a
// declared object has the name of one of them, Apply leaves it out and does not fail.
// The key comes back when the old object is gone, and the reconcile then creates the
// new one. No source need watch the kind for that. If owner is being deleted, Apply
// creates no objects.
func Apply[T store.Object](tx *Tx, owner store.Object, declared ...T) ([]T, error) {
	applied, err := apply(tx, owner, declared)
	if err != nil {
		err = fmt.Errorf("apply: %w", err)
		tx.fail(err)
	}
	return applied, err
}

func apply[T store.Object](tx *Tx, owner store.Object, declared []T) ([]T, error) {
	kind, err := store.KindOf[T](tx.manager.Store())
	if err != nil {
		return nil, err
	}
	a := &applier[T]{tx: tx, owner: owner, kind: kind, keep: map[store.Key]bool{}}
	var applied []T
	for _, obj := range declared {
		obj = obj.DeepCopyObject().(T)
		if obj.GetNamespace() == "" && !kind.ClusterScoped {
			obj.SetNamespace(owner.GetNamespace())
		}
		now, there, err := a.one(obj)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", kind.GroupVersionKind.Kind, store.KeyOf(obj), err)
		}
		if there {
			applied = append(applied, now)
		}
	}
	a.prune()
	if a.wrote {
		tx.Unchanged(owner)
	}
	return applied, nil
}

// applier applies the declared objects of one kind and owner.
type applier[T store.Object] struct {
	tx    *Tx
	owner store.Object
	kind  store.KindInfo
	keep  map[store.Key]bool // the keys of the declared objects
	wrote bool
}

// one applies one declared object, which is a copy. It returns the object as it will
// be, and false if it cannot be created yet.
func (a *applier[T]) one(declared T) (now T, there bool, err error) {
	key := store.KeyOf(declared)
	switch {
	case key.Name == "":
		return now, false, errors.New("the object has no name, and would be created again each time")
	case a.keep[key]:
		return now, false, errors.New("the object is declared twice")
	}
	a.keep[key] = true
	secretdata.Fold(a.kind.GroupVersionKind.GroupKind(), declared) // else a removed key would stay
	d, err := declare.Of(declared, a.kind.GroupVersionKind)
	if err != nil {
		return now, false, err
	}
	live, exists := Get[T](a.tx, key)
	switch {
	case exists && live.GetDeletionTimestamp() != nil:
		a.tx.await(live)
		return now, false, nil
	case exists:
		now, err = a.update(live, d)
		return now, err == nil, err
	}
	if err := a.tx.Own(a.owner, declared); err != nil {
		return now, false, err
	}
	if a.owner.GetDeletionTimestamp() != nil {
		return now, false, nil
	}
	d.RecordIn(declared)
	a.tx.Create(declared)
	a.wrote = true
	return declared, true, nil
}

// update updates a live object if it differs from what is declared.
func (a *applier[T]) update(live T, d declare.Declaration) (T, error) {
	empty := newObject[T](a.tx).(T)
	if err := d.MergeInto(live, empty); err != nil {
		return live, err
	}
	if err := a.tx.Own(a.owner, empty); err != nil {
		a.tx.await(live)
		return live, err
	}
	if err := a.tx.manager.Store().Default(empty); err != nil {
		return live, err
	}
	same, err := sameContent(live, empty)
	if same || err != nil {
		return live, err
	}
	a.tx.Update(empty)
	a.wrote = true
	return empty, nil
}

// prune deletes the owner's objects that are not declared.
func (a *applier[T]) prune() {
	for _, obj := range slices.Collect(Owned[T](a.tx, a.owner)) {
		if !a.keep[store.KeyOf(obj)] && obj.GetDeletionTimestamp() == nil {
			a.tx.Delete(obj, store.DeleteOptions{})
			a.wrote = true
		}
	}
}

// sameContent compares objects by their JSON.
func sameContent(a, b store.Object) (bool, error) {
	x, err := json.Marshal(a)
	if err != nil {
		return false, err
	}
	y, err := json.Marshal(b)
	return bytes.Equal(x, y), err
}

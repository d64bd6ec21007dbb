package controller

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/homeostat/homeostat/pkg/controller/internal/declare"
	"github.com/homeostat/homeostat/pkg/store"
)

// Apply makes the objects of the kind T whose controller is owner those that are
// declared: it creates what is missing, updates what differs, and deletes what is
// owned and declared no more. Without any declared object it deletes all, so that
// a kind of which there may be none is named nevertheless:
//
//	_, err := controller.Apply[*corev1.ConfigMap](tx, site, maps...)
//
// Call it once for an owner and a kind: a second call would delete what the first
// has declared. Where nothing differs nothing is written.
//
// # What is declared
//
// What the JSON of an object shows, save for the status, and of the metadata
// labels and annotations alone: as with Kubernetes' server-side apply, a field
// that is empty and omitted when empty is not declared. An update sets the
// declared fields, takes out those that were declared by the last Apply and are
// declared no longer, and leaves all others as they are: defaults, the status,
// what other writers have added. Maps are merged by their keys; a list is
// declared as a whole. An object's managedFields tell which fields were declared.
// Finalizers and further owner references count when the object is created.
// Objects need names, and those without a namespace get owner's.
//
// # Whose it is
//
// Each object gets owner as its controller. Where one of its name is there that
// has no controller, it is taken over; where it has another one, Apply fails.
// Objects that are being deleted are left alone; if they are in the way of a
// declared one, that is created when they have gone. An owner that is being
// deleted gets no new objects. Whatever Apply writes is conditional on owner being
// as it was read.
//
// Apply returns the objects as they will be, with the status that they have, in
// the order in which they were declared; those that cannot be there yet are left
// out. They may be shared: change only copies. The declared ones are not changed.
// After an error the Tx is not committed, whatever the reconcile makes of it.
func Apply[T store.Object](tx *Tx, owner store.Object, declared ...T) ([]T, error) {
	applied, err := apply(tx, owner, declared)
	if err != nil {
		err = fmt.Errorf("apply: %w", err)
		tx.fail(err)
	}
	return applied, err
}

func apply[T store.Object](tx *Tx, owner store.Object, declared []T) ([]T, error) {
	kind, err := store.KindOf[T](tx.manager.store)
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

// applier makes the objects of one kind and owner what is declared.
type applier[T store.Object] struct {
	tx    *Tx
	owner store.Object
	kind  store.KindInfo
	keep  map[store.Key]bool // that are declared
	wrote bool
}

// one makes one object what is declared. It returns it as it will be, and false
// when it cannot be there yet.
func (a *applier[T]) one(declared T) (now T, there bool, err error) {
	key := store.KeyOf(declared)
	switch {
	case key.Name == "":
		return now, false, fmt.Errorf("it has no name, by which it would be known the next time")
	case a.keep[key]:
		return now, false, fmt.Errorf("it is declared twice")
	}
	a.keep[key] = true
	d, err := declare.Of(declared, a.kind.GroupVersionKind)
	if err != nil {
		return now, false, err
	}
	live, exists := Get[T](a.tx, key)
	switch {
	case exists && live.GetDeletionTimestamp() != nil:
		return now, false, a.waitFor(live)
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

// waitFor fails for an object in the way of whose going nobody would tell.
func (a *applier[T]) waitFor(dying T) error {
	if metav1.IsControlledBy(dying, a.owner) {
		return nil
	}
	return fmt.Errorf("another one is in its place, which is being deleted and is not controlled by %s", store.KeyOf(a.owner))
}

// update has a live object be what is declared.
func (a *applier[T]) update(live T, d declare.Declaration) (T, error) {
	empty := newObject[T](a.tx).(T)
	if err := d.MergeInto(live, empty); err != nil {
		return live, err
	}
	if err := a.tx.Own(a.owner, empty); err != nil {
		return live, err
	}
	if err := a.tx.manager.store.Default(empty); err != nil {
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

// prune deletes what is owned and not declared.
func (a *applier[T]) prune() {
	for _, obj := range slices.Collect(Owned[T](a.tx, a.owner)) {
		if !a.keep[store.KeyOf(obj)] && obj.GetDeletionTimestamp() == nil {
			a.tx.Delete(obj, store.DeleteOptions{})
			a.wrote = true
		}
	}
}

// sameContent compares objects as they are stored.
func sameContent(a, b store.Object) (bool, error) {
	x, err := json.Marshal(a)
	if err != nil {
		return false, err
	}
	y, err := json.Marshal(b)
	return bytes.Equal(x, y), err
}

package controller

import (
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/homeostat/homeostat/pkg/store"
)

// Serializable has the Tx committed only if all that is read through it is still
// as it was, beside what it writes: objects that were got, those that were not
// found, and lists: an object that has appeared in one, changed or gone is a
// conflict, and makes the controller look again. So what was decided cannot be
// overtaken by what somebody else decided at the same time from the same facts
// (write skew). It must be called before anything is read. What is read from
// [Tx.Snapshot] is not compared.
//
// Each object that was read takes one of the [store.MaxTxnOps] places of an etcd
// transaction; a Tx that has no room for all fails, and writes nothing. A list
// depends on all objects of its kind in its namespace, those that a selector or
// an index leaves out included, for they might be in it now; etcd looks at
// each of them when it commits. So list by namespaces that are small or calm.
//
// A Tx that writes nothing needs no comparison: what it has read was so, all of
// it at once.
func (tx *Tx) Serializable() {
	if tx.hasRead {
		tx.fail(errors.New("transaction: Serializable after something was read"))
	}
	if tx.reads == nil {
		tx.reads = &readSet{objects: map[overlayKey]store.Object{}, absent: map[overlayKey]store.Object{}, ranges: map[readRange]store.Object{}}
	}
	if tx.object != nil {
		tx.reads.objects[keyOf(tx.object)] = tx.object
	}
}

// readSet is what a serializable Tx has read.
type readSet struct {
	objects map[overlayKey]store.Object
	absent  map[overlayKey]store.Object // with nothing but their names
	ranges  map[readRange]store.Object  // with nothing but their types
}

// readRange is a namespace, or all where that is empty.
type readRange struct {
	kind      overlayKey // without a key
	namespace string
}

// got takes note of an object that was read, or was not there.
func got[T store.Object](tx *Tx, key store.Key, obj T, exists bool) {
	switch {
	case tx.reads == nil:
	case exists:
		tx.reads.objects[keyOf(obj)] = obj
	default:
		if missing := newObject[T](tx); missing != nil {
			missing.SetNamespace(key.Namespace)
			missing.SetName(key.Name)
			tx.reads.absent[keyOf(missing)] = missing
		}
	}
}

// listed takes note that a kind was listed, in one namespace or in all.
func listed[T store.Object](tx *Tx, namespace string) {
	if tx.reads == nil {
		return
	}
	if like := newObject[T](tx); like != nil {
		tx.reads.ranges[readRange{kindOf(like), namespace}] = like
	}
}

// newObject returns an empty object, or nil when the store does not know T.
func newObject[T store.Object](tx *Tx) store.Object {
	k, err := store.KindOf[T](tx.manager.store)
	if err != nil {
		tx.fail(err)
		return nil
	}
	obj, _ := tx.manager.store.NewObject(k.GroupVersionKind)
	return obj
}

// dependOnReads makes conditions of what was read.
func (tx *Tx) dependOnReads() {
	if tx.reads == nil {
		return
	}
	for _, obj := range tx.reads.objects {
		tx.txn.Unchanged(obj)
	}
	for key, obj := range tx.reads.absent {
		if !tx.reads.covers(key) { // where nothing has appeared, it has not
			tx.txn.Absent(obj)
		}
	}
	for r, like := range tx.reads.ranges {
		if _, all := tx.reads.ranges[readRange{r.kind, ""}]; r.namespace == "" || !all {
			tx.txn.UnchangedSince(tx.snapshot.Revision(), like, r.namespace)
		}
	}
}

// covers reports whether an object would have been in a list that was read.
func (r *readSet) covers(key overlayKey) bool {
	kind := overlayKey{kind: key.kind}
	_, all := r.ranges[readRange{kind, ""}]
	_, namespace := r.ranges[readRange{kind, key.key.Namespace}]
	return all || namespace
}

// explain adds to an error what the reconcile can do about it.
func (tx *Tx) explain(err error) error {
	if tx.reads != nil && apierrors.IsRequestEntityTooLargeError(err) {
		return fmt.Errorf("the transaction is serializable and depends on all that was read through it (%d objects, %d that were not there, %d lists); "+
			"read what need not be compared from Tx.Snapshot: %w", len(tx.reads.objects), len(tx.reads.absent), len(tx.reads.ranges), err)
	}
	return err
}

package controller

import (
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/homeostat/homeostat/pkg/store"
)

// Serializable makes the commit conditional on everything that the Tx reads being
// unchanged. The objects that it found must be unchanged, those that it did not find
// must still not exist, and no object may have entered or left a list. If something has
// changed, the controller reconciles again on a newer snapshot. Use it to prevent write
// skew: two reconciles that each read what the other one writes, and that both succeed.
//
// Call Serializable before anything is read. Reads from [Tx.Snapshot] do not count. A
// Tx that writes nothing is not verified, since all its reads were true at one
// revision.
//
// Each object that was read takes one of the [store.MaxTxnOps] operations of an etcd
// transaction; a Tx that needs more fails and writes nothing. A list depends on all
// objects of its kind and namespace, even on those that a selector or an index leaves
// out, since a change may have brought them in: etcd compares ranges of keys, and not
// what is in their values. It examines each of them during the commit. So list in
// namespaces that are small or change rarely. Beside writers that never pause, such as
// heartbeats, a list hardly ever commits. There, let one object stand for the set: all
// who change the set write that object too, and the Tx reads it with [Get] instead of
// listing. The page docs/patterns.md has the code: "Choices within a set".
func (tx *Tx) Serializable() {
	if tx.hasRead {
		tx.fail(errors.New("transaction: Serializable was called after something was read"))
	}
	if tx.reads == nil {
		tx.reads = &readSet{objects: map[overlayKey]store.Object{}, absent: map[overlayKey]store.Object{}, ranges: map[readRange]store.Object{}}
	}
	tx.reads.objects[keyOf(tx.object)] = tx.object
}

// readSet has everything that a serializable Tx has read.
type readSet struct {
	objects map[overlayKey]store.Object
	absent  map[overlayKey]store.Object // empty objects with names
	ranges  map[readRange]store.Object  // empty objects of the listed kind
}

// readRange is a listed kind and namespace.
type readRange struct {
	kind      overlayKey // without a name
	namespace string     // "" is all
}

// got records a read of one object.
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

// listed records a list of a kind, in one namespace or in all.
func listed[T store.Object](tx *Tx, namespace string) {
	if tx.reads == nil {
		return
	}
	if like := newObject[T](tx); like != nil {
		tx.reads.ranges[readRange{kindOf(like), namespace}] = like
	}
}

// newObject returns an empty object, or nil if the store does not know T.
func newObject[T store.Object](tx *Tx) store.Object {
	k, err := store.KindOf[T](tx.manager.Store())
	if err != nil {
		tx.fail(err)
		return nil
	}
	obj, _ := tx.manager.Store().NewObject(k.GroupVersionKind)
	return obj
}

// dependOnReads makes the commit conditional on all that was read.
func (tx *Tx) dependOnReads() {
	if tx.reads == nil {
		return
	}
	for _, obj := range tx.reads.objects {
		tx.txn.Unchanged(obj)
	}
	for key, obj := range tx.reads.absent {
		if !tx.reads.covers(key) { // the condition on the list covers it
			tx.txn.Absent(obj)
		}
	}
	for r, like := range tx.reads.ranges {
		if _, all := tx.reads.ranges[readRange{r.kind, ""}]; r.namespace == "" || !all {
			tx.txn.UnchangedSince(tx.snapshot.Revision(), like, r.namespace)
		}
	}
}

// covers reports whether an object would be in a list that was read.
func (r *readSet) covers(key overlayKey) bool {
	kind := overlayKey{kind: key.kind}
	_, all := r.ranges[readRange{kind, ""}]
	_, namespace := r.ranges[readRange{kind, key.key.Namespace}]
	return all || namespace
}

// explain adds to an error what the reconcile function can do about it.
func (tx *Tx) explain(err error) error {
	if tx.reads != nil && apierrors.IsRequestEntityTooLargeError(err) {
		return fmt.Errorf("the transaction is serializable and depends on all that it read (%d objects, %d absent objects, %d lists): "+
			"read objects that need not be compared from Tx.Snapshot: %w", len(tx.reads.objects), len(tx.reads.absent), len(tx.reads.ranges), err)
	}
	return err
}

package controller

import (
	"fmt"
	"iter"

	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// informerOf returns the informer of a kind, or nil if the Tx's snapshot does not have
// the kind. In the latter case it adds the kind to the replica and makes the reconcile
// fail, since the reconcile may take the missing objects for deleted ones.
func informerOf[T store.Object](tx *Tx) *informer.Informer[T] {
	tx.hasRead = true
	inf, err := knownInformer[T](tx.manager)
	if err != nil {
		tx.fail(err)
		return nil
	}
	if !inf.Listed(tx.snapshot) {
		tx.fail(fmt.Errorf("kind %T is not in the manager's replica yet, and is added for the next try: "+
			"to have it from the start, name it in a source or with informer.For", *new(T)))
		return nil
	}
	return inf
}

// Get returns the object of a key as the Tx sees it, and false if it does not exist.
func Get[T store.Object](tx *Tx, key store.Key) (T, bool) {
	inf := informerOf[T](tx)
	obj, exists, written := lookup[T](tx.written, key)
	if written || inf == nil {
		return obj, exists
	}
	obj, exists = inf.Get(tx.snapshot, key)
	got(tx, key, obj, exists)
	return obj, exists
}

// List yields the selected objects of a kind in the order of their keys, as the Tx
// sees them when the iteration begins.
func List[T store.Object](tx *Tx, o informer.ListOptions) iter.Seq[T] {
	return func(yield func(T) bool) {
		if inf := informerOf[T](tx); inf != nil {
			merge(tx, inf.List(tx.snapshot, o), o.Namespace, func(obj T) bool { return o.Selects(obj) }, yield)
		}
	}
}

// Lookup yields the objects that have a value in an index of the manager's replica, in
// the order of their keys, as the Tx sees them when the iteration begins. It yields
// those in one namespace, or in all if namespace is "".
func Lookup[T store.Object](tx *Tx, x *informer.Index[T], value, namespace string) iter.Seq[T] {
	within := informer.ListOptions{Namespace: namespace}
	return func(yield func(T) bool) {
		if informerOf[T](tx) == nil {
			return
		}
		found := func(yield func(T) bool) {
			for obj := range x.Lookup(tx.snapshot, value) {
				if within.Selects(obj) && !yield(obj) {
					return
				}
			}
		}
		merge(tx, found, namespace, func(obj T) bool { return within.Selects(obj) && x.Has(obj, value) }, yield)
	}
}

// merge yields read objects and selected written ones in the order of their keys. It
// omits read objects that the Tx had written when the iteration began.
func merge[T store.Object](tx *Tx, read iter.Seq[T], namespace string, selects func(T) bool, yield func(T) bool) {
	if len(tx.written) == 0 && tx.reads == nil {
		read(yield)
		return
	}
	listed[T](tx, namespace)
	written, hidden := ofKind(tx.written, selects)
	for obj := range read {
		key := store.KeyOf(obj)
		for len(written) > 0 && compareKeys(store.KeyOf(written[0]), key) < 0 {
			if !yield(written[0]) {
				return
			}
			written = written[1:]
		}
		if hidden[key] {
			continue
		}
		got(tx, key, obj, true)
		if !yield(obj) {
			return
		}
	}
	for _, obj := range written {
		if !yield(obj) {
			return
		}
	}
}

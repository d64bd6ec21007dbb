package controller

import (
	"fmt"
	"iter"
	"reflect"

	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// informerOf returns what a Tx reads a kind with, or nil when its snapshot does
// not have the kind. The reconcile then fails, whatever it made of finding
// nothing, and the replica has the kind from then on.
func informerOf[T store.Object](tx *Tx) *informer.Informer[T] {
	tx.hasRead = true
	inf, err := knownInformer[T](tx.manager)
	if err != nil {
		tx.fail(err)
		return nil
	}
	if !inf.Listed(tx.snapshot) {
		tx.fail(fmt.Errorf("kind %T is not in the manager's replica yet: it is being added for the next try; "+
			"name it in a source, or with informer.For, to have it from the start", *new(T)))
		return nil
	}
	return inf
}

// knownInformer remembers informers, since asking the replica takes a lock that
// it holds while it takes in changes.
func knownInformer[T store.Object](m *Manager) (*informer.Informer[T], error) {
	if inf, ok := m.informers.Load(reflect.TypeFor[T]()); ok {
		return inf.(*informer.Informer[T]), nil
	}
	inf, err := informer.For[T](m.replica)
	if err == nil {
		m.informers.Store(reflect.TypeFor[T](), inf)
	}
	return inf, err
}

// Get returns an object as the Tx sees it.
func Get[T store.Object](tx *Tx, key store.Key) (T, bool) {
	inf := informerOf[T](tx)
	obj, exists, written := lookup[T](tx.own, key)
	if written || inf == nil {
		return obj, exists
	}
	obj, exists = inf.Get(tx.snapshot, key)
	got(tx, key, obj, exists)
	return obj, exists
}

// List yields the objects of a kind as the Tx sees them when the iteration
// begins, in the order of their keys.
func List[T store.Object](tx *Tx, o informer.ListOptions) iter.Seq[T] {
	return func(yield func(T) bool) {
		if inf := informerOf[T](tx); inf != nil {
			merge(tx, inf.List(tx.snapshot, o), o.Namespace, func(obj T) bool { return o.Selects(obj) }, yield)
		}
	}
}

// Lookup yields the objects that have a value in an index, in one namespace or
// in all where that is empty, as the Tx sees them when the iteration begins, in
// the order of their keys. The index is one of the manager's replica.
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

// merge yields what was read and what was written in the order of keys. What
// was written hides what was read; of what was written, the selected is yielded.
func merge[T store.Object](tx *Tx, read iter.Seq[T], namespace string, selects func(T) bool, yield func(T) bool) {
	if len(tx.own) == 0 && tx.reads == nil {
		read(yield)
		return
	}
	listed[T](tx, namespace)
	own := selected(tx.own, selects)
	for obj := range read {
		key := store.KeyOf(obj)
		for len(own) > 0 && compareKeys(store.KeyOf(own[0]), key) < 0 {
			if !yield(own[0]) {
				return
			}
			own = own[1:]
		}
		if _, _, hidden := lookup[T](tx.own, key); hidden {
			continue
		}
		got(tx, key, obj, true)
		if !yield(obj) {
			return
		}
	}
	for _, obj := range own {
		if !yield(obj) {
			return
		}
	}
}

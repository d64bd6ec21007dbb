package controller

import (
	"fmt"
	"iter"
	"reflect"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// informerOf returns what a Tx reads a kind with, or nil when its snapshot does
// not have the kind. The reconcile then fails, whatever it made of finding
// nothing, and the replica has the kind from then on.
func informerOf[T store.Object](tx *Tx) *informer.Informer[T] {
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
	if obj, exists, written := lookup[T](tx.own, key); written || inf == nil {
		return obj, exists
	}
	return inf.Get(tx.snapshot, key)
}

// List yields the objects of a kind as the Tx sees them when the iteration
// begins, in the order of their keys.
func List[T store.Object](tx *Tx, o informer.ListOptions) iter.Seq[T] {
	return func(yield func(T) bool) {
		inf := informerOf[T](tx)
		if inf == nil {
			return
		}
		if len(tx.own) == 0 {
			inf.List(tx.snapshot, o)(yield)
			return
		}
		merge(inf.List(tx.snapshot, o), tx.own, o, yield)
	}
}

// merge yields what was read and what was written in the order of keys. What
// was written hides what was read.
func merge[T store.Object](read iter.Seq[T], written overlay, o informer.ListOptions, yield func(T) bool) {
	own := selected[T](written, o)
	for obj := range read {
		key := store.KeyOf(obj)
		for len(own) > 0 && compareKeys(store.KeyOf(own[0]), key) < 0 {
			if !yield(own[0]) {
				return
			}
			own = own[1:]
		}
		if _, _, hidden := lookup[T](written, key); !hidden && !yield(obj) {
			return
		}
	}
	for _, obj := range own {
		if !yield(obj) {
			return
		}
	}
}

// Owned yields the objects of a kind whose controller is owner, as the Tx sees
// them. It looks at all objects of the kind in owner's namespace; where those
// are many, an index by owner is faster.
func Owned[T store.Object](tx *Tx, owner store.Object) iter.Seq[T] {
	return func(yield func(T) bool) {
		for obj := range List[T](tx, informer.ListOptions{Namespace: owner.GetNamespace()}) {
			if ref := metav1.GetControllerOfNoCopy(obj); ref != nil && ref.UID == owner.GetUID() && !yield(obj) {
				return
			}
		}
	}
}

package informer

import (
	"fmt"
	"iter"

	"github.com/homeostat/homeostat/pkg/store"
)

// Informer is the access to the objects of one kind in a replica: it reads
// snapshots, adds indexes and registers handlers. It is safe for concurrent use. It
// is a small value; calling [For] again for the same kind is cheap.
type Informer[T store.Object] struct {
	replica *Replica
	kind    *kind
}

// For returns the informer of the kind T, and registers the kind with the replica
// unless it is registered. On a running replica a new kind costs a list; see
// [Replica.WaitForSync]. It returns an error if the replica's store does not know T.
func For[T store.Object](r *Replica) (*Informer[T], error) {
	k, err := store.KindOf[T](r.store)
	if err != nil {
		return nil, fmt.Errorf("informer: %w", err)
	}
	kind, err := r.addKind(k, nil)
	if err != nil {
		return nil, fmt.Errorf("informer: %w", err)
	}
	return &Informer[T]{replica: r, kind: kind}, nil
}

// ForObject is [For] for a kind that is known only at run time: the kind of obj. It
// reads nothing of obj but its type, and apiVersion and kind if it is unstructured.
func ForObject(r *Replica, obj store.Object) (*Informer[store.Object], error) {
	k, err := r.store.KindOf(obj)
	if err != nil {
		return nil, fmt.Errorf("informer: %w", err)
	}
	kind, err := r.addKind(k, nil)
	if err != nil {
		return nil, fmt.Errorf("informer: %w", err)
	}
	return &Informer[store.Object]{replica: r, kind: kind}, nil
}

// Replica returns the replica of the informer.
func (i *Informer[T]) Replica() *Replica { return i.replica }

// Listed reports whether the snapshot has the kind. A snapshot that is older than
// the first list of the kind does not. Use it to tell a kind without objects from one
// that the replica has not read yet.
func (i *Informer[T]) Listed(s *Snapshot) bool { return s.kind(i.kind).objects != nil }

// Get returns an object of a snapshot. The object is shared: change only a copy.
func (i *Informer[T]) Get(s *Snapshot, key store.Key) (T, bool) {
	e, ok := s.kind(i.kind).get(key)
	if !ok {
		var none T
		return none, false
	}
	return e.obj.(T), true
}

// List yields objects of a snapshot in the order of their keys. The objects are
// shared: change only copies.
func (i *Informer[T]) List(s *Snapshot, o ListOptions) iter.Seq[T] {
	return func(yield func(T) bool) {
		for e := range s.kind(i.kind).list(o) {
			if !yield(e.obj.(T)) {
				return
			}
		}
	}
}

// Len returns the number of objects of the kind in a snapshot.
func (i *Informer[T]) Len(s *Snapshot) int { return s.kind(i.kind).len() }

// AddIndex adds an index over values that a function computes from each object; an
// object may have any number of values. The function must be pure and fast, since
// the replica waits for it, and must not change the object. An index can be added at
// any time. Lookups in a snapshot that is older than the index search all objects.
func (i *Informer[T]) AddIndex(values func(obj T) []string) *Index[T] {
	def := &indexDef{values: func(o store.Object) []string { return values(o.(T)) }}
	i.replica.addIndex(i.kind, def)
	return &Index[T]{kind: i.kind, def: def}
}

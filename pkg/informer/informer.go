package informer

import (
	"fmt"
	"iter"

	"github.com/homeostat/homeostat/pkg/store"
)

// Informer is the way to the objects of one kind in a replica: it reads
// snapshots, has indexes made and takes handlers. It is safe for concurrent
// use, and a small value that [For] may be asked for again and again.
type Informer[T store.Object] struct {
	replica *Replica
	kind    *kind
}

// For returns the informer of the kind T, and has the replica keep that kind
// from now on. On a running replica this costs a list; see
// [Replica.WaitForSync]. It fails when the replica's store does not know T.
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

// ForObject is [For] for a kind that is known only when the program runs: that of
// obj, of which nothing but its type matters.
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

// Replica returns the replica that the informer belongs to.
func (i *Informer[T]) Replica() *Replica { return i.replica }

// Listed reports whether a snapshot has the kind at all. One that is older than
// the kind's registration has not.
func (i *Informer[T]) Listed(s *Snapshot) bool { return s.kind(i.kind).objects != nil }

// Get returns an object of a snapshot. It is shared: change only a copy.
func (i *Informer[T]) Get(s *Snapshot, key store.Key) (T, bool) {
	e, ok := s.kind(i.kind).get(key)
	if !ok {
		var none T
		return none, false
	}
	return e.obj.(T), true
}

// List yields objects of a snapshot in the order of their keys. They are
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

// Len returns how many objects a snapshot has.
func (i *Informer[T]) Len(s *Snapshot) int { return s.kind(i.kind).len() }

// AddIndex has the replica maintain an index over values computed from each
// object. The function must be pure, fast, since the replica waits for it, and
// must not change the object; an object may have several values or none. It can be
// added at any time: older snapshots, which lack it, are searched one by one.
func (i *Informer[T]) AddIndex(values func(obj T) []string) *Index[T] {
	def := &indexDef{values: func(o store.Object) []string { return values(o.(T)) }}
	i.replica.addIndex(i.kind, def)
	return &Index[T]{kind: i.kind, def: def}
}

package controller

import (
	"context"
	"iter"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// followRoots watches for objects that come to have another root, and has what they
// own reconciled, down to the last: that has moved to another bucket with them,
// perhaps another process's, and no event tells of it.
func (s *shards) followRoots() (stop func()) {
	var all []*informer.Registration
	for _, kind := range s.kinds.Range {
		all = append(all, kind.(*shardedKind).follow(s.rerooted))
	}
	return func() {
		for _, r := range all {
			r.Remove()
		}
	}
}

// follow tells of the objects of a kind that come to have another root.
func follow[T store.Object](inf *informer.Informer[T], rerooted func(types.UID)) *informer.Registration {
	return inf.AddHandler(func(_ context.Context, e informer.Event[T]) {
		var other *metav1.OwnerReference // what is not there is its own root
		if e.Type == store.Modified {
			other = metav1.GetControllerOfNoCopy(e.Old)
		}
		if !e.Initial && !sameOwner(metav1.GetControllerOfNoCopy(e.Object), other) {
			rerooted(e.Object.GetUID())
		}
	})
}

func sameOwner(a, b *metav1.OwnerReference) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.APIVersion == b.APIVersion && a.Kind == b.Kind && a.Name == b.Name
}

func (s *shards) rerooted(uid types.UID) {
	snapshot := s.replica.Snapshot()
	below := map[schema.GroupKind][]store.Key{}
	s.descend(snapshot, uid, maxOwners, below)
	if len(below) == 0 {
		return
	}
	s.mu.Lock()
	gainers := slices.Clone(s.gainers)
	s.mu.Unlock()
	for _, g := range gainers {
		g.tell(snapshot, slices.Values(below[g.share.kind]))
	}
}

// descend collects what an object owns, and what that does.
func (s *shards) descend(snapshot *informer.Snapshot, uid types.UID, depth int, below map[schema.GroupKind][]store.Key) {
	for kind, known := range s.kinds.Range {
		for obj := range known.(*shardedKind).owned(snapshot, uid) {
			below[kind.(schema.GroupKind)] = append(below[kind.(schema.GroupKind)], store.KeyOf(obj))
			if depth > 1 {
				s.descend(snapshot, obj.GetUID(), depth-1, below)
			}
		}
	}
}

// ownedBy finds the objects that an index has by the uids of their controllers.
func ownedBy[T store.Object](x *informer.Index[T]) func(*informer.Snapshot, types.UID) iter.Seq[store.Object] {
	return func(s *informer.Snapshot, uid types.UID) iter.Seq[store.Object] {
		return func(yield func(store.Object) bool) {
			for obj := range x.Lookup(s, string(uid)) {
				if !yield(obj) {
					return
				}
			}
		}
	}
}

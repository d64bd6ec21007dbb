package controller

import (
	"context"
	"iter"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/homeostat/homeostat/pkg/controller/internal/rendezvous"
	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// maxOwners limits how far owners are followed: objects may own each other.
const maxOwners = 16

// shardedKind is what the sharder needs to know of a sharded controller's kind.
type shardedKind struct {
	info       store.KindInfo
	get        func(*informer.Snapshot, store.Key) (metav1.Object, bool)
	keys       func(*informer.Snapshot) iter.Seq[store.Key]
	ownedBy    func(*informer.Snapshot, types.UID) iter.Seq[store.Object]
	watchRoots func(changed func(types.UID)) *informer.Registration
}

func (s *sharder) kindOf(kind schema.GroupKind) (*shardedKind, bool) {
	known, ok := s.kinds.Load(kind)
	if !ok {
		return nil, false
	}
	return known.(*shardedKind), true
}

// bucketOf returns the bucket of an object: that of its root, which is the last owner
// found by following controller references through the kinds of sharded controllers.
// An object that does not exist is its own root. So is an owner in whose place there is
// another object of that name: if that one had another root, what the old owner owned
// would move with it unnoticed.
func (s *sharder) bucketOf(snapshot *informer.Snapshot, kind schema.GroupKind, key store.Key) int {
	var uid types.UID // that the reference demands
	for range maxOwners {
		known, ok := s.kindOf(kind)
		if !ok {
			break
		}
		obj, exists := known.get(snapshot, key)
		if !exists || uid != "" && obj.GetUID() != uid {
			break
		}
		ref := metav1.GetControllerOfNoCopy(obj)
		if ref == nil {
			break
		}
		gv, err := schema.ParseGroupVersion(ref.APIVersion)
		if err != nil {
			break
		}
		kind, key.Name, uid = schema.GroupKind{Group: gv.Group, Kind: ref.Kind}, ref.Name, ref.UID
		if owner, ok := s.kindOf(kind); ok && owner.info.ClusterScoped {
			key.Namespace = ""
		}
	}
	return rendezvous.Bucket(s.options.Buckets, kind.Group, kind.Kind, key.Namespace, key.Name)
}

// watchRootChanges watches for objects that get another root. It enqueues all objects
// that they own: these move to another bucket too, and have no event of their own.
func (s *sharder) watchRootChanges() (stop func()) {
	var all []*informer.Registration
	for _, kind := range s.kinds.Range {
		all = append(all, kind.(*shardedKind).watchRoots(s.rootChanged))
	}
	return func() {
		for _, r := range all {
			r.Remove()
		}
	}
}

// watchRoots calls changed for each object of a kind whose controller reference changes.
func watchRoots[T store.Object](inf *informer.Informer[T], changed func(types.UID)) *informer.Registration {
	handle := func(e informer.Event[T]) {
		var before *metav1.OwnerReference // an object that does not exist is its own root
		if e.Type == store.Modified {
			before = metav1.GetControllerOfNoCopy(e.Old)
		}
		if !e.Initial && !sameOwner(metav1.GetControllerOfNoCopy(e.Object), before) {
			changed(e.Object.GetUID())
		}
	}
	// An object can lose its root and get it back. In between, this process may have
	// dropped keys of objects that it owns, since they were another process's.
	return inf.AddHandlerWithJoined(func(_ context.Context, e informer.Event[T]) { handle(e) }, handle)
}

func sameOwner(a, b *metav1.OwnerReference) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.APIVersion == b.APIVersion && a.Kind == b.Kind && a.Name == b.Name && a.UID == b.UID
}

// rootChanged enqueues the objects that an object owns, directly or not. Each process
// drops those that are not its own.
func (s *sharder) rootChanged(uid types.UID) {
	snapshot := s.replica.Snapshot()
	owned := map[schema.GroupKind][]store.Key{}
	s.collectOwned(snapshot, uid, maxOwners, owned)
	if len(owned) == 0 {
		return
	}
	s.mu.Lock()
	subscribers := slices.Clone(s.subscribers)
	s.mu.Unlock()
	for _, sub := range subscribers {
		sub.enqueueKeys(snapshot, slices.Values(owned[sub.filter.kind]))
	}
}

// collectOwned adds to keys what an object owns, and what those objects own in turn.
func (s *sharder) collectOwned(snapshot *informer.Snapshot, uid types.UID, depth int, keys map[schema.GroupKind][]store.Key) {
	if depth == 0 {
		return
	}
	for kind, known := range s.kinds.Range {
		for obj := range known.(*shardedKind).ownedBy(snapshot, uid) {
			keys[kind.(schema.GroupKind)] = append(keys[kind.(schema.GroupKind)], store.KeyOf(obj))
			s.collectOwned(snapshot, obj.GetUID(), depth-1, keys)
		}
	}
}

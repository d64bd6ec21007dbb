package garbagecollector

import (
	"iter"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// dependent is an object with one of its owner references.
type dependent struct {
	kind schema.GroupKind
	obj  store.Object
	ref  metav1.OwnerReference
}

// dependents yields the objects with a reference that resolves to the owner, except
// the owner itself. A reference that has the owner's uid and another kind or name
// does not count: it names an owner that does not exist.
func (c *collector) dependents(s *informer.Snapshot, gk schema.GroupKind, owner store.Object) iter.Seq[dependent] {
	return func(yield func(dependent) bool) {
		for kind, t := range c.kinds {
			for obj := range t.byOwner.Lookup(s, string(owner.GetUID())) {
				ref, refers := c.reference(obj, gk, owner)
				if refers && obj.GetUID() != owner.GetUID() && !yield(dependent{kind, obj, ref}) {
					return
				}
			}
		}
	}
}

// reference returns an object's reference to an owner. If there are several, it
// prefers one that blocks the owner's deletion.
func (c *collector) reference(obj store.Object, gk schema.GroupKind, owner store.Object) (found metav1.OwnerReference, refers bool) {
	for _, ref := range obj.GetOwnerReferences() {
		if ref.UID != owner.GetUID() || refers && !blocks(ref) {
			continue
		}
		owners, key, known, err := c.resolve(obj, ref)
		if err == nil && known && owners.info.GroupVersionKind.GroupKind() == gk && key == store.KeyOf(owner) {
			found, refers = ref, true
		}
	}
	return found, refers
}

func blocks(ref metav1.OwnerReference) bool {
	return ref.BlockOwnerDeletion != nil && *ref.BlockOwnerDeletion
}

// hasDependents reports whether an object has dependents.
func (c *collector) hasDependents(s *informer.Snapshot, gk schema.GroupKind, obj store.Object) bool {
	for range c.dependents(s, gk, obj) {
		return true
	}
	return false
}

// blockedBy reports whether the foreground deletion of an owner would wait for
// target, directly or through other dependents. visited has the owners seen so far.
func (c *collector) blockedBy(s *informer.Snapshot, gk schema.GroupKind, owner store.Object, target types.UID, visited map[types.UID]bool) bool {
	visited[owner.GetUID()] = true
	for d := range c.dependents(s, gk, owner) {
		if !blocks(d.ref) {
			continue
		}
		uid := d.obj.GetUID()
		if uid == target || !visited[uid] && c.blockedBy(s, d.kind, d.obj, target, visited) {
			return true
		}
	}
	return false
}

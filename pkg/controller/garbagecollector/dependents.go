package garbagecollector

import (
	"iter"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// dependent is an object with its reference to an owner.
type dependent struct {
	kind schema.GroupKind
	obj  store.Object
	ref  metav1.OwnerReference
}

// dependents yields the objects that refer to an owner, other than itself, with
// a reference that leads to it. Others that have its uid in them cannot be
// helped: they name an owner that does not exist.
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

// reference finds an object's reference to an owner. Of several, one that blocks
// the owner's deletion counts.
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

// hasDependents reports whether anything refers to an object.
func (c *collector) hasDependents(s *informer.Snapshot, gk schema.GroupKind, obj store.Object) bool {
	for range c.dependents(s, gk, obj) {
		return true
	}
	return false
}

// blockedBy reports whether target is among the objects that would hold back an
// owner's foreground deletion, at any depth.
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

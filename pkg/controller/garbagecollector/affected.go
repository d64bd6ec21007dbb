package garbagecollector

import (
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// affected returns the objects that may have to be deleted or changed after an
// event: the event's object itself, whose owner may be gone already; its
// dependents, when it was deleted or began to wait for them; and its owners that
// wait for it. A dependent that is created later causes an event of its own.
func (c *collector) affected(gk schema.GroupKind, e informer.Event[store.Object]) []request {
	s := c.replica.Snapshot()
	requests := c.waitingOwners(s, e.Object)
	if e.Old != nil {
		requests = append(requests, c.waitingOwners(s, e.Old)...)
	}
	deleted := e.Type == store.Deleted
	pending := pendingFinalizer(e.Object)
	if !deleted && (pending != "" || len(e.Object.GetOwnerReferences()) > 0) {
		requests = append(requests, request{gk, store.KeyOf(e.Object)})
	}
	beginsToWait := pending != "" && (e.Old == nil || pendingFinalizer(e.Old) != pending)
	if deleted || beginsToWait {
		requests = append(requests, c.referring(s, e.Object)...)
	}
	return requests
}

// referring returns the objects with an owner reference to the owner's uid.
func (c *collector) referring(s *informer.Snapshot, owner store.Object) (requests []request) {
	for gk, t := range c.kinds {
		for obj := range t.byOwner.Lookup(s, string(owner.GetUID())) {
			requests = append(requests, request{gk, store.KeyOf(obj)})
		}
	}
	return requests
}

// waitingOwners returns the owners of an object that are being deleted and wait
// for their dependents.
func (c *collector) waitingOwners(s *informer.Snapshot, obj store.Object) (requests []request) {
	for _, ref := range obj.GetOwnerReferences() {
		owners, key, known, err := c.resolve(obj, ref)
		if err != nil || !known {
			continue
		}
		owner, exists := owners.objects.Get(s, key)
		if exists && owner.GetUID() == ref.UID && pendingFinalizer(owner) != "" {
			requests = append(requests, request{owners.info.GroupVersionKind.GroupKind(), key})
		}
	}
	return requests
}

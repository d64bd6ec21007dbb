package garbagecollector

import (
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// affected names the objects for which a change may matter: the changed object
// itself, whose owner may have gone before it came; its dependents, when it went
// or began to wait for them; and the owners that wait for it. Dependents that
// come later are affected by themselves.
func (c *collector) affected(gk schema.GroupKind, e informer.Event[store.Object]) []request {
	s := c.replica.Snapshot()
	requests := c.waitingOwners(s, e.Object)
	if e.Old != nil {
		requests = append(requests, c.waitingOwners(s, e.Old)...)
	}
	gone := e.Type == store.Deleted
	pending := pendingFinalizer(e.Object)
	if !gone && (pending != "" || len(e.Object.GetOwnerReferences()) > 0) {
		requests = append(requests, request{gk, store.KeyOf(e.Object)})
	}
	begins := pending != "" && (e.Old == nil || pendingFinalizer(e.Old) != pending)
	if gone || begins {
		requests = append(requests, c.referring(s, e.Object)...)
	}
	return requests
}

// referring names the objects that have an owner's uid in a reference.
func (c *collector) referring(s *informer.Snapshot, owner store.Object) (requests []request) {
	for gk, t := range c.kinds {
		for obj := range t.byOwner.Lookup(s, string(owner.GetUID())) {
			requests = append(requests, request{gk, store.KeyOf(obj)})
		}
	}
	return requests
}

// waitingOwners names the owners of an object that are being deleted and wait
// for their dependents. One that begins to do so later is affected by itself.
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

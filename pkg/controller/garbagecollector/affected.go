package garbagecollector

import (
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// affected names the objects that a change may have made garbage: those whose
// owner went, and the changed object itself, whose owner may have gone before
// it came.
func (c *collector) affected(gk schema.GroupKind, e informer.Event[store.Object]) []request {
	if e.Type == store.Deleted {
		return c.dependents(e.Object.GetUID())
	}
	if len(e.Object.GetOwnerReferences()) == 0 {
		return nil
	}
	return []request{{gk, store.KeyOf(e.Object)}}
}

// dependents names the objects that refer to an owner. Those that come later
// are affected by themselves.
func (c *collector) dependents(owner types.UID) []request {
	var requests []request
	snapshot := c.replica.Snapshot()
	for gk, t := range c.kinds {
		for obj := range t.byOwner.Lookup(snapshot, string(owner)) {
			requests = append(requests, request{gk, store.KeyOf(obj)})
		}
	}
	return requests
}

package garbagecollector

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// Name is the collector's name among the manager's controllers.
const Name = "garbage-collector"

// request is the key of an object of any of the collector's kinds.
type request struct {
	kind schema.GroupKind
	key  store.Key
}

var _ controller.Tenant = request{}

// Tenant makes namespaces take turns, so that much garbage in one of them does not
// delay the others.
func (r request) Tenant() string { return r.key.Namespace }

// String is for log lines.
func (r request) String() string { return r.kind.String() + " " + r.key.String() }

// trackedKind is one of the collector's kinds.
type trackedKind struct {
	info    store.KindInfo
	objects *informer.Informer[store.Object]
	byOwner *informer.Index[store.Object] // by the owners' uids
}

type collector struct {
	store   *store.Store
	replica *informer.Replica
	kinds   map[schema.GroupKind]trackedKind
}

// Add adds the collector to a manager that has not run yet. Only the types of the
// given objects matter: they say which kinds to collect. Add returns an error if
// there are none, if one is given twice, or if the manager's store does not know
// one.
func Add(m *controller.Manager, kinds ...store.Object) error {
	if len(kinds) == 0 {
		return errors.New("garbage collector: no kinds")
	}
	c := &collector{store: m.Store(), replica: m.Replica(), kinds: map[schema.GroupKind]trackedKind{}}
	var sources []controller.Source[request]
	for _, obj := range kinds {
		t, err := c.track(obj)
		if err != nil {
			return fmt.Errorf("garbage collector: %w", err)
		}
		gk := t.info.GroupVersionKind.GroupKind()
		if _, twice := c.kinds[gk]; twice {
			return fmt.Errorf("garbage collector: kind %s is given twice", gk)
		}
		c.kinds[gk] = t
		sources = append(sources, controller.WatchesInformerEvents(t.objects, func(_ context.Context, e informer.Event[store.Object]) []request {
			return c.affected(gk, e)
		}))
	}
	_, err := controller.NewReconciler(m, Name, controller.ReconcilerFunc[request](c.reconcile), controller.Options{Workers: 8}, sources...)
	return err
}

func (c *collector) track(obj store.Object) (trackedKind, error) {
	info, err := c.store.KindOf(obj)
	if err != nil {
		return trackedKind{}, err
	}
	objects, err := informer.ForObject(c.replica, obj)
	if err != nil {
		return trackedKind{}, err
	}
	return trackedKind{info, objects, objects.AddIndex(ownerUIDs)}, nil
}

func ownerUIDs(obj store.Object) []string {
	refs := obj.GetOwnerReferences()
	if len(refs) == 0 {
		return nil
	}
	uids := make([]string, len(refs))
	for i, ref := range refs {
		uids[i] = string(ref.UID)
	}
	return uids
}

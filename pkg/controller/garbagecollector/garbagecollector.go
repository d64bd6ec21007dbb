package garbagecollector

import (
	"context"
	"errors"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// Name is the collector's name among the manager's controllers.
const Name = "garbage-collector"

// request names an object of any of the collector's kinds.
type request struct {
	kind schema.GroupKind
	store.Key
}

// tracked is one of the collector's kinds.
type tracked struct {
	info    store.KindInfo
	objects *informer.Informer[store.Object]
	byOwner *informer.Index[store.Object] // by the uids of owners
}

type collector struct {
	store   *store.Store
	replica *informer.Replica
	kinds   map[schema.GroupKind]tracked
}

// Add adds the collector to a manager that has not run yet, for the kinds of
// the given objects, of which nothing but the type matters.
func Add(m *controller.Manager, kinds ...store.Object) error {
	if len(kinds) == 0 {
		return errors.New("garbage collector: no kinds")
	}
	c := &collector{store: m.Store(), replica: m.Replica(), kinds: map[schema.GroupKind]tracked{}}
	var sources []controller.Source[request]
	for _, obj := range kinds {
		t, err := c.track(obj)
		if err != nil {
			return fmt.Errorf("garbage collector: %w", err)
		}
		gk := t.info.GroupVersionKind.GroupKind()
		c.kinds[gk] = t
		sources = append(sources, controller.WatchesInformer(t.objects, func(_ context.Context, e informer.Event[store.Object]) []request {
			return c.affected(gk, e)
		}))
	}
	return controller.NewReconciler(m, Name, controller.Func[request](c.reconcile), controller.Options{Workers: 8}, sources...)
}

func (c *collector) track(obj store.Object) (tracked, error) {
	info, err := c.store.KindOf(obj)
	if err != nil {
		return tracked{}, err
	}
	objects, err := informer.ForObject(c.replica, obj)
	if err != nil {
		return tracked{}, err
	}
	return tracked{info, objects, objects.AddIndex(ownerUIDs)}, nil
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

// affected names the objects that a change may have made garbage: those whose
// owner went, and the changed object itself, whose owner may have gone before
// it came.
func (c *collector) affected(gk schema.GroupKind, e informer.Event[store.Object]) []request {
	if e.Type != store.Deleted {
		if len(e.Object.GetOwnerReferences()) == 0 {
			return nil
		}
		return []request{{gk, store.KeyOf(e.Object)}}
	}
	var requests []request
	snapshot := c.replica.Snapshot()
	for dependents, t := range c.kinds {
		for obj := range t.byOwner.Lookup(snapshot, string(e.Object.GetUID())) {
			requests = append(requests, request{dependents, store.KeyOf(obj)})
		}
	}
	return requests
}

// reconcile deletes one object if it is garbage.
func (c *collector) reconcile(ctx context.Context, req request) (controller.Result, error) {
	snapshot := c.replica.Snapshot()
	obj, ok := c.kinds[req.kind].objects.Get(snapshot, req.Key)
	if !ok || obj.GetDeletionTimestamp() != nil {
		return controller.Result{}, nil
	}
	check := &ownerCheck{collector: c, snapshot: snapshot, obj: obj, txn: c.store.Txn(), seen: map[string]bool{}}
	txn := check.txn
	var kept []metav1.OwnerReference
	refs := obj.GetOwnerReferences()
	for _, ref := range refs {
		gone, err := check.gone(ref)
		if err != nil {
			return controller.Result{}, controller.TerminalError(err)
		}
		if !gone {
			kept = append(kept, ref)
		}
	}
	switch {
	case len(kept) == len(refs):
		return controller.Result{}, nil
	case len(kept) == 0:
		doomed := obj.DeepCopyObject().(store.Object)
		txn.Delete(doomed, store.DeleteOptions{ResourceVersion: obj.GetResourceVersion()})
	default:
		disowned := obj.DeepCopyObject().(store.Object)
		disowned.SetOwnerReferences(kept)
		txn.Update(disowned)
	}
	_, err := txn.Commit(ctx)
	return controller.Result{}, err
}

// ownerCheck looks for the owners of one object in a snapshot.
type ownerCheck struct {
	*collector
	snapshot *informer.Snapshot
	obj      store.Object
	txn      *store.Txn
	seen     map[string]bool // the owners' keys that txn checks already
}

// gone reports whether a referenced owner does not exist. If it does not, the
// transaction must find the owner's key as the snapshot has it: its value may
// just not be decodable.
func (c *ownerCheck) gone(ref metav1.OwnerReference) (bool, error) {
	gv, err := schema.ParseGroupVersion(ref.APIVersion)
	if err != nil {
		return false, fmt.Errorf("%s %s: owner reference to %s %s: %w",
			c.obj.GetObjectKind().GroupVersionKind().Kind, store.KeyOf(c.obj), ref.Kind, ref.Name, err)
	}
	owners, ok := c.kinds[schema.GroupKind{Group: gv.Group, Kind: ref.Kind}]
	if !ok {
		return false, nil
	}
	key := store.Key{Namespace: c.obj.GetNamespace(), Name: ref.Name}
	if owners.info.ClusterScoped {
		key.Namespace = ""
	}
	owner, exists := owners.objects.Get(c.snapshot, key)
	if exists && owner.GetUID() == ref.UID {
		return false, nil
	}
	if id := owners.info.Resource.String() + "/" + key.String(); !c.seen[id] {
		c.seen[id] = true
		c.expect(owners.info, key, owner)
	}
	return true, nil
}

// expect has the transaction check that a key is as the snapshot has it.
func (c *ownerCheck) expect(kind store.KindInfo, key store.Key, found store.Object) {
	if found != nil {
		c.txn.Unchanged(found)
		return
	}
	absent, _ := c.store.NewObject(kind.GroupVersionKind)
	absent.SetNamespace(key.Namespace)
	absent.SetName(key.Name)
	c.txn.Absent(absent)
}

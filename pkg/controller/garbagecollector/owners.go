package garbagecollector

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// ownerState is what an owner means for its dependents.
type ownerState int

const (
	keeps   ownerState = iota // it stays, or nobody knows
	absent                    // it does not exist
	waits                     // it is being deleted and waits for its dependents to go
	orphans                   // it is being deleted and waits for its dependents to forget it
)

// stateOf is the state of an owner that exists. Without a finalizer of the
// collector's, an owner that is being deleted is like any other until it is gone.
func stateOf(owner store.Object) ownerState {
	switch pendingFinalizer(owner) {
	case metav1.FinalizerOrphanDependents:
		return orphans
	case metav1.FinalizerDeleteDependents:
		return waits
	}
	return keeps
}

// ownerCheck looks for the owners of one object in a snapshot.
type ownerCheck struct {
	*collector
	snapshot *informer.Snapshot
	obj      store.Object
	txn      *store.Txn
	seen     map[string]bool // the owners' keys that txn checks already
}

// state tells the state of a referenced owner. Where it is the reason for a
// write, the transaction must find the owner's key as the snapshot has it: an
// owner that is missing may just not be decodable, and one that is being deleted
// may have been told to treat its dependents otherwise.
func (c *ownerCheck) state(ref metav1.OwnerReference) (ownerState, error) {
	owners, key, known, err := c.resolve(c.obj, ref)
	if err != nil {
		return keeps, fmt.Errorf("%s %s: owner reference to %s %s: %w",
			c.obj.GetObjectKind().GroupVersionKind().Kind, store.KeyOf(c.obj), ref.Kind, ref.Name, err)
	}
	if !known || !owners.objects.Keeps(key) {
		return keeps, nil
	}
	state := absent
	owner, exists := owners.objects.Get(c.snapshot, key)
	if exists && owner.GetUID() == ref.UID {
		state = stateOf(owner)
	}
	isSelf := exists && owner.GetUID() == c.obj.GetUID() // what is written cannot be a condition too
	if id := owners.info.Resource.String() + "/" + key.String(); state != keeps && !isSelf && !c.seen[id] {
		c.seen[id] = true
		c.expect(owners.info, key, owner)
	}
	return state, nil
}

// whole returns a copy of an object of a snapshot that can be written. Of an object
// that the replica keeps only in part, it reads what is there now; the write is
// conditional on that being what the snapshot has.
func (c *collector) whole(ctx context.Context, obj store.Object) (store.Object, error) {
	if !store.IsPartial(obj) {
		return obj.DeepCopyObject().(store.Object), nil
	}
	now, err := c.store.GetLike(ctx, obj)
	if err != nil {
		return nil, err
	}
	now.SetUID(obj.GetUID())
	now.SetResourceVersion(obj.GetResourceVersion())
	return now, nil
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

// resolve tells where the owner that an object refers to must be. It does not
// know that for a kind which is not the collector's, or where the object does
// not say in which namespace.
func (c *collector) resolve(obj store.Object, ref metav1.OwnerReference) (owners tracked, key store.Key, known bool, err error) {
	gv, err := schema.ParseGroupVersion(ref.APIVersion)
	if err != nil {
		return owners, key, false, err
	}
	owners, known = c.kinds[schema.GroupKind{Group: gv.Group, Kind: ref.Kind}]
	if !known || !owners.info.ClusterScoped && obj.GetNamespace() == "" {
		return owners, key, false, nil
	}
	key = store.Key{Namespace: obj.GetNamespace(), Name: ref.Name}
	if owners.info.ClusterScoped {
		key.Namespace = ""
	}
	return owners, key, true, nil
}

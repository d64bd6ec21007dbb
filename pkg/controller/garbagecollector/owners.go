package garbagecollector

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// ownerState says what an owner means for its dependents.
type ownerState int

const (
	ownerKeeps   ownerState = iota // it exists, or the collector cannot know
	ownerAbsent                    // it does not exist
	ownerWaits                     // it is being deleted and waits until its dependents are gone
	ownerOrphans                   // it is being deleted and waits until no dependent refers to it
)

// stateOf returns the state of an owner that exists. An owner that is being deleted
// without a finalizer of the collector's keeps its dependents until it is gone.
func stateOf(owner store.Object) ownerState {
	switch pendingFinalizer(owner) {
	case metav1.FinalizerOrphanDependents:
		return ownerOrphans
	case metav1.FinalizerDeleteDependents:
		return ownerWaits
	}
	return ownerKeeps
}

// ownerCheck finds the states of one object's owners in a snapshot, and makes txn
// conditional on them.
type ownerCheck struct {
	collector *collector
	snapshot  *informer.Snapshot
	obj       store.Object
	txn       *store.Txn
	expected  map[string]bool // the owners' keys on which txn is conditional already
}

// state returns the state of a referenced owner. Unless the owner keeps the object,
// it makes the transaction conditional on the owner's key being as in the snapshot:
// an owner missing from the snapshot may exist and not be decodable, and one that is
// being deleted may have got another propagation.
func (c *ownerCheck) state(ref metav1.OwnerReference) (ownerState, error) {
	owners, key, known, err := c.collector.resolve(c.obj, ref)
	if err != nil {
		return ownerKeeps, fmt.Errorf("%s %s: owner reference to %s %s: %w",
			c.obj.GetObjectKind().GroupVersionKind().Kind, store.KeyOf(c.obj), ref.Kind, ref.Name, err)
	}
	if !known || !owners.objects.Keeps(key) {
		return ownerKeeps, nil
	}
	state := ownerAbsent
	owner, exists := owners.objects.Get(c.snapshot, key)
	if exists && owner.GetUID() == ref.UID {
		state = stateOf(owner)
	}
	isSelf := exists && owner.GetUID() == c.obj.GetUID() // a transaction cannot write what it also compares
	if id := owners.info.Resource.String() + "/" + key.String(); state != ownerKeeps && !isSelf && !c.expected[id] {
		c.expected[id] = true
		c.expect(owners.info, key, owner)
	}
	return state, nil
}

// expect makes the transaction conditional on a key being as in the snapshot. found
// is nil if the snapshot does not have the object.
func (c *ownerCheck) expect(kind store.KindInfo, key store.Key, found store.Object) {
	if found != nil {
		c.txn.Unchanged(found)
		return
	}
	absent, _ := c.collector.store.NewObject(kind.GroupVersionKind)
	absent.SetNamespace(key.Namespace)
	absent.SetName(key.Name)
	c.txn.Absent(absent)
}

// resolve returns the kind and key of the object that an owner reference names. known
// is false if the kind is not one of the collector's, or if a cluster-scoped object
// refers to a kind with namespaces.
func (c *collector) resolve(obj store.Object, ref metav1.OwnerReference) (owners trackedKind, key store.Key, known bool, err error) {
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

// whole returns a copy of an object of a snapshot that can be written. If the
// replica keeps only a part of the object, it reads the rest from etcd; the write
// stays conditional on the object being as in the snapshot.
func (c *collector) whole(ctx context.Context, obj store.Object) (store.Object, error) {
	if !store.IsPartial(obj) {
		return obj.DeepCopyObject().(store.Object), nil
	}
	now, err := c.store.GetObject(ctx, obj)
	if err != nil {
		return nil, err
	}
	now.SetUID(obj.GetUID())
	now.SetResourceVersion(obj.GetResourceVersion())
	return now, nil
}

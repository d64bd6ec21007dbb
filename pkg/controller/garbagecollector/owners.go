package garbagecollector

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

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
	if !owners.info.ClusterScoped && c.obj.GetNamespace() == "" {
		return false, nil // an object of which namespace is not said
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

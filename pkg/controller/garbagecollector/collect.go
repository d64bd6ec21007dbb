package garbagecollector

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/store"
)

// reconcile deletes one object if it is garbage.
func (c *collector) reconcile(ctx context.Context, req request) (controller.Result, error) {
	snapshot := c.replica.Snapshot()
	obj, ok := c.kinds[req.kind].objects.Get(snapshot, req.Key)
	if !ok || obj.GetDeletionTimestamp() != nil {
		return controller.Result{}, nil
	}
	txn := c.store.Txn()
	check := &ownerCheck{collector: c, snapshot: snapshot, obj: obj, txn: txn, seen: map[string]bool{}}
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
	return controller.Result{}, outdated(req, err)
}

// outdated turns the errors which say that the snapshot was too old into
// Conflicts, so that the object is looked at again. An owner that is there and
// cannot be decoded is one that never ceases to appear.
func outdated(req request, err error) error {
	if apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err) {
		resource := schema.GroupResource{Group: req.kind.Group, Resource: req.kind.Kind}
		return apierrors.NewConflict(resource, req.Key.String(), err)
	}
	return err
}

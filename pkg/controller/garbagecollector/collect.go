package garbagecollector

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// reconcile deletes one object if it is garbage. If the object is being deleted and
// no dependent holds it back any more, it removes the collector's finalizer. Each
// dependent is reconciled by itself, so an owner may have any number of them.
func (c *collector) reconcile(ctx context.Context, req request) (controller.Result, error) {
	snapshot := c.replica.Snapshot()
	obj, ok := c.kinds[req.kind].objects.Get(snapshot, req.key)
	switch {
	case !ok:
		return controller.Result{}, nil
	case obj.GetDeletionTimestamp() != nil:
		return c.release(ctx, req, snapshot, obj)
	}
	return controller.Result{}, c.collect(ctx, req, snapshot, obj)
}

// collect deletes an object if none of its owners keeps it. If some do, it removes
// the references to the others.
func (c *collector) collect(ctx context.Context, req request, s *informer.Snapshot, obj store.Object) error {
	txn := c.store.Txn()
	check := &ownerCheck{collector: c, snapshot: s, obj: obj, txn: txn, expected: map[string]bool{}}
	var kept []metav1.OwnerReference
	var count [ownerOrphans + 1]int
	refs := obj.GetOwnerReferences()
	for _, ref := range refs {
		state, err := check.state(ref)
		if err != nil {
			return controller.TerminalError(err)
		}
		if count[state]++; state == ownerKeeps {
			kept = append(kept, ref)
		}
	}
	switch {
	case count[ownerKeeps] == len(refs):
		return nil
	case count[ownerKeeps] == 0 && count[ownerOrphans] == 0:
		o := store.DeleteOptions{ResourceVersion: obj.GetResourceVersion()}
		if count[ownerWaits] > 0 && c.hasDependents(s, req.kind, obj) {
			o.Propagation = metav1.DeletePropagationForeground // the owner waits for these as well
		}
		txn.Delete(obj.DeepCopyObject().(store.Object), o)
	default:
		changed, err := c.whole(ctx, obj)
		if err != nil {
			return outdated(req, err)
		}
		changed.SetOwnerReferences(kept)
		txn.Update(changed)
	}
	_, err := txn.Commit(ctx)
	return outdated(req, err)
}

// outdated turns errors caused by an old snapshot into Conflicts, so that the
// controller reconciles again. It does so for AlreadyExists too: an owner that
// exists and cannot be decoded is missing from every snapshot.
func outdated(req request, err error) error {
	if apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err) {
		resource := schema.GroupResource{Group: req.kind.Group, Resource: req.kind.Kind}
		return apierrors.NewConflict(resource, req.key.String(), err)
	}
	return err
}

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

// reconcile deletes one object if it is garbage, and lets it go if it is being
// deleted and waits for its dependents no longer. Every dependent is decided on
// by itself, so that it does not matter how many an owner has.
func (c *collector) reconcile(ctx context.Context, req request) (controller.Result, error) {
	snapshot := c.replica.Snapshot()
	obj, ok := c.kinds[req.kind].objects.Get(snapshot, req.Key)
	switch {
	case !ok:
		return controller.Result{}, nil
	case obj.GetDeletionTimestamp() != nil:
		return c.release(ctx, req, snapshot, obj)
	}
	return controller.Result{}, c.collect(ctx, req, snapshot, obj)
}

// collect deletes an object that no owner keeps. Where one does, it takes out
// the references to those that do not.
func (c *collector) collect(ctx context.Context, req request, s *informer.Snapshot, obj store.Object) error {
	txn := c.store.Txn()
	check := &ownerCheck{collector: c, snapshot: s, obj: obj, txn: txn, seen: map[string]bool{}}
	var kept []metav1.OwnerReference
	var found [orphans + 1]int
	refs := obj.GetOwnerReferences()
	for _, ref := range refs {
		state, err := check.state(ref)
		if err != nil {
			return controller.TerminalError(err)
		}
		if found[state]++; state == keeps {
			kept = append(kept, ref)
		}
	}
	switch {
	case found[keeps] == len(refs):
		return nil
	case found[keeps] == 0 && found[orphans] == 0:
		o := store.DeleteOptions{ResourceVersion: obj.GetResourceVersion()}
		if found[waits] > 0 && c.hasDependents(s, req.kind, obj) {
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

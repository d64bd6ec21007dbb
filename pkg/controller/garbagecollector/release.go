package garbagecollector

import (
	"context"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// recheckInterval is the pause between two looks at an owner that waits.
const recheckInterval = time.Second

// pendingFinalizer returns the collector's finalizer on an object that is being
// deleted, or "". An object may have both; orphaning comes first, since deleting
// cannot be undone.
func pendingFinalizer(obj store.Object) string {
	if obj.GetDeletionTimestamp() == nil {
		return ""
	}
	for _, f := range []string{metav1.FinalizerOrphanDependents, metav1.FinalizerDeleteDependents} {
		if slices.Contains(obj.GetFinalizers(), f) {
			return f
		}
	}
	return ""
}

// release removes the collector's finalizer from an owner that no dependent holds
// back any more.
//
// The snapshot has the owner's deletionTimestamp, so it also has every dependent
// that existed when the deletion began. The write fails if the owner has changed
// since, because its propagation may have. A dependent created after the snapshot
// causes a reconcile of its own, which finds the owner still waiting, or finds it
// gone and deletes the dependent. The latter must not happen to a dependent of an
// owner that orphans: for such an owner, the write also fails if a dependent may
// have been created since the snapshot.
//
// While a dependent holds the owner back, release asks for another reconcile after a
// pause. The deletion of the last dependent does not always cause one: the informer
// says nothing of an object that is created and deleted between two deliveries, yet
// the snapshot may have had it in between.
func (c *collector) release(ctx context.Context, req request, s *informer.Snapshot, owner store.Object) (controller.Result, error) {
	finalizer := pendingFinalizer(owner)
	if finalizer == "" {
		return controller.Result{}, nil
	}
	for d := range c.dependents(s, req.kind, owner) {
		if c.holds(s, d, owner) {
			return controller.Result{RequeueAfter: recheckInterval}, nil
		}
	}
	released, err := c.whole(ctx, owner)
	if err != nil {
		return controller.Result{}, outdated(req, err)
	}
	released.SetFinalizers(slices.DeleteFunc(released.GetFinalizers(), func(f string) bool { return f == finalizer }))
	txn := c.store.Txn()
	txn.Update(released)
	if finalizer == metav1.FinalizerOrphanDependents {
		c.expectNoNewDependents(txn, s, owner)
	}
	_, err = txn.Commit(ctx)
	return controller.Result{}, outdated(req, err)
}

// expectNoNewDependents makes a transaction conditional on no object having been
// created or changed since the snapshot where dependents of an owner can be.
func (c *collector) expectNoNewDependents(txn *store.Txn, s *informer.Snapshot, owner store.Object) {
	for _, t := range c.kinds {
		if owner.GetNamespace() != "" && t.info.ClusterScoped {
			continue // it cannot refer to an owner with a namespace
		}
		like, _ := c.store.NewObject(t.info.GroupVersionKind)
		txn.UnchangedSince(s.Revision(), like, owner.GetNamespace())
	}
}

// holds reports whether a dependent keeps its owner from being released. A dependent
// of an orphaning owner does unless it is being deleted. A dependent of any other
// owner does if it blocks the deletion, unless it waits in turn for the owner.
func (c *collector) holds(s *informer.Snapshot, d dependent, owner store.Object) bool {
	if stateOf(owner) == ownerOrphans {
		return d.obj.GetDeletionTimestamp() == nil
	}
	return blocks(d.ref) && !c.blockedBy(s, d.kind, d.obj, owner.GetUID(), map[types.UID]bool{})
}

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

// lookAgainAfter is the pause between looks at an owner that is held back.
const lookAgainAfter = time.Second

// pendingFinalizer is the collector's finalizer for which an object that is
// being deleted waits, or none. Orphaning comes first, since it can be made up
// for later and deleting cannot.
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

// release takes its finalizer from an owner that nothing holds back any more.
//
// The snapshot has the owner's mark, so it has every dependent that was there
// when the deletion began, and those that remain are seen. The owner must not
// have changed since: it may have been told to treat them otherwise. What refers
// to it only after the snapshot wakes the collector by itself, and finds the
// owner either still waiting or gone. Gone, it would be garbage, which is what a
// dependent of an owner that orphans must not become: such an owner goes only if
// no dependent can have come since the snapshot.
//
// The wake-up by its last dependent may fail to come, so it is looked at again
// after a while: the informer tells nothing of an object that came and went
// before there was time to tell, and the snapshot may have had it in between.
func (c *collector) release(ctx context.Context, req request, s *informer.Snapshot, owner store.Object) (controller.Result, error) {
	finalizer := pendingFinalizer(owner)
	if finalizer == "" {
		return controller.Result{}, nil
	}
	for d := range c.dependents(s, req.kind, owner) {
		if c.holds(s, d, owner) {
			return controller.Result{RequeueAfter: lookAgainAfter}, nil
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
		c.expectNoNewcomers(txn, s, owner)
	}
	_, err = txn.Commit(ctx)
	return controller.Result{}, outdated(req, err)
}

// expectNoNewcomers has the transaction check that nothing has appeared or changed
// since the snapshot where dependents of an owner may be.
func (c *collector) expectNoNewcomers(txn *store.Txn, s *informer.Snapshot, owner store.Object) {
	for _, t := range c.kinds {
		if owner.GetNamespace() != "" && t.info.ClusterScoped {
			continue // it cannot refer to an owner that has a namespace
		}
		like, _ := c.store.NewObject(t.info.GroupVersionKind)
		txn.UnchangedSince(s.Revision(), like, owner.GetNamespace())
	}
}

// holds reports whether a dependent keeps an owner from being released. One that
// is being deleted itself is not worth orphaning. One that would in turn wait for
// the owner does not count, or neither would ever go.
func (c *collector) holds(s *informer.Snapshot, d dependent, owner store.Object) bool {
	if stateOf(owner) == orphans {
		return d.obj.GetDeletionTimestamp() == nil
	}
	return blocks(d.ref) && !c.blockedBy(s, d.kind, d.obj, owner.GetUID(), map[types.UID]bool{})
}

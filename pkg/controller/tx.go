package controller

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// Tx is the transaction of one reconcile; see [New]. It reads from one snapshot of
// the manager's replica and collects writes. The controller commits the writes
// together when the reconcile function returns without an error.
//
//   - [Get], [List], [Owned] and [Lookup] read.
//   - [Tx.Create], [Tx.Update], [Tx.UpdateStatus] and [Tx.Delete] write. [Apply] makes
//     the objects of an owner those that it declares.
//   - [Tx.AddFinalizer], [Tx.RemoveFinalizer], [Tx.Own] and [Tx.SetCondition] change
//     metadata and status. [Tx.Eventf] records Events.
//   - [Tx.Unchanged], [Tx.Absent] and [Tx.Serializable] add conditions.
//   - [Tx.AllowSplit] is for transactions that are too large for etcd.
//
// Reads see the transaction's own writes: an object as it was last passed to a write,
// and no object that was deleted. They do not see created objects whose name the
// store generates.
//
// Objects that a Tx returns are shared: change only copies. The object passed to the
// reconcile function is a copy already. An object passed to a write must not be
// changed afterwards, except to pass it to another write.
//
// An object that the replica keeps only in part (see [informer.Restrict]) can be
// deleted or be a condition. Updating it makes the commit fail; use store.Mutate with
// [Manager.Store] instead.
//
// A Tx is not safe for concurrent use. It must not be used after its reconcile
// function has returned.
type Tx struct {
	manager    *Manager
	snapshot   *informer.Snapshot
	object     store.Object // the reconciled object as in the snapshot
	txn        *store.Txn
	written    overlay
	reads      *readSet // nil unless Serializable was called
	hasRead    bool     // it is too late for Serializable
	splittable bool     // AllowSplit was called
	events     []func() // record Events after the commit

	addedFinalizer bool           // to the reconciled object
	named          []store.Object // objects that must not exist: created ones, and those of Absent
	holders        []store.Object // existing objects that have names which the Tx needs

	observed store.Object // the function's copy of the object; nil unless a test observes it
	atCommit store.Object // a copy of observed as it was when the commit began

	err       error // the first error that prevents a commit
	committed bool
	commitErr error
}

// newTx returns a transaction that reconciles an object of a snapshot.
func newTx(m *Manager, snapshot *informer.Snapshot, obj store.Object) *Tx {
	return &Tx{manager: m, snapshot: snapshot, object: obj, txn: m.Store().Txn()}
}

// Snapshot returns the snapshot that the Tx reads. It does not have the Tx's own
// writes, and [Tx.Serializable] does not compare what is read from it.
func (tx *Tx) Snapshot() *informer.Snapshot { return tx.snapshot }

// Create creates an object, as [store.Store.Create] does. If an object of that name
// exists, nothing of the Tx is written, and the controller reconciles again: after a
// backoff, and at once when that object is gone. [Apply] waits for objects that are
// being deleted, and writes the rest.
func (tx *Tx) Create(obj store.Object) {
	if tx.writable() {
		tx.txn.Create(obj)
		tx.written.put(obj)
		tx.named = append(tx.named, obj)
	}
}

// Update writes an object except its status, as [store.Store.Update] does. obj is a
// changed copy of the object that was read.
func (tx *Tx) Update(obj store.Object) {
	if tx.writable() {
		tx.txn.Update(obj)
		tx.written.put(obj)
	}
}

// UpdateStatus writes an object's status and annotations, as
// [store.Store.UpdateStatus] does. obj is a changed copy of the object that was
// read. UpdateStatus and Update of the same object become one write.
func (tx *Tx) UpdateStatus(obj store.Object) {
	if tx.writable() {
		tx.txn.UpdateStatus(obj)
		tx.written.put(obj)
	}
}

// Delete deletes an object, as [store.Store.Delete] does, on the condition that it
// is as it was read. obj is the object that was read; Delete does not change it. A
// ResourceVersion in the options replaces the object's own in the condition; "0"
// deletes the object even if it has changed.
func (tx *Tx) Delete(obj store.Object, o store.DeleteOptions) {
	if !tx.writable() {
		return
	}
	if o.ResourceVersion == "" {
		o.ResourceVersion = obj.GetResourceVersion()
	}
	tx.txn.Delete(obj.DeepCopyObject().(store.Object), o) // a copy, since obj may be shared
	tx.written.set(obj, tx.manager.Store().AfterDelete(obj, o))
}

// Unchanged makes the commit conditional on an object being as it was read. It may
// be an object that the Tx writes too.
func (tx *Tx) Unchanged(obj store.Object) {
	if tx.writable() {
		tx.txn.Unchanged(obj)
	}
}

// Absent makes the commit conditional on no object of obj's type, namespace and name
// existing.
func (tx *Tx) Absent(obj store.Object) {
	if tx.writable() {
		tx.txn.Absent(obj)
		tx.named = append(tx.named, obj)
	}
}

// AllowSplit allows the commit to use several etcd transactions if one cannot hold
// all writes ([store.MaxTxnOps] objects, [store.MaxRequestBytes] bytes), such as those
// for an object with a thousand children. The commit is then no longer atomic: when a
// later transaction fails, the earlier ones have happened. The next reconcile sees
// them and continues.
//
// The writes happen in the order in which they were made, except that those to the
// reconciled object come last. So its status never reports what has not been written
// yet. Each transaction is conditional on the reconciled object being as it was read.
//
// A serializable Tx that has listed objects cannot be split; see [Tx.Serializable].
func (tx *Tx) AllowSplit() {
	tx.splittable = true
}

// Commit commits the writes now. Use it only if the reconcile must know the result;
// otherwise the controller commits when the reconcile function returns. Return
// Commit's error, unless the reconcile can handle it, such as an Invalid. After
// Commit, the Tx can only read: a further write makes the reconcile fail.
//
// If the snapshot was too old (a Conflict, or an object that was created or deleted
// since), the controller reconciles again on a newer snapshot, even if the error is
// not returned.
func (tx *Tx) Commit(ctx context.Context) error {
	switch {
	case tx.err != nil:
		return tx.err
	case tx.committed:
		return errors.New("transaction: it was committed already")
	}
	tx.committed = true
	if tx.observed != nil {
		tx.atCommit = tx.observed.DeepCopyObject().(store.Object)
	}
	if tx.txn.Len() > 0 { // without writes, no condition matters
		tx.dependOnReads()
		if tx.splittable {
			tx.txn.AllowSplit(tx.object)
		}
	}
	_, tx.commitErr = tx.txn.Commit(ctx)
	tx.commitErr = tx.explain(tx.commitErr)
	if tx.commitErr == nil {
		tx.recordEvents()
	}
	if apierrors.IsAlreadyExists(tx.commitErr) {
		tx.findHolders()
	}
	if apierrors.IsAlreadyExists(tx.commitErr) || apierrors.IsNotFound(tx.commitErr) {
		tx.commitErr = &outdatedError{tx.commitErr}
	}
	return tx.commitErr
}

// Fail commits the writes now, such as a status that reports a failure, and returns err
// for the reconcile function to return:
//
//	tx.SetCondition(site, &site.Status.Conditions, notReady(err))
//	return controller.Result{}, tx.Fail(ctx, err)
//
// The key then comes back after its backoff, as after any error. The change of what Fail
// has written does not bring it back earlier. If the commit fails, Fail returns that
// error together with err.
func (tx *Tx) Fail(ctx context.Context, err error) error {
	if commitErr := tx.Commit(ctx); commitErr != nil {
		return fmt.Errorf("%w (to report: %w)", commitErr, err)
	}
	return err
}

// finish commits the writes, unless the reconcile function has done so.
func (tx *Tx) finish(ctx context.Context) error {
	switch {
	case tx.err != nil:
		return tx.err
	case !tx.committed:
		return tx.Commit(ctx)
	case isLookAgain(tx.commitErr):
		return tx.commitErr
	}
	return nil
}

// writable reports whether the Tx can take a write. A write after Commit would be
// lost, so it makes the reconcile fail.
func (tx *Tx) writable() bool {
	if tx.committed {
		tx.fail(errors.New("transaction: a write after Commit"))
	}
	return !tx.committed
}

func (tx *Tx) fail(err error) {
	if tx.err == nil {
		tx.err = err
	}
}

// outdatedError says that the snapshot of a reconcile was too old.
type outdatedError struct{ err error }

func (e *outdatedError) Error() string { return "the snapshot was outdated: " + e.err.Error() }
func (e *outdatedError) Unwrap() error { return e.err }

package controller

import (
	"context"
	"errors"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// Tx is what a transactional reconcile sees and does. Reads come from one
// snapshot of the manager's replica, with the Tx's own writes in it; writes are
// collected and committed together, by the controller, when the reconcile
// returns without an error. See [New].
//
// A Tx is for the goroutine of its reconcile. An object handed to it for
// writing must not be changed afterwards, unless it is handed to it again. Objects
// read from it, save the one that the reconcile was called with, are shared: change
// only copies.
//
// An object of a kind that the replica keeps only in part, see [informer.Restrict],
// can be deleted or be a condition, but not be updated: the commit fails and says
// so. Change it with store.Mutate, or through [Manager.Store].
//
// Its own writes are seen as they were handed to it, the last for an object
// that is updated in two parts. An object whose name is to be generated is not
// seen.
//
// What it can do, beside what a store can: [Get], [List], [Owned] and [Lookup]
// read; [Tx.Own], [Tx.AddFinalizer], [Tx.RemoveFinalizer], [Tx.SetCondition] and
// [Tx.Eventf] are what controllers need of metadata, status and Events; [Apply]
// makes the objects that an owner has those that it declares; [Tx.Serializable]
// has everything that was read compared, and [Tx.AllowSplit] is for what is too
// large for one etcd transaction.
type Tx struct {
	manager    *Manager
	snapshot   *informer.Snapshot
	object     store.Object // that is reconciled, as the snapshot has it
	txn        *store.Txn
	own        overlay
	reads      *readSet // what was read; nil unless it is serializable
	hasRead    bool     // Serializable would come too late
	splittable bool     // by AllowSplit
	events     []func() // record what has happened once it is committed

	err       error // the first that keeps it from being committed
	committed bool
	outcome   error // of the commit
}

func newTx(m *Manager) *Tx {
	return &Tx{manager: m, snapshot: m.replica.Snapshot(), txn: m.store.Txn()}
}

// Snapshot returns the snapshot that the Tx reads, without the Tx's own writes.
func (tx *Tx) Snapshot() *informer.Snapshot { return tx.snapshot }

// Create creates an object, as [store.Store.Create].
func (tx *Tx) Create(obj store.Object) {
	if tx.writable() {
		tx.txn.Create(obj)
		tx.own.put(obj)
	}
}

// Update writes everything of an object but its status, as
// [store.Store.Update]. obj is a changed copy of what was read.
func (tx *Tx) Update(obj store.Object) {
	if tx.writable() {
		tx.txn.Update(obj)
		tx.own.put(obj)
	}
}

// UpdateStatus writes an object's status and annotations, as
// [store.Store.UpdateStatus]. obj is a changed copy of what was read. With an
// Update of the same object it is joined into one write.
func (tx *Tx) UpdateStatus(obj store.Object) {
	if tx.writable() {
		tx.txn.UpdateStatus(obj)
		tx.own.put(obj)
	}
}

// Delete deletes an object, as [store.Store.Delete], on the condition that it
// is still as it was read. Give it what was read, which it does not change. A
// ResourceVersion in the options takes the place of the object's own; "0" is
// any, for an object that is to go whatever has become of it.
func (tx *Tx) Delete(obj store.Object, o store.DeleteOptions) {
	if !tx.writable() {
		return
	}
	if o.ResourceVersion == "" {
		o.ResourceVersion = obj.GetResourceVersion()
	}
	doomed := obj.DeepCopyObject().(store.Object) // obj may be shared
	tx.txn.Delete(doomed, o)
	tx.own.delete(obj, o, tx.manager.clock.Now())
}

// Unchanged adds the condition that an object is still as it was read when the
// Tx is committed. It may be one that the Tx writes, too.
func (tx *Tx) Unchanged(obj store.Object) {
	if tx.writable() {
		tx.txn.Unchanged(obj)
	}
}

// Absent adds the condition that no object of obj's type and name exists when
// the Tx is committed.
func (tx *Tx) Absent(obj store.Object) {
	if tx.writable() {
		tx.txn.Absent(obj)
	}
}

// AllowSplit lets the Tx be committed in several etcd transactions where one
// cannot hold all of it ([store.MaxTxnOps] objects, [store.MaxRequestBytes]
// bytes), as that of an object with a thousand children. That gives up that all
// happens at once: when a later one fails, the earlier ones have happened, and
// the reconcile goes on from there when it looks again.
//
// Writes happen in the order in which they were asked for, and those of the
// reconcile's object come last, so that its status never tells of what is not
// there yet. Each part is conditional on that object being as it was read.
//
// A Tx that is serializable and has listed cannot be split: see
// [Tx.Serializable].
func (tx *Tx) AllowSplit() {
	tx.splittable = true
}

// Commit commits what was collected now, for a reconcile that must know what
// becomes of it; otherwise the controller does so when the reconcile returns.
// Return its error, unless it is one that the reconcile can do something about,
// such as an Invalid. After Commit the Tx is only for reading.
//
// Whatever the snapshot was too old for, be it a conflict or an object that
// appeared or went, makes the controller look again, even if the error is not
// returned.
func (tx *Tx) Commit(ctx context.Context) error {
	switch {
	case tx.err != nil:
		return tx.err
	case tx.committed:
		return errors.New("transaction: it was committed already")
	}
	tx.committed = true
	if tx.txn.Len() > 0 { // what writes nothing depends on nothing
		tx.dependOnReads()
		if tx.splittable {
			tx.txn.AllowSplit(tx.object)
		}
	}
	_, tx.outcome = tx.txn.Commit(ctx)
	tx.outcome = tx.explain(tx.outcome)
	if tx.outcome == nil {
		tx.recordEvents()
	}
	if apierrors.IsAlreadyExists(tx.outcome) || apierrors.IsNotFound(tx.outcome) {
		tx.outcome = &lookAgainError{tx.outcome}
	}
	return tx.outcome
}

// finish commits what the reconcile has not committed by itself.
func (tx *Tx) finish(ctx context.Context) error {
	switch {
	case tx.err != nil:
		return tx.err
	case !tx.committed:
		return tx.Commit(ctx)
	case isLookAgain(tx.outcome):
		return tx.outcome
	}
	return nil
}

// writable reports whether more can be written. What comes after Commit would
// be lost, so that the reconcile fails.
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

// lookAgainError says that the snapshot of a reconcile was too old.
type lookAgainError struct{ err error }

func (e *lookAgainError) Error() string { return "the snapshot was outdated: " + e.err.Error() }
func (e *lookAgainError) Unwrap() error { return e.err }

package controller

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// Tx is what a transactional reconcile sees and does. Reads come from one
// snapshot of the manager's replica, with the Tx's own writes in it; writes are
// collected and committed together, by the controller, when the reconcile
// returns without an error. See [New].
//
// A Tx is for the goroutine of its reconcile. An object handed to it for
// writing must not be changed afterwards. Objects read from it, save the one
// that the reconcile was called with, are shared: change only copies.
type Tx struct {
	manager  *Manager
	snapshot *informer.Snapshot
	txn      *store.Txn
	err      error

	committed bool

	// own has the objects written so far as they will be, nil for deleted ones.
	own map[ownKey]store.Object
}

type ownKey struct {
	kind store.KindInfo
	key  store.Key
}

func newTx(m *Manager) *Tx {
	return &Tx{manager: m, snapshot: m.replica.Snapshot(), txn: m.store.Txn(), own: map[ownKey]store.Object{}}
}

// Snapshot returns the snapshot that the Tx reads, without the Tx's own writes.
func (tx *Tx) Snapshot() *informer.Snapshot { return tx.snapshot }

// Create creates an object, as [store.Store.Create].
func (tx *Tx) Create(obj store.Object) {
	tx.txn.Create(obj)
	tx.note(obj, obj)
}

// Update writes everything of an object but its status, as
// [store.Store.Update]. obj is a changed copy of what was read.
func (tx *Tx) Update(obj store.Object) {
	tx.txn.Update(obj)
	tx.note(obj, obj)
}

// UpdateStatus writes an object's status and annotations, as
// [store.Store.UpdateStatus].
func (tx *Tx) UpdateStatus(obj store.Object) {
	tx.txn.UpdateStatus(obj)
	tx.note(obj, obj)
}

// Delete deletes an object, as [store.Store.Delete]. Give it what was read, so
// that nothing else of the same name is meant.
func (tx *Tx) Delete(obj store.Object, opts ...store.DeleteOptions) {
	tx.txn.Delete(obj, opts...)
	if len(obj.GetFinalizers()) == 0 {
		tx.note(obj, nil)
	}
}

// Unchanged adds the condition that an object, which is not written, is still
// as it was read when the Tx is committed.
func (tx *Tx) Unchanged(obj store.Object) { tx.txn.Unchanged(obj) }

// Absent adds the condition that no object of obj's type and name exists when
// the Tx is committed.
func (tx *Tx) Absent(obj store.Object) { tx.txn.Absent(obj) }

// Own makes owner the controller of another object, which is usually about to
// be created: garbage collection deletes it with its owner. It fails when the
// object has another controller already.
func (tx *Tx) Own(owner, owned store.Object) error {
	ref, err := tx.manager.store.OwnerReference(owner)
	if err != nil {
		return err
	}
	if other := metav1.GetControllerOfNoCopy(owned); other != nil {
		if other.UID == ref.UID {
			return nil
		}
		return fmt.Errorf("own %s: it is controlled by %s %s", store.KeyOf(owned), other.Kind, other.Name)
	}
	owned.SetOwnerReferences(append(slices.Clone(owned.GetOwnerReferences()), ref))
	return nil
}

func (tx *Tx) note(obj, now store.Object) {
	kind, err := tx.manager.store.KindOf(obj)
	if err != nil || obj.GetName() == "" {
		return // the transaction has the error, or a name that is not made yet
	}
	tx.own[ownKey{kind, store.KeyOf(obj)}] = now
}

// Commit commits what was collected now, for a reconcile that must know what
// becomes of it; otherwise the controller does so when the reconcile returns.
// Return its error, unless it is one that the reconcile can do something about,
// such as an Invalid. After Commit the Tx is only for reading.
//
// Whatever the snapshot was too old for, be it a conflict or an object that
// appeared or went, makes the controller look again.
func (tx *Tx) Commit(ctx context.Context) error {
	if tx.err != nil {
		return tx.err
	}
	if tx.committed {
		return errors.New("the transaction was committed before")
	}
	tx.committed = true
	_, err := tx.txn.Commit(ctx)
	if apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err) {
		return &lookAgainError{err}
	}
	return err
}

// lookAgainError says that the snapshot of a reconcile was too old.
type lookAgainError struct{ err error }

func (e *lookAgainError) Error() string { return "the snapshot was outdated: " + e.err.Error() }
func (e *lookAgainError) Unwrap() error { return e.err }

// of returns what a Tx needs to read a kind. A kind that the manager's replica
// does not have makes the reconcile fail, and is there for the next one.
func of[T store.Object](tx *Tx) (*informer.Informer[T], store.KindInfo) {
	inf, err := informer.For[T](tx.manager.replica)
	if err != nil {
		tx.err = err
		return nil, store.KindInfo{}
	}
	if !inf.Listed(tx.snapshot) {
		tx.err = fmt.Errorf("kind %T was not in the replica: name it in a source, or with informer.For, before the manager runs", *new(T))
	}
	kind, _ := store.KindOf[T](tx.manager.store)
	return inf, kind
}

// Get returns an object as the Tx sees it.
func Get[T store.Object](tx *Tx, key store.Key) (T, bool) {
	inf, kind := of[T](tx)
	if own, ok := tx.own[ownKey{kind, key}]; ok {
		obj, exists := own.(T)
		return obj, exists
	}
	if inf == nil {
		var none T
		return none, false
	}
	return inf.Get(tx.snapshot, key)
}

// List yields the objects of a kind as the Tx sees them, in the order of their
// keys.
func List[T store.Object](tx *Tx, o informer.ListOptions) iter.Seq[T] {
	return func(yield func(T) bool) {
		inf, kind := of[T](tx)
		if inf == nil {
			return
		}
		own := ownOf[T](tx, kind, o)
		for obj := range inf.List(tx.snapshot, o) {
			key := store.KeyOf(obj)
			for len(own) > 0 && compareKeys(store.KeyOf(own[0]), key) < 0 {
				if !yield(own[0]) {
					return
				}
				own = own[1:]
			}
			if _, written := tx.own[ownKey{kind, key}]; written {
				continue // it comes, if at all, from own
			}
			if !yield(obj) {
				return
			}
		}
		for _, obj := range own {
			if !yield(obj) {
				return
			}
		}
	}
}

// Owned yields the objects of a kind whose controller is owner, as the Tx sees
// them. It looks at all objects of the kind in owner's namespace; where those
// are many, an index by owner is faster.
func Owned[T store.Object](tx *Tx, owner store.Object) iter.Seq[T] {
	return func(yield func(T) bool) {
		for obj := range List[T](tx, informer.ListOptions{Namespace: owner.GetNamespace()}) {
			if ref := metav1.GetControllerOfNoCopy(obj); ref != nil && ref.UID == owner.GetUID() && !yield(obj) {
				return
			}
		}
	}
}

// ownOf returns the written objects of a kind that a list selects, in the order
// of their keys.
func ownOf[T store.Object](tx *Tx, kind store.KindInfo, o informer.ListOptions) []T {
	var own []T
	for k, obj := range tx.own {
		if k.kind == kind && obj != nil && o.Selects(obj) {
			own = append(own, obj.(T))
		}
	}
	slices.SortFunc(own, func(a, b T) int { return compareKeys(store.KeyOf(a), store.KeyOf(b)) })
	return own
}

// compareKeys orders keys as etcd does: a namespace ends in a slash.
func compareKeys(a, b store.Key) int {
	if a.Namespace == b.Namespace {
		return strings.Compare(a.Name, b.Name)
	}
	return strings.Compare(a.Namespace+"/", b.Namespace+"/")
}

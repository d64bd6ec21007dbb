package controller

import (
	"context"
	"fmt"
	"slices"

	"github.com/homeostat/homeostat/pkg/controller/internal/working"
	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// NewReconciler adds a controller to a manager that has not run yet. The sources name
// the keys, and the reconciler is called for each. At least one source is required.
// The name must differ from those of the manager's other controllers, runnables and
// replicas; log lines and metrics carry it.
//
// It returns an error if something is missing, if a source cannot work with the
// controller, or if the manager runs already. So do [NewFor] and [New].
func NewReconciler[R comparable](m *Manager, name string, r Reconciler[R], o Options, sources ...Source[R]) (*Controller[R], error) {
	o, err := m.controllerOptions(name, o)
	if err != nil {
		return nil, err
	}
	return add(m, name, r, o, forKind{}, sources)
}

// NewFor is [NewReconciler] for a controller of the objects of kind T. It adds [For]
// to the sources if that is not among them. [Owns] and [OwnsAny] need a controller
// that is made with NewFor or [New].
//
// While the value that is stored under a key cannot be decoded, the reconciler is not
// called for it: the replica has an older object, or none, although there is one. The
// key is [KeyUndecodable] then, and is reconciled as soon as its value can be decoded
// or is gone. This does not hold for other objects that the reconciler reads: for
// those the replica has the last good object. See [ManagerOptions].RequireDecodable.
func NewFor[T store.Object](m *Manager, name string, r Reconciler[Request], o Options, sources ...Source[Request]) (*Controller[Request], error) {
	primary, err := store.KindOf[T](m.Store())
	if err != nil {
		return nil, fmt.Errorf("controller %q: %w", name, err)
	}
	inf, err := informer.For[T](m.Replica())
	if err != nil {
		return nil, fmt.Errorf("controller %q: %w", name, err)
	}
	given := false
	for _, s := range sources {
		given = given || s.isPrimary()
	}
	if !given {
		sources = append([]Source[Request]{For[T]()}, sources...)
	}
	if o, err = m.controllerOptions(name, o); err != nil {
		return nil, err
	}
	var filter *shardFilter
	if m.isSharded() && !o.EveryProcess {
		if filter, err = newShardFilter[T](m, primary); err != nil {
			return nil, fmt.Errorf("controller %q: %w", name, err)
		}
		sources = append(slices.Clone(sources), filter.source())
	}
	return add(m, name, r, o, forKind{primary, inf, filter}, sources)
}

// TxFunc reconciles one object in a transaction. [New] describes when it is called and
// when its writes are committed.
type TxFunc[T store.Object] func(ctx context.Context, tx *Tx, obj T) (Result, error)

// New adds a transactional controller of the objects of kind T to a manager that has
// not run yet. It calls the function with a copy of an object, and with a [Tx] on the
// snapshot of the manager's replica that the object comes from. The function reads
// from the Tx and writes through it. If it returns no error, all its writes are
// committed in one etcd transaction. If it returns one, none are. Writes that do not
// fit into one etcd transaction fail, unless the function allows it to be split: see
// [Tx.AllowSplit].
//
// The transaction succeeds only if no object that it writes has changed since the
// snapshot, and with [Tx.Serializable], none that it read. Otherwise nothing is
// written, and the function is called again on a newer snapshot; this is not a
// failure. So the effects of the function, other than those of the Tx, must be
// idempotent. Its [Result] counts only if the transaction succeeds.
//
// The function is not called for an object that does not exist. To act before an
// object goes, add a finalizer to it, act when it has a deletionTimestamp, and remove
// the finalizer.
//
// New adds [For] to the sources if that is not among them.
func New[T store.Object](m *Manager, name string, reconcile TxFunc[T], o Options, sources ...Source[Request]) (*Controller[Request], error) {
	inf, err := informer.For[T](m.Replica())
	if err != nil {
		return nil, fmt.Errorf("controller %q: %w", name, err)
	}
	if reconcile == nil {
		return nil, fmt.Errorf("controller %q: the reconcile function is nil", name)
	}
	return NewFor[T](m, name, &transactional[T]{m, inf, reconcile}, o, sources...)
}

// transactional is the Reconciler that calls a TxFunc.
type transactional[T store.Object] struct {
	manager   *Manager
	informer  *informer.Informer[T]
	reconcile TxFunc[T]
}

func (r *transactional[T]) Reconcile(ctx context.Context, req Request) (Result, error) {
	snapshot := r.manager.Replica().Snapshot()
	obj, ok := r.informer.Get(snapshot, req.Key)
	if !ok {
		return Result{}, nil
	}
	tx := newTx(r.manager, snapshot, obj)
	defer func() { comeBackAfter(ctx, tx.holders) }()
	left := obj.DeepCopyObject().(T)
	observe := working.ObserverOf(ctx)
	var given store.Object
	if observe != nil {
		given, tx.observed = left.DeepCopyObject().(store.Object), left
	}
	result, err := r.reconcile(ctx, tx, left)
	if err != nil {
		return result, err
	}
	if err := tx.finish(ctx); err != nil {
		return Result{}, err // the Result belongs to writes that did not happen
	}
	if tx.addedFinalizer && tx.commitErr == nil {
		comeBack(ctx)
	}
	if observe != nil && tx.commitErr == nil {
		observe(given, tx.atCommit, left)
	}
	return result, nil
}

// forKind is what a controller of objects has, and others have not.
type forKind struct {
	primary      store.KindInfo
	decodability decodability
	filter       *shardFilter // nil unless the keys are sharded
}

// add adds a controller. o includes the manager's options for it.
func add[R comparable](m *Manager, name string, r Reconciler[R], o Options, kind forKind, sources []Source[R]) (*Controller[R], error) {
	switch {
	case name == "":
		return nil, fmt.Errorf("controller: the name is missing")
	case r == nil:
		return nil, fmt.Errorf("controller %q: the reconciler is nil", name)
	case len(sources) == 0:
		return nil, fmt.Errorf("controller %q: no sources: nothing would ever be reconciled", name)
	case m.isSharded() && !m.hasLeadership() && kind.filter == nil && !o.EveryProcess:
		return nil, fmt.Errorf("controller %q: its keys cannot be sharded, since it has no kind: make it with New or NewFor, "+
			"set EveryProcess, or give the manager a Leadership too", name)
	}
	c := newController(m, name, r, o, kind)
	for _, s := range sources {
		if _, err := c.sources.add(s); err != nil {
			return nil, fmt.Errorf("controller %q: %w", name, err)
		}
	}
	err := m.addComponent("controller", component{name: name, everyProcess: o.EveryProcess, sharded: kind.filter != nil, run: c.run, controller: c})
	if err != nil {
		return nil, err
	}
	return c, nil
}

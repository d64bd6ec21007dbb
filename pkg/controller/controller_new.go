package controller

import (
	"context"
	"fmt"
	"slices"

	"github.com/homeostat/homeostat/pkg/informer"
	"github.com/homeostat/homeostat/pkg/store"
)

// NewReconciler adds a controller to a manager that has not run yet: its sources
// name keys, and its reconciler is called for each. The name must be unlike
// those of the manager's other controllers; log lines carry it.
func NewReconciler[R comparable](m *Manager, name string, r Reconciler[R], o Options, sources ...Source[R]) (*Controller[R], error) {
	o, err := m.controllerOptions(name, o)
	if err != nil {
		return nil, err
	}
	return add(m, name, r, o, store.KindInfo{}, nil, sources)
}

// NewFor is [NewReconciler] for the objects of the kind T, which it has
// reconciled as by [For] unless that is among the sources. It is what [Owns]
// needs.
func NewFor[T store.Object](m *Manager, name string, r Reconciler[Request], o Options, sources ...Source[Request]) (*Controller[Request], error) {
	primary, err := store.KindOf[T](m.store)
	if err != nil {
		return nil, fmt.Errorf("controller %q: %w", name, err)
	}
	given := false
	for _, s := range sources {
		given = given || s.primary
	}
	if !given {
		sources = append([]Source[Request]{For[T]()}, sources...)
	}
	if o, err = m.controllerOptions(name, o); err != nil {
		return nil, err
	}
	var filter *shardFilter
	if m.sharder != nil && !o.EveryProcess {
		if filter, err = newShardFilter[T](m, primary); err != nil {
			return nil, fmt.Errorf("controller %q: %w", name, err)
		}
		sources = append(slices.Clone(sources), filter.source())
	}
	return add(m, name, r, o, primary, filter, sources)
}

// TxFunc reconciles one object within a transaction; see [New].
type TxFunc[T store.Object] func(ctx context.Context, tx *Tx, obj T) (Result, error)

// New adds a transactional controller for the objects of the kind T to a
// manager that has not run yet. Its function is called with a copy of the
// object and a [Tx] on one snapshot of the manager's replica, of which the
// object is a part. It reads from the Tx, and changes the world through it. When
// it returns no error, everything that it asked for is committed in one etcd
// transaction; when it returns one, nothing is. What is too large for one etcd
// transaction fails, unless the function has allowed it to be split, see
// [Tx.AllowSplit].
//
// The transaction succeeds only if none of the objects that it writes has
// changed since the snapshot, as their resourceVersions tell, and with
// [Tx.Serializable] nothing that was read. Otherwise nothing is written and the
// function is called again on a newer snapshot; that is no error. The function
// must therefore have no effects but through the Tx, or idempotent ones. Its
// Result counts only if the transaction succeeds.
//
// The function is not called for an object that is gone. What is to be done
// before an object goes is done when it has a deletionTimestamp and a finalizer
// of the controller's.
//
// Changes of objects of the kind T lead to a reconcile as by [For], unless that
// is among the sources.
func New[T store.Object](m *Manager, name string, reconcile TxFunc[T], o Options, sources ...Source[Request]) (*Controller[Request], error) {
	inf, err := informer.For[T](m.replica)
	if err != nil {
		return nil, fmt.Errorf("controller %q: %w", name, err)
	}
	if reconcile == nil {
		return nil, fmt.Errorf("controller %q: the reconcile function is nil", name)
	}
	return NewFor[T](m, name, &transactional[T]{m, inf, reconcile}, o, sources...)
}

// transactional is a TxFunc as a Reconciler.
type transactional[T store.Object] struct {
	manager   *Manager
	informer  *informer.Informer[T]
	reconcile TxFunc[T]
}

func (r *transactional[T]) Reconcile(ctx context.Context, req Request) (Result, error) {
	tx := newTx(r.manager)
	obj, ok := r.informer.Get(tx.snapshot, req.Key)
	if !ok {
		return Result{}, nil
	}
	tx.object = obj
	result, err := r.reconcile(ctx, tx, obj.DeepCopyObject().(T))
	if err != nil {
		return result, err
	}
	if err := tx.finish(ctx); err != nil {
		return Result{}, err // what was decided did not happen
	}
	return result, nil
}

// add adds a controller with the options that it is to have, the manager's for it
// included.
func add[R comparable](m *Manager, name string, r Reconciler[R], o Options, primary store.KindInfo, filter *shardFilter, sources []Source[R]) (*Controller[R], error) {
	switch {
	case name == "":
		return nil, fmt.Errorf("controller: the name is missing")
	case r == nil:
		return nil, fmt.Errorf("controller %q: the reconciler is nil", name)
	case len(sources) == 0:
		return nil, fmt.Errorf("controller %q: no sources: nothing would ever be reconciled", name)
	case m.sharder != nil && m.election == nil && filter == nil && !o.EveryProcess:
		return nil, fmt.Errorf("controller %q: its keys are of no kind, so that they cannot be sharded: make it with New or "+
			"NewFor, have it run in EveryProcess, or give the manager a Leadership too", name)
	}
	l := newController(m, name, r, o, primary)
	l.filter = filter
	for _, s := range sources {
		if _, err := l.sources.add(s); err != nil {
			return nil, fmt.Errorf("controller %q: %w", name, err)
		}
	}
	err := m.addComponent("controller", component{name: name, everyProcess: o.EveryProcess, sharded: filter != nil, run: l.run, controller: l})
	if err != nil {
		return nil, err
	}
	return l, nil
}

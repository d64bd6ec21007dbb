package store

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Txn collects writes of several objects, of any kinds, that happen together
// at one revision or not at all. All rules for single writes apply to each of
// them. An object can be written at most once, except that Update or Create
// and UpdateStatus of the same object are joined into one write.
//
// The collecting methods only take note; what is wrong with their arguments is
// reported by Commit. A Txn is for one goroutine and for one Commit. The
// objects handed to it must not be used until Commit has returned; it then has
// filled them in as the single writes do, or left them as they were.
type Txn struct {
	store *Store
	ops   []*op
	byKey map[string]*op
	err   error // the first thing that was wrong with an argument

	fences []Fence // as they are found when it is committed

	// seen is the newest revision of an answer from etcd.
	seen int64
}

// Txn returns an empty transaction.
func (s *Store) Txn() *Txn {
	return &Txn{store: s, byKey: map[string]*op{}}
}

// Len returns how many objects the transaction writes or checks.
func (t *Txn) Len() int { return len(t.ops) }

// Create adds the creation of an object, as [Store.Create].
func (t *Txn) Create(obj Object) { t.add(createVerb{}, obj, op{}) }

// Update adds an update of everything but the status, as [Store.Update].
func (t *Txn) Update(obj Object) { t.add(updateVerb{}, obj, op{main: obj}) }

// UpdateStatus adds an update of the status, as [Store.UpdateStatus].
func (t *Txn) UpdateStatus(obj Object) { t.add(updateVerb{}, obj, op{status: obj}) }

// Delete adds a deletion, as [Store.Delete].
func (t *Txn) Delete(obj Object, opts ...DeleteOptions) {
	part := op{}
	switch len(opts) {
	case 0:
	case 1:
		part.del = opts[0]
	default:
		t.fail(fmt.Errorf("delete: %d DeleteOptions, want one at most", len(opts)))
	}
	t.add(deleteVerb{}, obj, part)
}

// Unchanged adds the condition that an object, which the transaction does not
// write, still has obj's resourceVersion.
func (t *Txn) Unchanged(obj Object) { t.add(unchangedVerb{}, obj, op{}) }

// Absent adds the condition that no object of obj's type has obj's name.
func (t *Txn) Absent(obj Object) { t.add(absentVerb{}, obj, op{}) }

// Commit executes the transaction and returns the revision it made. When no
// object had to change, nothing is written and the revision is the newest of
// the objects' own.
//
// When it fails, nothing was written, unless [IsUnknownOutcome]. A write with a
// resourceVersion that is no longer current gives a Conflict; one without is
// tried again on what is there now until ctx is done. A transaction that is too
// large for etcd is a RequestEntityTooLarge, and is not sent.
func (t *Txn) Commit(ctx context.Context) (int64, error) {
	rev, err := t.commit(ctx)
	t.err = errors.New("transaction: it was committed already")
	w := Write{Client: t.store.client, Keys: make([]string, len(t.ops)), Revision: rev, Err: err}
	for i, o := range t.ops {
		w.Keys[i] = o.etcdKey
	}
	if err != nil || rev == 0 {
		w.Revision = t.seen
	}
	if IsUnknownOutcome(err) {
		w.Revision = 0
	}
	observeWrite(ctx, w)
	return rev, err
}

// add takes note of a write, of which part has what the verb alone does not
// say, or of what is wrong with it.
func (t *Txn) add(v verb, obj Object, part op) {
	o, err := t.store.newOp(v, obj, part)
	if err != nil {
		t.fail(err)
		return
	}
	first := t.sameObject(o)
	_, create := v.(createVerb)
	switch {
	case first == nil && o.etcdKey == "" && !create:
		t.fail(o.wrap(apierrors.NewBadRequest("name is missing")))
	case first == nil:
		t.ops = append(t.ops, o)
		if o.etcdKey != "" { // otherwise the name is still to be generated
			t.byKey[o.etcdKey] = o
		}
	case !first.join(o):
		t.fail(fmt.Errorf("%s: the object is already part of the transaction (%s)", o.id(), first.verb))
	}
}

// sameObject returns the write so far of the object that o writes, or nil. An
// object whose name is still to be generated is known by the caller's pointer.
func (t *Txn) sameObject(o *op) *op {
	if o.etcdKey != "" {
		return t.byKey[o.etcdKey]
	}
	for _, other := range t.ops {
		if other.targets[0].obj == o.targets[0].obj {
			return other
		}
	}
	return nil
}

// join makes a later update of the same object a part of this write, unless
// this one has that part already.
func (o *op) join(later *op) bool {
	if _, update := later.verb.(updateVerb); !update || o.kind != later.kind || o.rev != later.rev {
		return false
	}
	switch o.verb.(type) {
	case createVerb:
		if o.status != nil || later.main != nil {
			return false
		}
	case updateVerb:
		if o.main != nil && later.main != nil || o.status != nil && later.status != nil {
			return false
		}
	default:
		return false
	}
	o.targets = append(o.targets, later.targets...)
	if later.main != nil {
		o.main = later.main
	} else {
		o.status = later.status
	}
	return true
}

func (t *Txn) fail(err error) {
	if t.err == nil {
		t.err = err
	}
}

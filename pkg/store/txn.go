package store

import (
	"context"
	"errors"
	"fmt"
)

// Txn collects writes of several objects, of any kinds, that happen together
// at one revision or not at all. All rules for single writes apply to each of
// them. An object can be written at most once, except that Update or Create
// and UpdateStatus of the same object are joined into one write, as are updates
// by the same pointer: the last says what is written.
//
// The collecting methods only take note; what is wrong with their arguments is
// reported by Commit. A Txn is for one goroutine and for one Commit. The
// objects handed to it must not be used until Commit has returned; it then has
// filled them in as the single writes do, or left them as they were.
type Txn struct {
	store  *Store
	ops    []*op
	byKey  map[string]*op
	ranges []rangeCondition
	anchor *op   // the condition that all parts have, where it may be split
	err    error // the first thing that was wrong with an argument

	fences []Fence // as they are found when it is committed

	// seen is the newest revision of an answer from etcd.
	seen int64
}

var errCommitted = errors.New("transaction: it was committed already")

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

// Commit executes the transaction and returns the revision it made. When no
// object had to change, nothing is written and the revision is the newest of
// the objects' own.
//
// When it fails, nothing was written, unless [IsUnknownOutcome]. A write with a
// resourceVersion that is no longer current gives a Conflict; one without is
// tried again on what is there now until ctx is done. A transaction that is too
// large for etcd is a RequestEntityTooLarge, and is not sent; see
// [Txn.AllowSplit] for a way out.
func (t *Txn) Commit(ctx context.Context) (int64, error) {
	if t.anchor != nil && t.err == nil {
		return t.commitSplit(ctx)
	}
	rev, err := t.commit(ctx)
	t.err = errCommitted
	t.tell(ctx, rev, err)
	return rev, err
}

// tell tells who observes writes what became of the transaction.
func (t *Txn) tell(ctx context.Context, rev int64, err error) {
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
}

func (t *Txn) fail(err error) {
	if t.err == nil {
		t.err = err
	}
}

package store

import (
	"context"
	"errors"
	"slices"
)

// Txn collects writes of several objects of any kinds. They all happen at one
// revision, or none does. The rules for single writes apply to each of them.
//
// A transaction writes an object at most once. It joins a Create or an Update
// with an UpdateStatus of the same object into one write. It also joins updates
// that pass the same pointer: the object's state at Commit is written.
//
// The collecting methods send nothing; Commit reports what is wrong with their
// arguments. A Txn belongs to one goroutine and can be committed once. Do not
// use the objects passed to it until Commit has returned. A successful Commit
// fills them in as the single writes do; a failed one leaves them unchanged.
type Txn struct {
	store  *Store
	ops    []*op
	byKey  map[string]*op
	ranges []rangeCondition
	guards []guard // of what ValidateAcross has read in this attempt
	anchor *op     // the condition of every part; nil unless AllowSplit was called
	dryRun bool
	err    error // the first wrong argument

	fences []Fence // set by Commit

	// seen is the newest revision in an answer from etcd.
	seen int64
	// groupSize is how many transactions shared the latest request.
	groupSize int
}

var errCommitted = errors.New("transaction: committed already: use a new one")

// Txn returns an empty transaction.
func (s *Store) Txn() *Txn {
	return &Txn{store: s, byKey: map[string]*op{}}
}

// Len returns how many objects the transaction writes or checks.
func (t *Txn) Len() int { return len(t.ops) }

// Create adds the creation of an object. It follows the rules of [Store.Create].
func (t *Txn) Create(obj Object) { t.add(createVerb{}, obj, op{}) }

// Update adds an update of everything but the status. It follows the rules of
// [Store.Update].
func (t *Txn) Update(obj Object) { t.add(updateVerb{}, obj, op{main: obj}) }

// UpdateStatus adds an update of the status and the annotations. It follows the rules
// of [Store.UpdateStatus].
func (t *Txn) UpdateStatus(obj Object) { t.add(updateVerb{}, obj, op{status: obj}) }

// Delete adds a deletion. It follows the rules of [Store.Delete].
func (t *Txn) Delete(obj Object, o DeleteOptions) { t.add(deleteVerb{}, obj, op{del: o}) }

// DryRun makes Commit check everything and write nothing. All rules are applied, and etcd
// verifies all conditions. The objects that were passed in become what the write would
// have stored, with the resourceVersion of what is stored now; a created object has
// none. A generated name is one that was free.
func (t *Txn) DryRun() { t.dryRun = true }

// Commit executes the transaction and returns its revision. If no object
// changes, Commit writes nothing and returns the newest of the objects'
// revisions.
//
// If Commit returns an error, it has written nothing, unless
// [IsUnknownOutcome] is true for the error. A write whose resourceVersion is no
// longer current fails with a Conflict. A write without a resourceVersion is
// retried on the current state until ctx is done. A transaction that is too
// large for etcd is not sent and fails with a RequestEntityTooLarge; see
// [Txn.AllowSplit].
func (t *Txn) Commit(ctx context.Context) (int64, error) {
	if t.anchor != nil && t.err == nil {
		return t.commitSplit(ctx)
	}
	rev, err := t.commit(ctx)
	t.err = errCommitted
	t.notify(ctx, rev, err)
	return rev, err
}

// notify reports the result of the transaction to the observers of ctx; see
// [ObserveWrites].
func (t *Txn) notify(ctx context.Context, rev int64, err error) {
	w := Write{Client: t.store.client, Keys: make([]string, len(t.ops)), Revision: rev, Err: err}
	for i, o := range t.ops {
		w.Keys[i] = o.etcdKey
	}
	if err != nil || rev == 0 {
		w.Revision = t.seen
	}
	if err == nil && t.changes() && !t.dryRun {
		for _, o := range t.ops {
			w.Replaced = append(w.Replaced, o.priorRev())
		}
	}
	if IsUnknownOutcome(err) {
		w.Revision = 0
	}
	observeWrite(ctx, w)
}

// changes reports whether the transaction writes anything, by its latest plan.
func (t *Txn) changes() bool {
	return slices.ContainsFunc(t.ops, func(o *op) bool { return o.effect.action != keep })
}

func (t *Txn) fail(err error) {
	if t.err == nil {
		t.err = err
	}
}

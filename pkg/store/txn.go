package store

import (
	"context"
	"fmt"
)

// etcd's limits, as its servers have them by default.
const (
	// MaxTxnOps bounds the objects and the fences of one transaction together.
	MaxTxnOps = 128
	// MaxRequestBytes bounds the encoded objects of one transaction together,
	// keys included.
	MaxRequestBytes = 3 << 19
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
func (t *Txn) Create(obj Object) { t.add(createVerb{}, obj) }

// Update adds an update of everything but the status, as [Store.Update].
func (t *Txn) Update(obj Object) {
	if o := t.add(updateVerb{}, obj); o != nil {
		o.main = true
	}
}

// UpdateStatus adds an update of the status, as [Store.UpdateStatus].
func (t *Txn) UpdateStatus(obj Object) {
	if o := t.add(updateVerb{}, obj); o != nil {
		o.status = obj
	}
}

// Delete adds a deletion, as [Store.Delete].
func (t *Txn) Delete(obj Object, opts ...DeleteOptions) {
	if o := t.add(deleteVerb{}, obj); o != nil && len(opts) > 0 {
		o.del = opts[0]
	}
}

// Unchanged adds the condition that an object, which the transaction does not
// write, still has obj's resourceVersion.
func (t *Txn) Unchanged(obj Object) { t.add(unchangedVerb{}, obj) }

// Absent adds the condition that no object of obj's type has obj's name.
func (t *Txn) Absent(obj Object) { t.add(absentVerb{}, obj) }

// Commit executes the transaction and returns the revision it made. When no
// object had to change, nothing is written and the revision is the newest of
// the objects' own.
//
// When it fails, nothing was written, unless [IsUnknownOutcome]. A write with a
// resourceVersion that is no longer current gives a Conflict; one without is
// tried again on what is there now until ctx is done.
func (t *Txn) Commit(ctx context.Context) (int64, error) {
	rev, err := t.commit(ctx)
	w := Write{Keys: make([]string, len(t.ops)), Revision: rev, Err: err}
	for i, o := range t.ops {
		w.Keys[i] = o.etcdKey
	}
	if err != nil && !IsUnknownOutcome(err) {
		w.Revision = t.seen
	}
	observeWrite(ctx, w)
	return rev, err
}

// add takes note of a write. It returns nil when an argument is wrong.
func (t *Txn) add(v verb, obj Object) *op {
	o, err := t.store.newOp(v, obj)
	if err != nil {
		t.fail(err)
		return nil
	}
	if o.etcdKey == "" { // the name is still to be generated
		t.ops = append(t.ops, o)
		return o
	}
	first := t.byKey[o.etcdKey]
	if first == nil {
		t.ops, t.byKey[o.etcdKey] = append(t.ops, o), o
		return o
	}
	if _, joins := v.(updateVerb); joins && first.joins(o) {
		return first
	}
	t.fail(fmt.Errorf("%s %s: %s %s: it is already part of the transaction (%s)", v, o.kind.gvk.Kind, o.etcdKey, v, first.verb))
	return nil
}

// joins reports whether a later update of the same object can become a part of
// this write. Of two different objects, each must have its part.
func (o *op) joins(later *op) bool {
	switch o.verb.(type) {
	case createVerb:
		return o.status == nil
	case updateVerb:
		return o.rev == later.rev && !(o.main && o.status != nil)
	}
	return false
}

func (t *Txn) fail(err error) {
	if t.err == nil {
		t.err = err
	}
}

package store

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// AllowSplit lets Commit use several etcd transactions where one cannot hold
// all, which gives up that the writes happen together: when Commit fails, a
// first part of them may have happened.
//
// Writes happen in the order in which they were added. Each part is conditional
// on all that the transaction checks, and on last being as it was read, that is
// at its resourceVersion; what is written of last itself comes at the very end.
// So last, which is usually the object that the others follow from, tells
// whether all is done. It need not be written at all.
//
// UnchangedSince cannot be had together with parts: the first would be in the
// way of the others.
func (t *Txn) AllowSplit(last Object) {
	anchor, err := t.store.newOp(unchangedVerb{}, last, op{})
	if err != nil {
		t.fail(err)
		return
	}
	t.anchor = anchor
	t.Unchanged(last)
}

// commitSplit commits in one part, or else in as few as it can.
func (t *Txn) commitSplit(ctx context.Context) (int64, error) {
	defer func() { t.err = errCommitted }()
	if t.checkCount() == nil {
		if rev, err := t.whole().commitOne(ctx); !apierrors.IsRequestEntityTooLargeError(err) {
			return rev, err
		}
	}
	if len(t.ranges) > 0 {
		return 0, fmt.Errorf("%s: %w", t.what(), apierrors.NewRequestEntityTooLargeError(
			"it is too large for etcd, and cannot be split since it depends on ranges (UnchangedSince)"))
	}
	return t.commitParts(ctx)
}

func (t *Txn) whole() *Txn { return &Txn{store: t.store, ops: t.ops, ranges: t.ranges} }

func (t *Txn) commitParts(ctx context.Context) (rev int64, err error) {
	conditions, writes := t.inOrder()
	size := MaxTxnOps - len(t.store.fences) - len(conditions) - 1 // the anchor
	if size < 1 {
		return 0, t.checkCount()
	}
	total := len(writes)
	if total == 0 {
		return t.whole().commitOne(ctx) // conditions alone are verified together
	}
	for len(writes) > 0 {
		size = min(size, len(writes))
		part := &Txn{store: t.store, ops: slices.Concat(conditions, writes[:size])}
		if size < len(writes) || writes[size-1].etcdKey != t.anchor.etcdKey {
			part.ops = append(part.ops, t.anchor)
		}
		made, err := part.commitOne(ctx)
		switch {
		case err == nil:
			rev, writes = max(rev, made), writes[size:]
		case size > 1 && apierrors.IsRequestEntityTooLargeError(err):
			size /= 2 // nothing was written: the parts must be smaller
		default:
			return rev, fmt.Errorf("%d objects, of which %d were written before this: %w", total, total-len(writes), err)
		}
	}
	return rev, nil
}

// inOrder returns the conditions without the anchor's, and the writes with the
// anchor's, if there is one, as the last.
func (t *Txn) inOrder() (conditions, writes []*op) {
	var last []*op
	for _, o := range t.ops {
		switch {
		case o.etcdKey == t.anchor.etcdKey && !o.isCondition():
			last = append(last, o)
		case o.etcdKey == t.anchor.etcdKey:
		case o.isCondition():
			conditions = append(conditions, o)
		default:
			writes = append(writes, o)
		}
	}
	return conditions, append(writes, last...)
}

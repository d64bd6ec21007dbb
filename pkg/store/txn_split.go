package store

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// AllowSplit lets Commit use several etcd transactions if the writes do not fit into
// one. The writes are then not atomic: if Commit fails, some of them may have
// happened. Use it for a reconcile that creates hundreds of children.
//
// Commit writes in the order in which the writes were added. Every part has all
// conditions of the transaction, and one more: last is still at its
// resourceVersion. As last, pass the object that the others are derived from. The
// transaction need not write it. If it does, Commit writes it in the last part, so
// that last shows whether everything was written.
//
// A transaction with UnchangedSince cannot be split, because its first part
// would break the condition of the others.
func (t *Txn) AllowSplit(last Object) {
	anchor, err := t.store.newOp(unchangedVerb{}, last, op{})
	if err != nil {
		t.fail(err)
		return
	}
	t.anchor = anchor
	t.Unchanged(last)
}

// commitSplit commits in one transaction, or else in as few as possible.
func (t *Txn) commitSplit(ctx context.Context) (int64, error) {
	defer func() { t.err = errCommitted }()
	whole := &Txn{store: t.store, ops: t.ops, ranges: t.ranges, dryRun: t.dryRun}
	rev, err := whole.commit(ctx)
	switch {
	case !apierrors.IsRequestEntityTooLargeError(err):
	case len(t.ranges) > 0:
		err = fmt.Errorf("it cannot be split, because it has conditions on ranges (UnchangedSince): %w", err)
	default:
		return t.commitParts(ctx, err)
	}
	whole.notify(ctx, rev, err)
	return rev, err
}

// commitParts commits a transaction in parts. tooLarge is the error of the
// attempt to commit it as one.
func (t *Txn) commitParts(ctx context.Context, tooLarge error) (rev int64, err error) {
	conditions, writes := t.inOrder()
	total := len(writes)
	if total == 0 {
		return 0, tooLarge
	}
	size := max(1, MaxTxnOps-len(conditions)-1) // the anchor
	for len(writes) > 0 {
		size = min(size, len(writes))
		part := &Txn{store: t.store, dryRun: t.dryRun, ops: slices.Concat(conditions, writes[:size])}
		if size < len(writes) || writes[size-1].etcdKey != t.anchor.etcdKey {
			part.ops = append(part.ops, t.anchor)
		}
		made, err := part.commit(ctx)
		switch {
		case size > 1 && apierrors.IsRequestEntityTooLargeError(err): // nothing was written
			if size -= part.surplus(); part.surplus() == 0 { // it is the bytes
				size /= 2
			}
			size = max(1, size)
			continue
		case err != nil:
			err = fmt.Errorf("%d objects, of which %d were written before this: %w", total, total-len(writes), err)
			part.notify(ctx, made, err)
			return rev, err
		}
		part.notify(ctx, made, nil)
		rev, writes = max(rev, made), writes[size:]
	}
	return rev, nil
}

// inOrder returns the conditions without the anchor's, and the writes. If the
// anchor's object is written, that write is the last.
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

package store

import (
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// etcd's limits, as its servers have them by default.
const (
	// MaxTxnOps bounds what one transaction has of objects, written or checked,
	// of ranges and of fences, together. A fence with a lease counts twice.
	MaxTxnOps = 128
	// MaxRequestBytes bounds the encoded objects of one transaction together,
	// keys included.
	MaxRequestBytes = 3 << 19
)

// surplus is how many places a transaction needs beyond those that there are.
func (t *Txn) surplus() int {
	n := len(t.ops) + len(t.ranges)
	for _, f := range t.fences {
		n += len(f.compares())
	}
	return max(0, n-MaxTxnOps)
}

func (t *Txn) checkCount() error {
	if t.surplus() == 0 {
		return nil
	}
	checked := 0
	for _, o := range t.ops {
		if o.isCondition() {
			checked++
		}
	}
	err := apierrors.NewRequestEntityTooLargeError(fmt.Sprintf(
		"it writes %d objects, checks %d others and %d ranges, and has %d fences: %d together, of which etcd takes %d in one transaction: "+
			"have it do or depend on less, or let it be split (AllowSplit)",
		len(t.ops)-checked, checked, len(t.ranges), len(t.fences), MaxTxnOps+t.surplus(), MaxTxnOps))
	return fmt.Errorf("%s: %w", t.what(), err)
}

// checkSize bounds from above what etcd will measure. A key is sent in the
// condition, in the write, and in the read that tells why the condition failed.
func (t *Txn) checkSize() error {
	const overhead = 64 // of the messages around a key and its value
	size := overhead
	for _, f := range t.fences {
		size += 3*len(f.Key) + 2*overhead
	}
	for _, r := range t.ranges {
		size += 2*(len(r.keys.Start)+len(r.keys.End)) + overhead
	}
	for _, o := range t.ops {
		size += 3*len(o.etcdKey) + len(o.out.value) + overhead
	}
	if size <= MaxRequestBytes {
		return nil
	}
	err := apierrors.NewRequestEntityTooLargeError(fmt.Sprintf(
		"%d bytes encoded, etcd takes %d in one request: make the object smaller, or the transaction", size, MaxRequestBytes))
	return fmt.Errorf("%s: %w", t.what(), err)
}

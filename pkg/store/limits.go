package store

import (
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// etcd's limits, as its servers have them by default.
const (
	// MaxTxnOps bounds the objects and the fences of one transaction together. A
	// fence with a lease counts twice.
	MaxTxnOps = 128
	// MaxRequestBytes bounds the encoded objects of one transaction together,
	// keys included.
	MaxRequestBytes = 3 << 19
)

func (t *Txn) checkCount() error {
	n := len(t.ops)
	for _, f := range t.fences {
		n += len(f.compares())
	}
	if n <= MaxTxnOps {
		return nil
	}
	err := apierrors.NewRequestEntityTooLargeError(fmt.Sprintf(
		"%d objects and fences, etcd takes %d in one transaction: split it", n, MaxTxnOps))
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

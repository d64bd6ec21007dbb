package store

import (
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// These are the default limits of an etcd server.
const (
	// MaxTxnOps is how many objects, ranges and fences one transaction can write
	// or check, in total. A fence with a lease counts twice.
	MaxTxnOps = 128
	// MaxRequestBytes is the maximum size of one transaction in bytes: the encoded
	// objects and their keys.
	MaxRequestBytes = 3 << 19
)

// surplus returns by how many operations a transaction exceeds MaxTxnOps.
func (t *Txn) surplus() int {
	n := len(t.ops) + len(t.ranges) + len(t.guards)
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
		"it writes %d objects, checks %d others and %d ranges, and has %d fences: %d operations, but etcd accepts %d in one transaction: "+
			"write or check less, or let it be split (AllowSplit)",
		len(t.ops)-checked, checked, len(t.ranges), len(t.fences), MaxTxnOps+t.surplus(), MaxTxnOps))
	return fmt.Errorf("%s: %w", t.what(), err)
}

// checkSize compares an upper bound of the request's size with etcd's limit. A
// key is sent three times: in the condition, in the write, and in the read that
// shows why the condition failed.
func (t *Txn) checkSize() error {
	const overhead = 64 // of the messages around a key and its value
	size := overhead
	for _, f := range t.fences {
		size += 3*len(f.Key) + 2*overhead
	}
	for _, r := range t.ranges {
		size += 2*(len(r.keys.Start)+len(r.keys.End)) + overhead
	}
	for _, g := range t.guards {
		size += 2*len(g.etcdKey) + overhead
	}
	for _, o := range t.ops {
		size += 3*len(o.etcdKey) + len(o.effect.value) + overhead
	}
	if size <= MaxRequestBytes {
		return nil
	}
	err := apierrors.NewRequestEntityTooLargeError(fmt.Sprintf(
		"the request has %d bytes, but etcd accepts %d: make the object or the transaction smaller", size, MaxRequestBytes))
	return fmt.Errorf("%s: %w", t.what(), err)
}

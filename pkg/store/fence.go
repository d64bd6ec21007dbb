package store

import (
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Fence is a condition on a key that does not belong to any object, such as a
// leadership key. It holds while the key exists and was created at
// CreateRevision: from the moment that the key is deleted, or expires with its
// lease, etcd refuses the write, whatever the writer still believes.
type Fence struct {
	// Key is the whole etcd key; the store's prefix is not put before it.
	Key string
	// CreateRevision is the revision that created the key.
	CreateRevision int64
}

// valid refuses the fence that would hold while its key does not exist.
func (f Fence) valid() error {
	if f.Key == "" || f.CreateRevision <= 0 {
		return fmt.Errorf("fence on key %q at revision %d: key and revision must be set", f.Key, f.CreateRevision)
	}
	return nil
}

func (f Fence) compare() clientv3.Cmp {
	return clientv3.Compare(clientv3.CreateRevision(f.Key), "=", f.CreateRevision)
}

// check looks at what etcd says of the key.
func (f Fence) check(kvs []*mvccpb.KeyValue) error {
	if len(kvs) == 0 {
		return &FencedError{Fence: f}
	}
	if found := kvs[0].CreateRevision; found != f.CreateRevision {
		return &FencedError{Fence: f, Found: found}
	}
	return nil
}

// WithFences returns a store whose every write carries these fences beside
// those of s. Reads do not. A fence that lacks its key or its revision makes
// every write fail.
func (s *Store) WithFences(fences ...Fence) *Store {
	d := *s
	d.fences = append(append([]Fence(nil), s.fences...), fences...)
	return &d
}

// FencedError says that etcd refused a write because a [Fence] no longer held.
// Nothing was written. Trying again with the same fence is useless.
type FencedError struct {
	Fence Fence
	// Found is the revision at which the key was created that stands there
	// now, or 0 when there is none.
	Found int64
}

func (e *FencedError) Error() string {
	if e.Found == 0 {
		return fmt.Sprintf("fenced: key %s, created at revision %d, is gone", e.Fence.Key, e.Fence.CreateRevision)
	}
	return fmt.Sprintf("fenced: key %s was created at revision %d, want %d", e.Fence.Key, e.Found, e.Fence.CreateRevision)
}

// IsFenced reports whether a write was refused because of a [Fence].
func IsFenced(err error) bool {
	var fenced *FencedError
	return errors.As(err, &fenced)
}

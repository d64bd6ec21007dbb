package store

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Fence is a condition on a key that belongs to no object, such as a leadership key. It
// holds while the key exists with the given CreateRevision. Once the key is deleted, or
// expires with its lease, etcd refuses the write, whatever the writer believes. Use it
// with [Store.WithFences].
type Fence struct {
	// Key is the full etcd key. The store's prefix is not added.
	Key string
	// CreateRevision is the revision that created the key.
	CreateRevision int64
	// Lease is the lease that the key must be attached to. It distinguishes the key
	// from one that another holder created at the same revision after etcd was wiped.
	// It costs a second comparison. Defaults to any lease or none.
	Lease clientv3.LeaseID
}

// valid returns an error for a fence that would hold while its key does not exist.
func (f Fence) valid() error {
	if f.Key == "" || f.CreateRevision <= 0 {
		return fmt.Errorf("fence on key %q at revision %d: key and revision must be set", f.Key, f.CreateRevision)
	}
	return nil
}

func (f Fence) compares() []clientv3.Cmp {
	created := clientv3.Compare(clientv3.CreateRevision(f.Key), "=", f.CreateRevision)
	if f.Lease == clientv3.NoLease {
		return []clientv3.Cmp{created}
	}
	return []clientv3.Cmp{created, clientv3.Compare(clientv3.LeaseValue(f.Key), "=", f.Lease)}
}

// get returns the operation that reads what check needs. An answer without values would
// be cheaper but has no lease.
func (f Fence) get() clientv3.Op {
	if f.Lease == clientv3.NoLease {
		return clientv3.OpGet(f.Key, clientv3.WithKeysOnly())
	}
	return clientv3.OpGet(f.Key)
}

// check returns an error if the key's state breaks the fence.
func (f Fence) check(kvs []*mvccpb.KeyValue) error {
	if len(kvs) == 0 {
		return &FencedError{Fence: f}
	}
	found := kvs[0]
	if found.CreateRevision != f.CreateRevision || f.Lease != clientv3.NoLease && found.Lease != int64(f.Lease) {
		return &FencedError{Fence: f, Found: found.CreateRevision}
	}
	return nil
}

// WithFences returns a store whose writes carry these fences in addition to those of s.
// Reads carry none. If a fence lacks its key or its revision, every write fails.
func (s *Store) WithFences(fences ...Fence) *Store {
	d := *s
	d.fences = append(append([]Fence(nil), s.fences...), fences...)
	return &d
}

// WithFencesFrom returns a store that calls find with the context of each write to get
// further fences. If find returns an error, the write is not sent and fails with that
// error. Use it when fences come with a context, and return an error for a context
// without one.
func (s *Store) WithFencesFrom(find func(ctx context.Context) ([]Fence, error)) *Store {
	d := *s
	d.findFences = find
	if outer := s.findFences; outer != nil {
		d.findFences = func(ctx context.Context) ([]Fence, error) {
			fences, err := outer(ctx)
			if err != nil {
				return nil, err
			}
			more, err := find(ctx)
			return append(fences[:len(fences):len(fences)], more...), err
		}
	}
	return &d
}

// fencesFor returns the fences of a write.
func (s *Store) fencesFor(ctx context.Context) ([]Fence, error) {
	fences := s.fences
	if s.findFences != nil {
		found, err := s.findFences(ctx)
		if err != nil {
			return nil, err
		}
		fences = append(fences[:len(fences):len(fences)], found...)
	}
	for _, f := range fences {
		if err := f.valid(); err != nil {
			return nil, err
		}
	}
	return fences, nil
}

// FencedError says that etcd refused a write because a [Fence] no longer held. Nothing
// was written. Another attempt with the same fence fails too.
type FencedError struct {
	// Fence is the one that did not hold.
	Fence Fence
	// Found is the CreateRevision of the present key, or 0 if there is none.
	Found int64
}

func (e *FencedError) Error() string {
	if e.Found == 0 {
		return fmt.Sprintf("fenced: key %s, created at revision %d, is gone", e.Fence.Key, e.Fence.CreateRevision)
	}
	if e.Found == e.Fence.CreateRevision {
		return fmt.Sprintf("fenced: key %s, created at revision %d, is no longer attached to its lease: "+
			"it was put by hand, or etcd's data were replaced", e.Fence.Key, e.Found)
	}
	return fmt.Sprintf("fenced: key %s was created at revision %d, want %d", e.Fence.Key, e.Found, e.Fence.CreateRevision)
}

// IsFenced reports whether etcd refused a write because of a [Fence]. Nothing was
// written then. Stop the work that the fence protects.
func IsFenced(err error) bool {
	var fenced *FencedError
	return errors.As(err, &fenced)
}

package store

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Mutate reads an object, lets change work on it, and writes what it has
// become, status and all, in one transaction. When another writer comes in
// between, it starts again with what is there now, until ctx is done; change
// may therefore run more than once and must have no other effects. An error of
// change ends it and is returned as it is. change must leave namespace, name,
// uid and resourceVersion alone.
//
// The result is the object as it is stored now, with the revision of the write,
// or its own when there was nothing to write. It is the zero value when Mutate
// fails.
func Mutate[T Object](ctx context.Context, s *Store, key Key, change func(obj T) error) (T, int64, error) {
	var others contention
	others.attempt()
	obj, err := Get[T](ctx, s, key)
	for err == nil {
		read := obj.DeepCopyObject().(Object)
		if err = change(obj); err != nil {
			break
		}
		rev, now, conflict := s.replace(ctx, read, obj)
		switch {
		case now == nil && conflict == nil:
			return obj, rev, nil
		case now == nil:
			err = conflict
		default:
			again := others.wait(ctx)
			others.attempt()
			if obj = now.(T); again {
				obj, err = Get[T](ctx, s, key)
			}
		}
	}
	var none T
	return none, 0, err
}

// replace writes what has become of an object that was read. On a conflict it
// also returns the object that is there now, from etcd's refusal.
func (s *Store) replace(ctx context.Context, read, obj Object) (rev int64, now Object, err error) {
	// Another identity would conflict for ever, however often it is tried.
	if KeyOf(obj) != KeyOf(read) || obj.GetUID() != read.GetUID() || obj.GetResourceVersion() != read.GetResourceVersion() {
		return 0, nil, fmt.Errorf("mutate %s: %w", KeyOf(read),
			apierrors.NewBadRequest("namespace, name, uid and resourceVersion must not be changed"))
	}
	t := s.Txn()
	t.Update(obj)
	t.UpdateStatus(obj)
	if t.err != nil {
		return 0, nil, t.err
	}
	o := t.ops[0]
	if o.targets[0].kind != o.kind { // another version than the stored one
		if rev, err = t.Commit(ctx); apierrors.IsConflict(err) {
			there, readErr := s.GetObject(ctx, read)
			if readErr != nil {
				return 0, nil, readErr
			}
			now = there
		}
		return rev, now, err
	}
	o.learn(&stored{obj: read, rev: o.rev, cached: true})
	rev, err = t.Commit(ctx)
	if apierrors.IsConflict(err) && !o.prior.cached {
		now = o.prior.obj
	}
	return rev, now, err
}

package store

import (
	"context"
	"fmt"
	"reflect"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Mutate reads an object, calls change to modify it, and writes it, including its
// status, in one transaction. If another writer changes the object meanwhile,
// Mutate starts again from the new state, until ctx is done. change may
// therefore run several times and must have no other effects. It must not change
// namespace, name, uid or resourceVersion. Mutate returns an error of change
// unwrapped.
//
// Mutate returns the stored object and the revision of the write. If nothing
// changed, it writes nothing and returns the object's own revision. If it fails,
// it returns the zero value. It returns a NotFound if there is no such object.
func Mutate[T Object](ctx context.Context, s *Store, key Key, change func(obj T) error) (T, int64, error) {
	var others contention
	others.attempt()
	var none T
	k, err := s.kinds.ofType(reflect.TypeFor[T]())
	if err != nil {
		return none, 0, fmt.Errorf("mutate: %w", err)
	}
	there, err := s.getStored(ctx, k, key)
	for err == nil {
		obj := there.obj.DeepCopyObject().(T)
		if err = change(obj); err != nil {
			break
		}
		rev, now, conflict := s.replace(ctx, there, obj)
		switch {
		case now == nil && conflict == nil:
			return obj, rev, nil
		case now == nil:
			err = conflict
		default:
			again := others.wait(ctx)
			others.attempt()
			if there = now; again {
				there, err = s.getStored(ctx, k, key)
			}
		}
	}
	return none, 0, err
}

// replace writes obj, which is the changed form of there. On a conflict it also
// returns the current object, which etcd sends when it refuses the write.
func (s *Store) replace(ctx context.Context, there *stored, obj Object) (rev int64, now *stored, err error) {
	read := there.obj
	// Another identity would conflict in every attempt.
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
			var readErr error
			if now, readErr = s.getStored(ctx, o.targets[0].kind, KeyOf(read)); readErr != nil {
				return 0, nil, readErr
			}
		}
		return rev, now, err
	}
	there.cached = true
	o.learn(there)
	rev, err = t.Commit(ctx)
	if apierrors.IsConflict(err) && !o.prior.cached {
		now = o.prior
	}
	return rev, now, err
}

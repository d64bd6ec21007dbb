package store

import (
	"context"

	"k8s.io/apimachinery/pkg/api/equality"
)

// Update writes everything of an object but its status, and returns the
// revision that it made. When obj has a resourceVersion, the object must not
// have changed since; when it has none, obj replaces whatever is there. An
// update that changes nothing writes nothing.
//
// The uid and the timestamps of creation and deletion cannot be changed; they
// may be left empty. The generation moves when the spec changes. When the
// object is being deleted, no finalizer can be added, and removing the last one
// completes the deletion: the revision is then the deletion's.
//
// The error is a NotFound, a Conflict or an Invalid. When Update fails, obj is
// as it was; otherwise it is what is stored now.
func (s *Store) Update(ctx context.Context, obj Object) (int64, error) {
	t := s.Txn()
	t.Update(obj)
	return t.Commit(ctx)
}

// UpdateStatus writes the status of an object and its annotations, and nothing
// else of it; that it takes the annotations is what Kubernetes does for its own
// kinds, whose controllers keep notes there. In all else it is as
// [Store.Update].
func (s *Store) UpdateStatus(ctx context.Context, obj Object) (int64, error) {
	t := s.Txn()
	t.UpdateStatus(obj)
	return t.Commit(ctx)
}

type updateVerb struct{}

func (updateVerb) String() string { return "update" }

func (updateVerb) prepare(*op) error { return nil }

func (updateVerb) plan(s *Store, o *op, prior *stored) (outcome, error) {
	if err := o.current(prior); err != nil {
		return outcome{}, err
	}
	obj, err := o.merge(prior.obj)
	if err != nil {
		return outcome{}, err
	}
	if o.kind.defaults != nil {
		o.kind.defaults(obj)
	}
	if o.kind.specChanged(obj, prior.obj) {
		obj.SetGeneration(prior.obj.GetGeneration() + 1)
	}
	if err := o.kind.checkUpdate(obj, prior.obj); err != nil {
		return outcome{}, err
	}
	if deletionComplete(obj) {
		return outcome{action: remove, result: obj}, nil
	}
	value, err := o.kind.encode(obj)
	if err != nil {
		return outcome{}, err
	}
	same, err := o.kind.sameValue(value, prior)
	if same {
		return outcome{action: keep, result: obj}, err
	}
	return outcome{action: put, value: value, result: obj}, err
}

// deletionComplete reports whether nothing holds a marked object back any more.
func deletionComplete(obj Object) bool {
	grace := obj.GetDeletionGracePeriodSeconds()
	return obj.GetDeletionTimestamp() != nil && len(obj.GetFinalizers()) == 0 && (grace == nil || *grace == 0)
}

// merge puts together what the caller may write and what stays as it is. The
// result shares nothing with either.
func (o *op) merge(old Object) (Object, error) {
	var obj Object
	if o.main {
		obj = o.obj.DeepCopyObject().(Object)
		if o.kind.status != nil {
			o.kind.copyField(o.kind.status, obj, old.DeepCopyObject().(Object))
		}
		keepImmutable(obj, old)
	} else {
		obj = old.DeepCopyObject().(Object)
	}
	if o.status != nil {
		status := o.status.DeepCopyObject().(Object)
		if uid := status.GetUID(); uid != "" && uid != old.GetUID() {
			return nil, o.conflict("the object was deleted and created again: uid %s, not %s", old.GetUID(), uid)
		}
		if o.kind.status != nil {
			o.kind.copyField(o.kind.status, obj, status)
		}
		if !o.main || o.status != o.obj {
			obj.SetAnnotations(status.GetAnnotations())
		}
	}
	if uid := obj.GetUID(); uid != old.GetUID() {
		return nil, o.conflict("the object was deleted and created again: uid %s, not %s", old.GetUID(), uid)
	}
	obj.SetResourceVersion(old.GetResourceVersion())
	return obj, nil
}

// keepImmutable fills in what the caller may leave empty but not change, and
// overrides what is the store's alone.
func keepImmutable(obj, old Object) {
	if obj.GetUID() == "" {
		obj.SetUID(old.GetUID())
	}
	if created := obj.GetCreationTimestamp(); created.IsZero() {
		obj.SetCreationTimestamp(old.GetCreationTimestamp())
	}
	obj.SetDeletionTimestamp(old.GetDeletionTimestamp().DeepCopy())
	obj.SetDeletionGracePeriodSeconds(clone(old.GetDeletionGracePeriodSeconds()))
	obj.SetGeneration(old.GetGeneration())
	obj.SetSelfLink("")
}

func clone[T any](p *T) *T {
	if p == nil {
		return nil
	}
	c := *p
	return &c
}

func (k *kindInfo) specChanged(obj, old Object) bool {
	return k.spec != nil && !equality.Semantic.DeepEqual(k.fieldOf(k.spec, obj), k.fieldOf(k.spec, old))
}

// sameValue reports whether a key already holds this value. The old object is
// encoded where its stored bytes are not at hand.
func (k *kindInfo) sameValue(value string, prior *stored) (bool, error) {
	if prior.value != nil {
		return value == string(prior.value), nil
	}
	old, err := k.encode(prior.obj.DeepCopyObject().(Object))
	return value == old, err
}

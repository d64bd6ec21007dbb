package store

import (
	"context"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/homeostat/homeostat/pkg/internal/secretdata"
)

// Update writes all of an object except its status and returns the revision of the
// write. If obj has a resourceVersion, the object must not have changed since. Without
// one, obj replaces the stored object. An update that changes nothing writes nothing and
// returns the object's own revision.
//
// If obj has no managedFields, the stored ones stay; an empty list that is not nil
// removes them.
//
// Update does not change the uid or the timestamps of creation and deletion; they may be
// empty in obj. It increments the generation if the spec changes. While the object is
// being deleted, no finalizer can be added; removing the last one completes the deletion,
// and Update returns the revision of that.
//
// Update returns a NotFound, a Conflict or an Invalid. If it fails, obj is unchanged;
// otherwise obj is the stored object.
func (s *Store) Update(ctx context.Context, obj Object) (int64, error) {
	t := s.Txn()
	t.Update(obj)
	return t.Commit(ctx)
}

// UpdateStatus writes the status and the annotations of an object, and nothing else of
// it. It writes annotations because Kubernetes does so for its own kinds, whose
// controllers keep data there. If obj has a resourceVersion and managedFields, it writes
// those too: they say who owns which field of the status. Otherwise it works like
// [Store.Update].
func (s *Store) UpdateStatus(ctx context.Context, obj Object) (int64, error) {
	t := s.Txn()
	t.UpdateStatus(obj)
	return t.Commit(ctx)
}

type updateVerb struct{}

func (updateVerb) String() string { return "update" }

func (updateVerb) prepare(o *op) error {
	if o.main == nil && o.status == nil {
		return nil // only the time to live
	}
	return o.checkWhole()
}

func (updateVerb) plan(s *Store, o *op, prior *stored) (effect, error) {
	if err := o.current(prior); err != nil {
		return effect{}, err
	}
	obj, err := o.merge(prior.obj)
	if err != nil {
		return effect{}, err
	}
	changed, review, err := o.kind.applyRules(obj, prior.obj, o.main == nil)
	if err != nil {
		return effect{}, err
	}
	if CompletesDeletion(obj) {
		return effect{action: remove, result: obj}, nil
	}
	switch {
	case !changed && (o.ttl == nil || *o.ttl == 0 && prior.lease == clientv3.NoLease):
		return effect{action: keep, result: obj}, nil
	case !changed:
		return effect{action: renew, result: obj}, nil
	}
	value, err := o.kind.encodeOver(obj, prior)
	return effect{action: put, value: value, result: obj, review: review}, err
}

// merge combines what the caller may write with what stays. The result shares nothing
// with either.
func (o *op) merge(old Object) (Object, error) {
	for _, part := range []Object{o.main, o.status} {
		if part != nil && part.GetUID() != "" && part.GetUID() != old.GetUID() {
			return nil, o.conflict("the object was deleted and created again: it does not have the uid %s", part.GetUID())
		}
	}
	base := old
	if o.main != nil {
		base = o.main
	}
	obj := base.DeepCopyObject().(Object)
	if o.main != nil {
		secretdata.Fold(o.kind.gvk.GroupKind(), obj)
		o.kind.copyStatus(obj, old)
		keepImmutable(obj, old)
	}
	if o.status != nil {
		o.mergeStatus(obj, old.GetAnnotations())
		if fields := o.status.GetManagedFields(); fields != nil && o.rev != 0 {
			obj.SetManagedFields(fields)
		}
	}
	obj.SetResourceVersion(old.GetResourceVersion())
	return obj, nil
}

// mergeStatus copies what a status update may write: the status, and its changes to the
// old annotations. A combined Update keeps its own changes to annotations.
func (o *op) mergeStatus(obj Object, old map[string]string) {
	o.kind.copyStatus(obj, o.status)
	merged, from := obj.GetAnnotations(), o.status.GetAnnotations()
	if merged == nil {
		merged = map[string]string{}
	}
	for k := range old {
		if _, kept := from[k]; !kept {
			delete(merged, k)
		}
	}
	for k, v := range from {
		if was, there := old[k]; !there || was != v {
			merged[k] = v
		}
	}
	if len(merged) == 0 {
		merged = nil
	}
	obj.SetAnnotations(merged)
}

// keepImmutable restores the fields that the caller may leave empty but not change, and
// those that only the store sets.
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
	if obj.GetManagedFields() == nil {
		obj.SetManagedFields(old.GetManagedFields())
	}
}

func clone[T any](p *T) *T {
	if p == nil {
		return nil
	}
	c := *p
	return &c
}

package store

import (
	"cmp"
	"context"

	"fmt"
	"reflect"
	"slices"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Reader reads other objects for [Kind].ValidateAcross. What it reads becomes a
// condition of the write: etcd executes the write only if those objects have not
// changed, and those that were missing are still missing. Otherwise the store validates
// again. A Reader belongs to one call of ValidateAcross.
type Reader struct {
	txn *Txn
}

// Read reads an object as it will be after the transaction: objects that the same
// transaction writes have their new state. It returns a NotFound if there is no such
// object, and an [UndecodableError] if its value does not decode. The object is the
// caller's own.
func Read[T Object](ctx context.Context, r *Reader, key Key) (T, error) {
	var none T
	k, err := r.txn.store.kinds.ofType(reflect.TypeFor[T]())
	if err != nil {
		return none, fmt.Errorf("read: %w", err)
	}
	obj, err := r.read(ctx, k, key)
	if err != nil {
		return none, err
	}
	return obj.(T), nil
}

func (r *Reader) read(ctx context.Context, k *kindInfo, key Key) (Object, error) {
	etcdKey, err := r.txn.store.layout.key(k, key)
	if err != nil {
		return nil, fmt.Errorf("read: %w", apierrors.NewBadRequest(err.Error()))
	}
	i := slices.IndexFunc(r.txn.ops, func(o *op) bool { // a part of a split transaction has no byKey
		return o.etcdKey == etcdKey && !o.isCondition() && o.effect.action != keep
	})
	if i >= 0 {
		o := r.txn.ops[i]
		if o.effect.action == remove {
			return nil, fmt.Errorf("read %s: %w", etcdKey, apierrors.NewNotFound(k.resource, key.Name))
		}
		return convert(o.effect.result.DeepCopyObject().(Object), o.kind, k)
	}
	there, err := r.txn.store.getStored(ctx, k, key)
	switch {
	case apierrors.IsNotFound(err):
		r.txn.guards = append(r.txn.guards, guard{etcdKey, 0})
		return nil, err
	case err != nil:
		return nil, err
	}
	r.txn.guards = append(r.txn.guards, guard{etcdKey, there.rev})
	return there.obj, nil
}

// guard is the condition that a key has a ModRevision, or does not exist if that is 0.
type guard struct {
	etcdKey  string
	revision int64
}

func (g guard) compare() clientv3.Cmp {
	return clientv3.Compare(clientv3.ModRevision(g.etcdKey), "=", g.revision)
}

// review is a pending call of ValidateAcross.
type review struct {
	obj, old Object // with all defaults; nil for a deletion and for a creation
	change   *change
}

// reviewAll calls ValidateAcross for the planned writes. It sets the guards.
func (t *Txn) reviewAll(ctx context.Context) error {
	t.guards = nil
	for _, o := range t.ops {
		if o.effect.review == nil {
			continue
		}
		if err := t.review(ctx, o.kind, *o.effect.review); err != nil {
			return o.wrap(err)
		}
	}
	if len(t.guards) == 0 {
		return nil
	}
	return cmp.Or(t.checkCount(), t.checkSize())
}

func (t *Txn) review(ctx context.Context, k *kindInfo, r review) error {
	errs, err := k.validateAcross(ctx, &Reader{t}, r.obj, r.old)
	if err != nil {
		return fmt.Errorf("validate across objects: %w", err)
	}
	if r.change != nil {
		errs = r.change.concerns(r.obj, r.old, errs)
	}
	subject := r.obj
	if subject == nil {
		subject = r.old
	}
	return k.invalid(subject, errs)
}

// reviewOf returns the pending call for a write, or nil if the kind has no such rule.
// change is that of an update: only one of the object's own fields needs a review.
func (k *kindInfo) reviewOf(obj, old Object, c *change) *review {
	if k.validateAcross == nil || c != nil && !c.ownFields() {
		return nil
	}
	return &review{obj, old, c}
}

// ownFields reports whether the update changes more than the status and the metadata.
func (c change) ownFields() bool {
	for i, p := range c.parts {
		if c.changed[i] && p.path != "status" && !strings.HasPrefix(p.path, "metadata.") {
			return true
		}
	}
	return false
}

// acrossFunc is [Kind].ValidateAcross without its type parameter.
type acrossFunc func(ctx context.Context, r *Reader, obj, old Object) (field.ErrorList, error)

package store

import (
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// add adds a write or a condition, or records what is wrong with it. part has the
// fields of the operation that depend on the verb.
func (t *Txn) add(v verb, obj Object, part op) {
	o, err := t.store.newOp(v, obj, part)
	if err != nil {
		t.fail(err)
		return
	}
	first := t.sameObject(o)
	_, create := v.(createVerb)
	switch {
	case first == nil && o.etcdKey == "" && !create:
		t.fail(o.wrap(apierrors.NewBadRequest("name is missing")))
	case first == nil:
		t.append(o)
	case first.isCondition() && o.absorb(first):
		t.ops = slices.DeleteFunc(t.ops, func(other *op) bool { return other == first })
		t.append(o) // keeps the order of the writes
	case !first.isCondition() && (first.absorb(o) || first.combine(o)):
	default:
		t.fail(fmt.Errorf("%s: the object is already part of the transaction (%s)", o.id(), first.verb))
	}
}

func (t *Txn) append(o *op) {
	t.ops = append(t.ops, o)
	if o.etcdKey != "" { // otherwise the name is not generated yet
		t.byKey[o.etcdKey] = o
	}
}

// sameObject returns the transaction's operation on the object of o, or nil. If
// the name is not generated yet, it compares the caller's pointers.
func (t *Txn) sameObject(o *op) *op {
	if o.etcdKey != "" {
		return t.byKey[o.etcdKey]
	}
	for _, other := range t.ops {
		if other.targets[0].obj == o.targets[0].obj {
			return other
		}
	}
	return nil
}

// absorb makes a condition on the same object part of o. It returns false if the
// two contradict each other.
func (o *op) absorb(condition *op) bool {
	_, create := o.verb.(createVerb)
	switch condition.verb.(type) {
	case absentVerb:
		return create || o.verb == condition.verb
	case unchangedVerb:
		if _, absent := o.verb.(absentVerb); create || absent || o.must != 0 && o.must != condition.must {
			return false
		}
		o.must = condition.must
		return true
	}
	return false
}

// combine makes a later update of the same object part of this write. It returns
// false if this write already has that part from another object.
func (o *op) combine(later *op) bool {
	if _, update := later.verb.(updateVerb); !update || o.kind != later.kind || o.rev != later.rev {
		return false
	}
	switch o.verb.(type) {
	case createVerb, updateVerb:
	default:
		return false
	}
	given := later.targets[0]
	known := slices.IndexFunc(o.targets, func(t target) bool { return t.obj == given.obj })
	for i, t := range o.targets {
		if i != known && (t.main && given.main || t.status && given.status) {
			return false
		}
	}
	if known < 0 {
		known, o.targets = len(o.targets), append(o.targets, target{obj: given.obj, kind: given.kind})
	}
	if given.main {
		o.main, o.targets[known].main = later.main, true
		if _, create := o.verb.(createVerb); create {
			o.obj, o.main = later.main, nil
		}
	}
	if later.ttl != nil {
		o.ttl = later.ttl
	}
	if given.status {
		o.status, o.targets[known].status = later.status, true
	}
	return true
}

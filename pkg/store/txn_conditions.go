package store

import (
	"fmt"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/homeostat/homeostat/pkg/etcd"
)

// Unchanged adds the condition that an object still has obj's resourceVersion.
// It may be one that the transaction writes, too.
func (t *Txn) Unchanged(obj Object) { t.add(unchangedVerb{}, obj, op{}) }

// Absent adds the condition that no object of obj's type has obj's name.
func (t *Txn) Absent(obj Object) { t.add(absentVerb{}, obj, op{}) }

// UnchangedSince adds the condition that nobody has created or changed an object
// of like's type after a revision, in a namespace or, where that is empty, in
// any. Commit gives a Conflict when somebody has. Deletions go unnoticed, since
// nothing of them is left to look at: add Unchanged for the objects that matter.
//
// etcd reads all of these objects, with their values, to verify it: keep it to
// where they are few, or the transaction rare.
func (t *Txn) UnchangedSince(revision int64, like Object, namespace string) {
	k, err := t.store.kinds.of(like)
	if err != nil {
		t.fail(fmt.Errorf("check a range: %w", err))
		return
	}
	k = k.storage()
	r, err := t.store.layout.rangeOf(k, namespace)
	switch {
	case err != nil:
		t.fail(fmt.Errorf("check a range: %w", apierrors.NewBadRequest(err.Error())))
	case revision <= 0:
		t.fail(fmt.Errorf("check range %s: %w", r.Start, apierrors.NewBadRequest(fmt.Sprintf("revision %d: must be above 0", revision))))
	default:
		t.ranges = append(t.ranges, rangeCondition{r, k.resource, revision})
	}
}

// rangeCondition holds while no key of the range has a ModRevision above
// revision.
type rangeCondition struct {
	keys     etcd.Range
	resource schema.GroupResource
	revision int64
}

// compare holds for each key of the range. Where there is none, etcd compares
// with a revision of 0, so that it holds too.
func (c rangeCondition) compare() clientv3.Cmp {
	return clientv3.Compare(clientv3.ModRevision(c.keys.Start), "<", c.revision+1).WithRange(c.keys.End)
}

// explain is the request whose answer tells why the condition does not hold.
func (c rangeCondition) explain() clientv3.Op {
	return clientv3.OpGet(c.keys.Start, clientv3.WithRange(c.keys.End),
		clientv3.WithMinModRev(c.revision+1), clientv3.WithKeysOnly(), clientv3.WithLimit(1))
}

// check looks at what etcd says of the range.
func (c rangeCondition) check(kvs []*mvccpb.KeyValue) error {
	if len(kvs) == 0 {
		return nil
	}
	return fmt.Errorf("check range %s: %w", c.keys.Start, apierrors.NewConflict(c.resource, "", fmt.Errorf(
		"objects have appeared or changed since revision %d, such as %s at revision %d: read them again",
		c.revision, kvs[0].Key, kvs[0].ModRevision)))
}

// unchangedVerb and absentVerb write nothing: they are conditions.
type (
	unchangedVerb struct{}
	absentVerb    struct{}
)

// isCondition reports whether an object is only looked at.
func (o *op) isCondition() bool {
	switch o.verb.(type) {
	case unchangedVerb, absentVerb:
		return true
	}
	return false
}

func (unchangedVerb) String() string { return "check" }

func (unchangedVerb) prepare(o *op) error {
	if o.rev == 0 {
		return apierrors.NewBadRequest("the object has no resourceVersion")
	}
	o.must = o.rev
	o.learn(&stored{rev: o.rev, cached: true}) // verified within the transaction
	return nil
}

func (unchangedVerb) plan(_ *Store, o *op, prior *stored) (effect, error) {
	return effect{}, o.current(prior)
}

func (absentVerb) String() string { return "check absence of" }

func (absentVerb) prepare(o *op) error {
	o.learn(nil)
	return nil
}

func (absentVerb) plan(_ *Store, o *op, prior *stored) (effect, error) {
	if prior != nil {
		return effect{}, apierrors.NewAlreadyExists(o.kind.resource, o.name.Name)
	}
	return effect{}, nil
}

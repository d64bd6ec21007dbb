package store

import (
	"fmt"
	"math"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/homeostat/homeostat/pkg/etcd"
)

// Unchanged adds the condition that an object still has obj's resourceVersion.
// Otherwise Commit returns a Conflict. The transaction may write the object too.
func (t *Txn) Unchanged(obj Object) { t.add(unchangedVerb{}, obj, op{}) }

// Absent adds the condition that no object has the type, namespace and name of obj.
// Otherwise Commit returns an AlreadyExists.
func (t *Txn) Absent(obj Object) { t.add(absentVerb{}, obj, op{}) }

// UnchangedSince adds the condition that no object of like's type was created or changed
// after a revision, in a namespace, or in all namespaces if it is empty. Otherwise Commit
// returns a Conflict. Deletions go unnoticed, because etcd keeps nothing to compare: add
// Unchanged for the objects that matter.
//
// To verify the condition, etcd reads all of these objects with their values. Use it
// for few objects or rare transactions.
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
		t.ranges = append(t.ranges, rangeCondition{r, k.resource, min(revision, math.MaxInt64-1)})
	}
}

// rangeCondition holds while no key of the range has a ModRevision above revision.
type rangeCondition struct {
	keys     etcd.Range
	resource schema.GroupResource
	revision int64
}

// compare returns a comparison for each key of the range. In an empty range etcd compares
// with revision 0, so that it holds too.
func (c rangeCondition) compare() clientv3.Cmp {
	return clientv3.Compare(clientv3.ModRevision(c.keys.Start), "<", c.revision+1).WithRange(c.keys.End)
}

// explain returns the request whose answer shows why the condition does not hold.
func (c rangeCondition) explain() clientv3.Op {
	return clientv3.OpGet(c.keys.Start, clientv3.WithRange(c.keys.End),
		clientv3.WithMinModRev(c.revision+1), clientv3.WithKeysOnly(), clientv3.WithLimit(1))
}

// check returns an error if the state of the range breaks the condition.
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

// isCondition reports whether the operation only checks its object.
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

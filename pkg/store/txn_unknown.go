package store

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/homeostat/homeostat/pkg/etcd"
)

// resolve finds out whether a transaction happened, after its answer was lost or was
// ambiguous. done is true if it happened. If it certainly did not happen and never
// will, done is false, err is nil, and the caller tries again.
//
// One object decides for all of them: a created object by its uid, a changed one
// by the value that replaced the prior.
func (t *Txn) resolve(ctx context.Context, cause error) (rev int64, done bool, err error) {
	unknown := fmt.Errorf("%s: %w", t.what(), &UnknownOutcomeError{Err: etcd.ExplainError(cause)})
	answered := errors.Is(cause, rpctypes.ErrNoSpace)
	for _, o := range t.ops {
		if o.effect.action == keep || o.effect.action == renew { // which no value shows
			continue
		}
		resp, err := etcd.GetRange(ctx, t.store.client, o.etcdKey)
		if err != nil {
			return 0, false, unknown
		}
		_, create := o.verb.(createVerb)
		if answered && o.unchanged(resp.Kvs) {
			return 0, false, fmt.Errorf("%s: %w", t.what(), etcd.ExplainError(cause))
		}
		if create {
			if o.wrote(resp.Kvs) {
				return t.finish(resp.Kvs[0].CreateRevision, true), true, nil
			}
			return 0, false, unknown
		}
		successor := o.successor(ctx, t.store.client, resp.Kvs)
		switch {
		case successor == nil:
			continue // another object may decide
		case o.effect.action == remove || string(successor.Value) != o.effect.value:
			t.forget() // another writer was first: etcd will refuse ours
			return 0, false, nil
		case o.kind.codec.keys.Encrypts(): // nobody else can have encrypted it to this
			return t.finish(successor.ModRevision, true), true, nil
		}
	}
	return 0, false, unknown
}

// maxHistory bounds how many values of a key successor reads.
const maxHistory = 32

// successor returns the value that replaced the prior. If this transaction
// happened, the value is its own. successor returns nil if the prior is still
// there, if the object was deleted, and if etcd's history does not reach back
// far enough.
func (o *op) successor(ctx context.Context, client *clientv3.Client, kvs []*mvccpb.KeyValue) *mvccpb.KeyValue {
	for range maxHistory {
		if len(kvs) == 0 || o.unchanged(kvs) {
			return nil
		}
		before, err := etcd.GetRange(ctx, client, o.etcdKey, clientv3.WithRev(kvs[0].ModRevision-1))
		if err != nil || len(before.Kvs) == 0 {
			return nil
		}
		if o.unchanged(before.Kvs) {
			return kvs[0]
		}
		kvs = before.Kvs
	}
	return nil
}

// wrote reports whether a key holds the object that this operation created.
func (o *op) wrote(kvs []*mvccpb.KeyValue) bool {
	if len(kvs) == 0 {
		return false
	}
	there, err := o.kind.decode(o.name, kvs[0].Value, kvs[0].ModRevision)
	return err == nil && there.Object.GetUID() == o.effect.result.GetUID()
}

// unchanged reports whether a key still holds the prior.
func (o *op) unchanged(kvs []*mvccpb.KeyValue) bool {
	if len(kvs) == 0 {
		return o.prior == nil
	}
	return kvs[0].ModRevision == o.priorRev()
}

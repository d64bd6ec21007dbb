package etcd

import (
	"context"
	"fmt"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// MaxGetKeys is the largest number of keys that one [Get] reads: etcd's default
// limit for the operations of a transaction.
const MaxGetKeys = 128

// Get reads several keys at one revision in one round trip. It returns the keys
// that exist, in the order of keys. Revision 0 means etcd's current revision.
//
// Per key, Get costs etcd more than List does. Use it for a few keys out of a large
// range. The response is as large as the values together. If the revision is
// compacted, [apierrors.IsResourceExpired] is true for the error, and for more than
// MaxGetKeys keys, [apierrors.IsRequestEntityTooLargeError] is.
func Get(ctx context.Context, client *clientv3.Client, keys []string, revision int64) ([]*mvccpb.KeyValue, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	gets := make([]clientv3.Op, len(keys))
	for i, key := range keys {
		gets[i] = clientv3.OpGet(key, clientv3.WithRev(revision))
	}
	resp, err := ReadTxn(ctx, client, gets)
	if err != nil {
		return nil, fmt.Errorf("read %d keys from %s on at revision %d: %w", len(keys), keys[0], revision, err)
	}
	kvs := make([]*mvccpb.KeyValue, 0, len(keys))
	for _, r := range resp.Responses {
		kvs = append(kvs, r.GetResponseRange().Kvs...)
	}
	return kvs, nil
}

// ReadTxn executes gets at one revision in one round trip. The response has one
// element for each get, in their order.
//
// ReadTxn retries as [Retry] says. etcd's client itself retries no transaction, since it
// could be a write. All operations passed to ReadTxn must therefore be gets.
func ReadTxn(ctx context.Context, client *clientv3.Client, gets []clientv3.Op) (*clientv3.TxnResponse, error) {
	var resp *clientv3.TxnResponse
	err := Retry(ctx, client, func(ctx context.Context) (err error) {
		resp, err = client.Txn(ctx).Then(gets...).Commit()
		return err
	})
	if err != nil {
		return nil, ExplainError(err)
	}
	return resp, nil
}

// GetRange reads as client.Get does, and retries as [Retry] says.
func GetRange(ctx context.Context, client *clientv3.Client, start string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	var resp *clientv3.GetResponse
	err := Retry(ctx, client, func(ctx context.Context) (err error) {
		resp, err = client.Get(ctx, start, opts...)
		return err
	})
	if err != nil {
		return nil, ExplainError(err)
	}
	return resp, nil
}

// CurrentRevision asks etcd for its current revision. The read is linearizable:
// the revision is at least that of every write that returned before the call.
//
// It asks by a read of the first key of r, which need not exist. Pass any range that
// the etcd user may read: the result is the same for each.
func CurrentRevision(ctx context.Context, client *clientv3.Client, r Range) (int64, error) {
	resp, err := GetRange(ctx, client, r.Start, clientv3.WithCountOnly())
	if err != nil {
		return 0, fmt.Errorf("read etcd's revision, with key %s: %w", r.Start, err)
	}
	return resp.Header.Revision, nil
}

package store

import (
	"context"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
)

// MaxKeys is how many keys one [GetKeys] reads at most: etcd's own limit to the
// operations of a transaction.
const MaxKeys = 128

// GetKeys reads some keys at one revision, in one round trip, and returns what
// those that exist have, in the order of keys. It costs etcd more for each key
// than [ListRange], so it is for few among many. The answer is as large as the
// values are together.
//
// When the revision is compacted the error is [apierrors.IsResourceExpired].
func GetKeys(ctx context.Context, client *clientv3.Client, keys []string, revision int64) ([]*mvccpb.KeyValue, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	gets := make([]clientv3.Op, len(keys))
	for i, key := range keys {
		gets[i] = clientv3.OpGet(key, clientv3.WithRev(revision))
	}
	resp, err := readTogether(ctx, client, gets)
	if err != nil {
		return nil, fmt.Errorf("read %d keys from %s on at revision %d: %w", len(keys), keys[0], revision, explain(err))
	}
	kvs := make([]*mvccpb.KeyValue, 0, len(keys))
	for _, r := range resp.Responses {
		kvs = append(kvs, r.GetResponseRange().Kvs...)
	}
	return kvs, nil
}

// readTogether executes reads at one revision, in one round trip. When a member
// is lost or another becomes the leader, etcd's client tries a single read again,
// but not one in a transaction, which might have been a write. This does, just as
// often.
func readTogether(ctx context.Context, client *clientv3.Client, gets []clientv3.Op) (*clientv3.TxnResponse, error) {
	const attempts, pause = 100, 25 * time.Millisecond
	for attempt := 1; ; attempt++ {
		resp, err := client.Txn(ctx).Then(gets...).Commit()
		if err == nil || codeOf(err) != codes.Unavailable || attempt == attempts {
			return resp, err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, err
		}
	}
}

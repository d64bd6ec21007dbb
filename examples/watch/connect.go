package main

import (
	"context"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/homeostat/homeostat/pkg/etcd"
)

// dial connects to etcd and reads one key of the selection. It fails if etcd does
// not answer or denies access to the keys. The response has the cluster's id and
// revision.
func dial(ctx context.Context, o options) (*clientv3.Client, *clientv3.GetResponse, error) {
	client, err := o.etcd.Open(ctx, o.selection.Range)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", o.selection, err)
	}
	keys := o.selection.Range
	header, err := etcd.GetRange(ctx, client, keys.Start, clientv3.WithRange(keys.End), clientv3.WithLimit(1), clientv3.WithKeysOnly())
	if err != nil {
		_ = client.Close()
		return nil, nil, fmt.Errorf("%s: %w", o.selection, err)
	}
	return client, header, nil
}

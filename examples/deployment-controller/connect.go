package main

import (
	"context"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/homeostat/homeostat/pkg/etcd"
	"github.com/homeostat/homeostat/pkg/etcdtest"
)

// connection is a client of an embedded or of another etcd.
type connection struct {
	client    *clientv3.Client
	endpoints []string
	embedded  bool
	close     func() error
}

func dial(ctx context.Context, o options) (*connection, error) {
	if len(o.etcd.Endpoints) == 0 {
		return embed(ctx, o)
	}
	client, err := o.etcd.Open(ctx, etcd.PrefixRange(o.prefix))
	if err != nil {
		return nil, err
	}
	return &connection{client: client, endpoints: o.etcd.Endpoints, close: client.Close}, nil
}

func embed(ctx context.Context, o options) (*connection, error) {
	cluster, err := etcdtest.Run(ctx, etcdtest.Options{DataDir: o.dataDir, Fsync: o.dataDir != ""})
	if err != nil {
		return nil, fmt.Errorf("start an embedded etcd: %w", err)
	}
	return &connection{client: cluster.Client(), endpoints: cluster.Endpoints(), embedded: true, close: cluster.Close}, nil
}

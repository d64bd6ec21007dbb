package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

// connectTimeout is how long etcd may take to answer the first request.
const connectTimeout = 5 * time.Second

// connect returns a client of an etcd that answers, and what it says of itself.
func connect(ctx context.Context, o options) (*clientv3.Client, *clientv3.GetResponse, error) {
	config := clientv3.Config{
		Endpoints:            o.endpoints,
		DialTimeout:          connectTimeout,
		DialKeepAliveTime:    10 * time.Second,
		DialKeepAliveTimeout: 5 * time.Second,
		DialOptions:          []grpc.DialOption{reconnectSoon()},
		Logger:               zap.NewNop(),
	}
	config.Username, config.Password, _ = strings.Cut(o.user, ":")
	if o.cacert != "" || o.cert != "" {
		tls, err := transport.TLSInfo{TrustedCAFile: o.cacert, CertFile: o.cert, KeyFile: o.tlsKey}.ClientConfig()
		if err != nil {
			return nil, nil, fmt.Errorf("--cacert, --cert, --cert-key: %w", err)
		}
		config.TLS = tls
	}
	client, err := clientv3.New(config)
	if err != nil {
		return nil, nil, fmt.Errorf("etcd at %s: %w", strings.Join(o.endpoints, ","), err)
	}
	header, err := reach(ctx, client, o)
	if err != nil {
		_ = client.Close()
		return nil, nil, err
	}
	return client, header, nil
}

// reach makes sure that etcd answers and that the keys may be read, so that what
// is wrong from the start is an error rather than silence.
func reach(ctx context.Context, client *clientv3.Client, o options) (*clientv3.GetResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	keys := o.selection.Range
	resp, err := client.Get(ctx, keys.Start, clientv3.WithRange(keys.End), clientv3.WithLimit(1), clientv3.WithKeysOnly())
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, fmt.Errorf("etcd at %s does not answer: %w", strings.Join(o.endpoints, ","), err)
	case err != nil:
		return nil, fmt.Errorf("etcd at %s, %s: %w", strings.Join(o.endpoints, ","), o.selection, err)
	}
	return resp, nil
}

// reconnectSoon bounds the pause between attempts to connect, which would grow
// to two minutes, at two seconds.
func reconnectSoon() grpc.DialOption {
	return grpc.WithConnectParams(grpc.ConnectParams{
		Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
		MinConnectTimeout: connectTimeout,
	})
}

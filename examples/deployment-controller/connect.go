package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/homeostat/homeostat/pkg/etcdtest"
)

// connectTimeout is how long etcd may take to answer the first request.
const connectTimeout = 5 * time.Second

// connection is a client, of an embedded etcd or of another.
type connection struct {
	client    *clientv3.Client
	endpoints []string
	embedded  bool
	close     func() error
}

func connect(ctx context.Context, o options) (*connection, error) {
	if len(o.endpoints) == 0 {
		return embed(ctx, o)
	}
	config := clientv3.Config{
		Endpoints:            o.endpoints,
		DialTimeout:          connectTimeout,
		DialKeepAliveTime:    10 * time.Second,
		DialKeepAliveTimeout: 5 * time.Second,
		Logger:               zap.NewNop(),
	}
	if o.user != "" {
		config.Username, config.Password, _ = strings.Cut(o.user, ":")
	}
	if o.cacert != "" || o.cert != "" {
		var err error
		config.TLS, err = transport.TLSInfo{TrustedCAFile: o.cacert, CertFile: o.cert, KeyFile: o.key}.ClientConfig()
		if err != nil {
			return nil, fmt.Errorf("--cacert, --cert, --key: %w", err)
		}
	}
	client, err := clientv3.New(config)
	if err != nil {
		return nil, fmt.Errorf("etcd at %s: %w", strings.Join(o.endpoints, ","), err)
	}
	if err := reach(ctx, client, o, config.TLS); err != nil {
		_ = client.Close()
		return nil, err
	}
	return &connection{client: client, endpoints: o.endpoints, close: client.Close}, nil
}

// reach makes sure that etcd answers, so that a wrong endpoint is an error
// rather than silence.
func reach(ctx context.Context, client *clientv3.Client, o options, config *tls.Config) error {
	bounded, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	_, err := client.Get(bounded, o.prefix, clientv3.WithCountOnly())
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
		if cause := probe(ctx, o.endpoints[0], config); cause != nil {
			err = fmt.Errorf("%w: %w", cause, err)
		}
		return fmt.Errorf("etcd at %s does not answer: %w", strings.Join(o.endpoints, ","), err)
	}
	return fmt.Errorf("etcd at %s: %w", strings.Join(o.endpoints, ","), err)
}

// probe says what is wrong with an endpoint, which etcd's client keeps to
// itself: that nothing listens there, or that TLS fails, and why.
func probe(ctx context.Context, endpoint string, config *tls.Config) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	var conn net.Conn
	var err error
	if addr, secure := strings.CutPrefix(endpoint, "https://"); secure {
		conn, err = (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", addr)
	} else {
		conn, err = new(net.Dialer).DialContext(ctx, "tcp", strings.TrimPrefix(endpoint, "http://"))
	}
	if err != nil {
		return err
	}
	return conn.Close()
}

func embed(ctx context.Context, o options) (*connection, error) {
	cluster, err := etcdtest.Run(ctx, etcdtest.Options{DataDir: o.dataDir, Fsync: o.dataDir != ""})
	if err != nil {
		return nil, fmt.Errorf("start an embedded etcd: %w", err)
	}
	return &connection{client: cluster.Client(), endpoints: cluster.Endpoints(), embedded: true, close: cluster.Close}, nil
}

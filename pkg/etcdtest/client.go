package etcdtest

import (
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

// Client returns the cluster's own client, connected to all members. All callers share
// it. Close closes it.
func (c *Cluster) Client() *clientv3.Client { return c.client }

// ClientOptions configure a client of a cluster. The zero value is useful.
type ClientOptions struct {
	// Endpoints are those of members, or of links for a client that should suffer
	// their faults. Defaults to all members.
	Endpoints []string
	// Configure changes the configuration of etcd's client once the defaults are set,
	// such as to add interceptors or a user. Defaults to no change.
	Configure func(*clientv3.Config)
}

// NewClient returns a new client, which connects when it is first used. Use it where
// a test closes, disturbs or inspects its client; otherwise share Client. The caller may
// close it. The cluster's Close closes those that are left.
//
// The defaults suit tests: no log, keepalives that notice a silent partition within
// about 13 s, and at most a tenth of a second between attempts to connect again.
// The error is [ErrClosed] after Close, or that of clientv3.New.
func (c *Cluster) NewClient(o ClientOptions) (*clientv3.Client, error) {
	if o.Endpoints == nil {
		o.Endpoints = c.Endpoints()
	}
	cfg := clientConfig(o.Endpoints)
	if o.Configure != nil {
		o.Configure(&cfg)
	}
	client, err := clientv3.New(cfg)
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		_ = client.Close()
		return nil, fmt.Errorf("make a client: %w", ErrClosed)
	}
	c.clients = append(c.clients, client)
	return client, nil
}

func clientConfig(endpoints []string) clientv3.Config {
	reconnect := grpc.ConnectParams{
		Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.5, Jitter: 0.2, MaxDelay: 100 * time.Millisecond},
		MinConnectTimeout: 5 * time.Second,
	}
	return clientv3.Config{
		Endpoints:   endpoints,
		DialTimeout: 5 * time.Second,
		// gRPC enforces at least 10 s.
		DialKeepAliveTime:    10 * time.Second,
		DialKeepAliveTimeout: 3 * time.Second,
		DialOptions:          []grpc.DialOption{grpc.WithConnectParams(reconnect)},
		Logger:               zap.NewNop(),
	}
}

func (c *Cluster) newLink(m *Member) (*Link, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, fmt.Errorf("open a link: %w", ErrClosed)
	}
	listen := tcp("127.0.0.1:0")
	if m.listen.network == "unix" {
		listen = c.home.socket(fmt.Sprintf("l%d", len(c.links)))
	}
	l, err := newLink(c.home.tag(), listen, m.listen.reachable())
	if err != nil {
		return nil, err
	}
	c.links = append(c.links, l)
	return l, nil
}

// closeClients closes all clients, and then the links that they may use.
func (c *Cluster) closeClients() error {
	c.mu.Lock()
	clients, links := c.clients, c.links
	c.mu.Unlock()
	for _, client := range clients {
		// The only error is that it is closed already.
		_ = client.Close()
	}
	var errs []error
	for _, l := range links {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}

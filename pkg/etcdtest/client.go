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

// Client returns the cluster's own client, which all callers share and Close
// closes. It is connected to all members.
func (c *Cluster) Client() *clientv3.Client { return c.client }

// NewClient returns a client of the caller's own, connected to all members
// unless a change to its configuration says otherwise: see To. It connects
// when it is first used. The caller may close it; the cluster's Close does it
// otherwise.
//
// The defaults suit tests: no log, keepalives so that a silent partition is
// noticed within about 13 s, and a tenth of a second, not up to two minutes,
// between attempts to connect again.
func (c *Cluster) NewClient(change ...func(*clientv3.Config)) (*clientv3.Client, error) {
	cfg := clientConfig(c.Endpoints())
	for _, f := range change {
		f(&cfg)
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

// To has NewClient connect to these endpoints alone: those of members or of
// links.
func To(endpoints ...string) func(*clientv3.Config) {
	return func(cfg *clientv3.Config) { cfg.Endpoints = endpoints }
}

func clientConfig(endpoints []string) clientv3.Config {
	reconnect := grpc.ConnectParams{
		Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.5, Jitter: 0.2, MaxDelay: 100 * time.Millisecond},
		MinConnectTimeout: 5 * time.Second,
	}
	return clientv3.Config{
		Endpoints:   endpoints,
		DialTimeout: 5 * time.Second,
		// gRPC does not allow for less than 10 s.
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

// hangUp closes all clients, and then the links that they may use.
func (c *Cluster) hangUp() error {
	c.mu.Lock()
	clients, links := c.clients, c.links
	c.mu.Unlock()
	for _, client := range clients {
		// All that it can report is that it is closed already.
		_ = client.Close()
	}
	var errs []error
	for _, l := range links {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}

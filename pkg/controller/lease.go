package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"k8s.io/utils/clock"
)

// revokeTimeout bounds how long the end of a term waits for an etcd that does not
// answer; the lease then runs out by itself.
const revokeTimeout = 2 * time.Second

// lease is one of etcd's. The client's own way of keeping leases alive starts
// goroutines that last as long as the client, and tells of expiry by when an
// answer arrived, which may be long after it was sent.
type lease struct {
	client *clientv3.Client
	clock  clock.WithTickerAndDelayedExecution
	id     clientv3.LeaseID
	asked  time.Time // when what granted it was sent
	ttl    time.Duration
}

// grantLease returns a lease that lasts for a time, rounded up to seconds, or
// longer where etcd says so.
func grantLease(ctx context.Context, client *clientv3.Client, c clock.WithTickerAndDelayedExecution, d time.Duration) (*lease, error) {
	l := &lease{client: client, clock: c, asked: c.Now()}
	ctx, cancel := withTimeout(ctx, c, askTimeout)
	defer cancel()
	resp, err := client.Grant(ctx, int64((d+time.Second-1)/time.Second))
	if err != nil {
		return nil, fmt.Errorf("grant a lease: %w", err)
	}
	l.id, l.ttl = resp.ID, time.Duration(resp.TTL)*time.Second
	return l, nil
}

// revoke ends the lease, and the keys attached to it. It does so even when ctx
// is done.
func (l *lease) revoke(ctx context.Context) error {
	ctx, cancel := withTimeout(context.WithoutCancel(ctx), l.clock, revokeTimeout)
	defer cancel()
	if _, err := l.client.Revoke(ctx, l.id); err != nil && !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return fmt.Errorf("revoke lease %x: %w", l.id, err)
	}
	return nil
}

// keep keeps the lease alive until ctx is done, or returns why it is lost.
func (l *lease) keep(ctx context.Context) error {
	return keepAlive(ctx, l.clock, l.asked, l.ttl, l.renew)
}

// renew asks for the lease to be prolonged, once.
func (l *lease) renew(ctx context.Context) (ttl time.Duration, err error) {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel() // ends the stream
	stream, err := pb.NewLeaseClient(l.client.ActiveConnection()).LeaseKeepAlive(ctx)
	if err != nil {
		return 0, err
	}
	if err := stream.Send(&pb.LeaseKeepAliveRequest{ID: int64(l.id)}); err != nil {
		return 0, err
	}
	resp, err := stream.Recv()
	if err != nil {
		return 0, err
	}
	if resp.TTL <= 0 {
		return 0, errLeaseGone
	}
	return time.Duration(resp.TTL) * time.Second, nil
}

var errLeaseGone = errors.New("etcd no longer has the lease")

// keepAlive renews what was asked for at a time, to last for ttl, whenever a
// third of it has passed, until ctx is done. It returns why it is lost: etcd
// says so, or has not answered for so long that it may have expired. That is
// counted from when a request was sent, so that it is noticed too early rather
// than too late, as far as clocks go.
func keepAlive(ctx context.Context, c clock.WithTickerAndDelayedExecution, asked time.Time, ttl time.Duration,
	renew func(context.Context) (time.Duration, error)) error {
	failure := errors.New("this process was suspended")
	next := asked.Add(ttl / 3)
	for {
		sleep(ctx, c, min(next.Sub(c.Now()), asked.Add(ttl).Sub(c.Now())))
		if ctx.Err() != nil {
			return nil
		}
		now := c.Now()
		left := asked.Add(ttl).Sub(now)
		if left <= 0 {
			return fmt.Errorf("the lease was not renewed for %s: %w", now.Sub(asked).Round(time.Millisecond), failure)
		}
		attempt, cancel := withTimeout(ctx, c, min(left, ttl/3))
		renewed, err := renew(attempt)
		cancel()
		switch {
		case err == nil:
			asked, ttl = now, renewed
			next = now.Add(ttl / 3)
		case errors.Is(err, errLeaseGone):
			return err
		default:
			failure = err
			next = c.Now().Add(min(ttl/10, time.Second))
		}
	}
}

package lease

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"k8s.io/utils/clock"

	"github.com/homeostat/homeostat/pkg/etcd"
	"github.com/homeostat/homeostat/pkg/internal/retry"
)

// revokeTimeout bounds [Lease.Revoke] on an etcd that does not answer. The lease
// then expires by itself.
const revokeTimeout = 2 * time.Second

// errSuspended means that the process did not run when the lease had to be renewed.
var errSuspended = errors.New("this process was suspended")

// errGone means that etcd no longer has the lease.
var errGone = errors.New("etcd no longer has the lease")

// Lease is a lease of etcd. It lives until it is revoked, or until it was not kept
// alive for its TTL.
//
// It does not use the client's own keep-alive: that starts goroutines that last as
// long as the client, and reports expiry by when an answer arrived, which may be
// long after the request was sent.
//
// All fields are constant after Grant, so that any number of goroutines may use it.
// One at a time may call Keep.
type Lease struct {
	// ID is what keys are attached to.
	ID clientv3.LeaseID
	// TTL is the time to live that etcd granted.
	TTL time.Duration

	client  *clientv3.Client
	clock   clock.WithTickerAndDelayedExecution
	granted time.Time // when the request that granted it was sent
}

// maxTime is more than anybody waits for a process that has crashed.
const maxTime = 24 * time.Hour

// CheckTime returns an error if no process should ask for a lease of d. Zero is for the
// default.
func CheckTime(d time.Duration) error {
	if d < 0 || d > maxTime {
		return fmt.Errorf("lease time %s: must be at least 0 and at most %s", d, maxTime)
	}
	return nil
}

// Grant returns a lease that lives for d, rounded up to seconds. Etcd may grant a
// longer one.
func Grant(ctx context.Context, client *clientv3.Client, c clock.WithTickerAndDelayedExecution, d time.Duration) (*Lease, error) {
	l := &Lease{client: client, clock: c}
	ctx, cancel := retry.WithTimeout(ctx, c, RequestTimeout)
	defer cancel()
	var resp *clientv3.LeaseGrantResponse
	err := etcd.Retry(ctx, client, func(ctx context.Context) (err error) {
		l.granted = c.Now()
		resp, err = client.Grant(ctx, int64((d+time.Second-1)/time.Second))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("grant a lease: %w", err)
	}
	l.ID, l.TTL = resp.ID, seconds(resp.TTL)
	return l, nil
}

// Revoke deletes the lease and the keys attached to it, even when ctx is done.
// A lease that is gone already is no error.
func (l *Lease) Revoke(ctx context.Context) error {
	ctx, cancel := retry.WithTimeout(context.WithoutCancel(ctx), l.clock, revokeTimeout)
	defer cancel()
	err := etcd.Retry(ctx, l.client, func(ctx context.Context) error {
		_, err := l.client.Revoke(ctx, l.ID)
		return err
	})
	if err != nil && !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return fmt.Errorf("revoke lease %x: %w", l.ID, err)
	}
	return nil
}

// Keep keeps the lease alive until ctx is done, and returns nil then. It returns an
// error once the lease is lost.
func (l *Lease) Keep(ctx context.Context) error {
	return keepAlive(ctx, l.clock, l.granted, l.TTL, l.renew)
}

// renew sends a keep-alive request, and another if a member does not serve it.
func (l *Lease) renew(ctx context.Context) (ttl time.Duration, err error) {
	err = etcd.Retry(ctx, l.client, func(ctx context.Context) (err error) {
		ttl, err = l.renewOnce(ctx)
		return err
	})
	return ttl, err
}

func (l *Lease) renewOnce(ctx context.Context) (ttl time.Duration, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the stream
	stream, err := pb.NewLeaseClient(l.client.ActiveConnection()).LeaseKeepAlive(ctx)
	if err != nil {
		return 0, err
	}
	if err := stream.Send(&pb.LeaseKeepAliveRequest{ID: int64(l.ID)}); err != nil {
		return 0, err
	}
	resp, err := stream.Recv()
	if err != nil {
		return 0, err
	}
	if resp.TTL <= 0 {
		return 0, errGone
	}
	return seconds(resp.TTL), nil
}

// seconds returns the duration of n seconds, or the longest that there is.
func seconds(n int64) time.Duration {
	return time.Duration(min(n, int64(math.MaxInt64/time.Second))) * time.Second
}

// keepAlive renews a lease whenever a third of its time has passed, until ctx is
// done. sent is when the last successful request was sent, and ttl how long the
// lease lives from then on. keepAlive returns an error when etcd no longer has the
// lease, or when ttl has passed since sent: the lease may have expired then. Counting
// from when the request was sent notices expiry too early rather than too late. The error
// names the failed requests, or, if the next one was not due before the lease expired,
// that the process was suspended: requests that failed earlier were not the cause.
func keepAlive(ctx context.Context, c clock.WithTickerAndDelayedExecution, sent time.Time, ttl time.Duration,
	renew func(context.Context) (time.Duration, error)) error {
	var failure error // of the last request
	next := sent.Add(ttl / 3)
	for {
		expiry := sent.Add(ttl)
		if retry.Sleep(ctx, c, min(next.Sub(c.Now()), expiry.Sub(c.Now()))) != nil || ctx.Err() != nil {
			return nil
		}
		now := c.Now()
		left := expiry.Sub(now)
		if left <= 0 {
			if failure == nil || next.Before(expiry) {
				failure = errSuspended
			}
			return fmt.Errorf("the lease was not renewed for %s: %w", now.Sub(sent).Round(time.Millisecond), failure)
		}
		attempt, cancel := retry.WithTimeout(ctx, c, min(left, ttl/3))
		renewed, err := renew(attempt)
		cancel()
		switch {
		case err == nil:
			sent, ttl, failure = now, renewed, nil
			next = now.Add(ttl / 3)
		case errors.Is(err, errGone):
			return err
		default:
			failure = err
			next = c.Now().Add(min(ttl/10, time.Second))
		}
	}
}

package events

import (
	"context"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"k8s.io/utils/clock"
)

// leases grants leases for Events. All Events written within one window of time, a tenth
// of their lifetime, share a lease, so that about a dozen leases exist at a time. It
// belongs to the goroutine of Run.
type leases struct {
	client clientv3.Lease
	clock  clock.PassiveClock
	window time.Duration // a lease is used for this long
	ttl    int64         // in seconds; longer than the window

	id      clientv3.LeaseID // NoLease when there is none
	granted time.Time        // when the request that granted it was sent
}

// newLeases computes the leases' TTL. A write at the end of a window that took as long
// as it may must have the whole of Options.TTL left.
func newLeases(o Options) *leases {
	window := max(o.TTL/10, time.Second)
	life := o.TTL + window + requestTimeout
	return &leases{client: o.Client, clock: o.Clock, window: window, ttl: int64((life + time.Second - 1) / time.Second)}
}

// current returns the lease for Events written now.
func (l *leases) current(ctx context.Context) (clientv3.LeaseID, error) {
	now := l.clock.Now()
	if l.id != clientv3.NoLease && now.Sub(l.granted) < l.window {
		return l.id, nil
	}
	resp, err := l.client.Grant(ctx, l.ttl)
	if err != nil {
		return clientv3.NoLease, err
	}
	l.id, l.granted = resp.ID, now
	return l.id, nil
}

// forget makes the next write ask for a new lease.
func (l *leases) forget() { l.id = clientv3.NoLease }
